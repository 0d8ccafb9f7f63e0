package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/setup"
)

type setupBody struct {
	AskCode  bool
	Code     string
	Request  setup.Request // without the password
	Fixed    string        // the public address that the server was started with
	Problems setup.Problems
	Problem  string // that is of no field
	Local    bool   // the address leads every machine to itself
	Min      int
	Version  string
}

type setupDoneBody struct {
	Host, URL      string
	Token, Warning string
	OwnCA          bool
}

// FieldCode is the one field of the form that the request does not have.
const fieldCode = "code"

func (w *Web) getSetup(rw http.ResponseWriter, r *http.Request) error {
	if err := w.setupNeeded(r); err != nil {
		return err
	}
	return w.showSetup(rw, r, http.StatusOK, setupBody{Request: setup.Request{Organization: setup.DefaultOrganization, PublicURL: w.o.AskedURL(r)}})
}

// setupNeeded makes the page disappear once somebody can sign in.
func (w *Web) setupNeeded(r *http.Request) error {
	if w.o.Setup == nil {
		return notFound("page")
	}
	needed, err := w.o.Setup.Needed(r.Context())
	if err == nil && !needed {
		return notFound("page")
	}
	return err
}

func (w *Web) showSetup(rw http.ResponseWriter, r *http.Request, status int, b setupBody) error {
	b.AskCode, b.Fixed, b.Min, b.Version = !atHome(r), w.o.FixedURL, setup.MinPassword, w.o.Version
	b.Request.Password = ""
	b.Local = setup.Loopback(b.Request.PublicURL)
	return w.render(rw, status, "setup", Shell{Title: "Set up", Favicon: "none", Script: "setup"}, b)
}

func (w *Web) postSetup(rw http.ResponseWriter, r *http.Request) error {
	if err := w.setupNeeded(r); err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(rw, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "the form could not be read; go back and try again")
	}
	b := setupBody{Code: clip(r.PostForm.Get(fieldCode), 200), Request: setup.Request{
		Name: r.PostForm.Get(setup.FieldName), Email: r.PostForm.Get(setup.FieldEmail), Password: r.PostForm.Get(setup.FieldPassword),
		Organization: r.PostForm.Get(setup.FieldOrganization), PublicURL: r.PostForm.Get(setup.FieldPublicURL),
	}}
	if !atHome(r) {
		ok, wait, err := w.o.Setup.CheckCode(r.Context(), w.o.ClientIP(r), b.Code)
		switch {
		case err != nil:
			return err
		case wait > 0:
			seconds := int((wait + time.Second - 1) / time.Second)
			rw.Header().Set("Retry-After", fmt.Sprint(seconds))
			b.Problems = setup.Problems{fieldCode: fmt.Sprintf("Too many wrong codes. You can try again in %d%ss.", seconds, nbsp)}
			return w.showSetup(rw, r, http.StatusTooManyRequests, b)
		case !ok:
			b.Problems = setup.Problems{fieldCode: "That is not the code that the server printed, or it is older than a day. Start the server again for a new one."}
			return w.showSetup(rw, r, http.StatusUnprocessableEntity, b)
		}
	}
	if w.o.FixedURL != "" {
		b.Request.PublicURL = ""
	}
	done, err := w.o.Setup.Finish(r.Context(), b.Request)
	if errors.As(err, &b.Problems) {
		return w.showSetup(rw, r, http.StatusUnprocessableEntity, b)
	}
	if err != nil {
		return err
	}
	if err := w.startSession(rw, r, done.User); err != nil {
		return err
	}
	// From here on the page is that of somebody who is signed in.
	r = r.WithContext(route.WithActor(r.Context(), route.Actor{User: done.User}))
	s, err := w.shell(r, nil)
	if err != nil {
		return err
	}
	s.Title, s.Narrow, s.Script = "Set up", true, "page"
	address := w.o.PublicURL(r)
	_, host, _ := strings.Cut(address, "://")
	return w.render(rw, http.StatusOK, "setup-done", s, setupDoneBody{
		Host: host, URL: address, Token: done.Token, Warning: done.Warning, OwnCA: w.ownCA(),
	})
}

// atHome tells whether a request was made on the server's own machine and not handed on by anything: only there the code need
// not be asked for. A proxy on the same machine would otherwise make every stranger look local.
func atHome(r *http.Request) bool {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !ap.Addr().Unmap().IsLoopback() {
		return false
	}
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded") || name == "Cf-Connecting-Ip" || name == "True-Client-Ip" {
			return false
		}
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return host == "localhost" || host == "127.0.0.1" || host == "[::1]" || host == "::1"
}

// peer is where a connection comes from.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
