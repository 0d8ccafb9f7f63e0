package server

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
)

// checkPurpose separates the words by which a server knows itself from everything else the key ring signs.
const checkPurpose = "setup-check"

// openSetup prepares the first set-up, or does it when the administrator was named at the start.
func (s *Server) openSetup(ctx context.Context) (err error) {
	if s.setup, err = setup.New(setup.Options{Store: s.store, Reach: s.reach, Now: s.o.Now}); err != nil {
		return err
	}
	needed, err := s.setup.Needed(ctx)
	if err != nil {
		return err
	}
	if needed && s.o.Admin != nil {
		_, err := s.setup.Finish(ctx, *s.o.Admin)
		if err != nil && signalbox.ErrorCode(err) != signalbox.CodeConflict { // another server of the database was faster
			return fmt.Errorf("make the first administrator: %w", err)
		}
		needed = false
	}
	if needed {
		if s.setupCode, err = s.setup.NewCode(ctx, s.o.SetupCode); err != nil {
			return err
		}
	}
	return s.readAddress(ctx)
}

// SetupURL is where the first account is made, with the one-time code, "" when somebody can sign in already.
func (s *Server) SetupURL() string {
	if s.setupCode == "" {
		return ""
	}
	return s.url + "/setup#code=" + url.QueryEscape(s.setupCode)
}

func (s *Server) announceSetup() error {
	if s.setupCode == "" {
		return nil
	}
	needed, err := s.setup.Needed(context.Background())
	if err != nil || !needed {
		return err
	}
	s.o.Logger.Warn("nobody can sign in yet: make the first account", "url", s.SetupURL())
	_, err = fmt.Fprintf(s.o.Out, "Nobody can sign in yet. Make the first account here:\n  %s\nThe code in it, %s, counts for a day and once.\n", s.SetupURL(), s.setupCode)
	return err
}

// readAddress takes over the public address of the organization. One that leads every machine to itself would be wrong for all
// others, so with it each is told the address that it asked.
func (s *Server) readAddress(ctx context.Context) error {
	var o *signalbox.Organization
	if err := s.store.Read(ctx, func(tx *store.Tx) (err error) { o, err = tx.Organization(); return err }); err != nil {
		return err
	}
	address := o.PublicURL
	if setup.Loopback(address) {
		address = ""
	}
	s.address.Store(&address)
	return nil
}

// watchAddress follows changes of the public address.
func (s *Server) watchAddress(ctx context.Context) error {
	woken, stop := s.store.Watch(store.KeyOrganization)
	defer stop()
	for {
		if err := s.readAddress(ctx); err != nil && ctx.Err() == nil {
			s.o.Logger.Error("could not read the public address", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-woken:
		}
	}
}

func (s *Server) setupRoutes() []route.Route {
	return []route.Route{{Pattern: "GET /setup/check", Access: route.Public, Style: route.JSON, Handler: s.checkSelf}}
}

// checkSelf proves to whoever asks with a word of theirs that this is the server with these keys, for as long as it is not set up.
func (s *Server) checkSelf(w http.ResponseWriter, r *http.Request) error {
	needed, err := s.setup.Needed(r.Context())
	if err != nil {
		return err
	}
	word := r.URL.Query().Get("word")
	if !needed || word == "" || len(word) > 100 {
		return signalbox.Errorf(signalbox.CodeNotFound, "there is nothing at %s", r.URL.Path)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = io.WriteString(w, s.keys.Sign(checkPurpose, word))
	return err
}

// reach asks the server at an address whether it is this one. Nothing of what another one answers is told.
func (s *Server) reach(ctx context.Context, address string) error {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if file := s.CAFile(); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read the server's certificate: %w", err)
		}
		pool.AppendCertsFromPEM(text)
	}
	client := &http.Client{
		Timeout:       3 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true},
	}
	word := rand.Text()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/setup/check?word="+word, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || subtle.ConstantTimeCompare([]byte(strings.TrimSpace(string(text))), []byte(s.keys.Sign(checkPurpose, word))) != 1 {
		return fmt.Errorf("another server answers there (status %d)", resp.StatusCode)
	}
	return nil
}
