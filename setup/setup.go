// Package setup makes the first account of a server that nobody can sign in to yet: whoever knows a one-time code that
// the server printed, or has the server's own token, names an administrator and the organization. Of two that try at
// the same time one wins, and afterwards there is nothing left to set up. It has no face; the pages, the API and the
// start of the server call it.
package setup

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// CodeLife is how long a printed code counts.
const CodeLife = 24 * time.Hour

// minCode is how many characters a code that somebody chose has at least.
const minCode = 12

// Options for New. Store is required.
type Options struct {
	Store *store.Store
	// Reach asks the server at an address whether it is this one; the default finds every address good.
	Reach func(ctx context.Context, address string) error
	Now   func() time.Time
}

// Setup sets a server up, once.
type Setup struct {
	o     Options
	done  atomic.Bool
	tries *Tries
}

// New checks the options.
func New(o Options) (*Setup, error) {
	if o.Store == nil {
		return nil, errors.New("setup: a store is needed")
	}
	if o.Reach == nil {
		o.Reach = func(context.Context, string) error { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Setup{o: o, tries: NewTries()}, nil
}

// Needed tells whether nobody can sign in. Once somebody can, it is not asked again before the next start.
func (s *Setup) Needed(ctx context.Context) (bool, error) {
	if s.done.Load() {
		return false, nil
	}
	possible := false
	err := s.o.Store.Read(ctx, func(tx *store.Tx) (err error) { possible, err = tx.SignInPossible(); return err })
	if err == nil && possible {
		s.done.Store(true)
	}
	return err == nil && !possible, err
}

// normal is a code as it is hashed: nobody fails for a capital letter or a dash.
func normal(code string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, strings.ToLower(code))
}

// NewCode makes a one-time code, or takes the chosen one, and stores its hash. Servers that share a database accept one
// another's.
func (s *Setup) NewCode(ctx context.Context, chosen string) (code string, err error) {
	code = chosen
	if code == "" {
		var b [15]byte
		_, _ = rand.Read(b[:]) // never fails
		text := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
		code = text[:6] + "-" + text[6:12] + "-" + text[12:18] + "-" + text[18:]
	} else if len(normal(code)) < minCode {
		return "", signalbox.Errorf(signalbox.CodeInvalid, "the set-up code is too short: choose at least %d characters beside spaces and dashes, or let the server make one", minCode)
	}
	return code, s.o.Store.Write(ctx, func(tx *store.Tx) error { return tx.AddSetupCode(auth.HashToken(normal(code))) })
}

// CheckCode tells whether a code is one of those that count. After five wrong ones from one address the next may come a
// minute later; wait says when, and such a try does not count.
func (s *Setup) CheckCode(ctx context.Context, address, code string) (ok bool, wait time.Duration, err error) {
	now := s.o.Now()
	if wait := s.tries.Take(address, now); wait > 0 {
		return false, wait, nil
	}
	var hashes []string
	if err := s.o.Store.Read(ctx, func(tx *store.Tx) (err error) { hashes, err = tx.SetupCodes(tx.Now.Add(-CodeLife)); return err }); err != nil {
		return false, 0, err
	}
	got := []byte(auth.HashToken(normal(code)))
	for _, h := range hashes {
		if subtle.ConstantTimeCompare(got, []byte(h)) == 1 {
			ok = true
		}
	}
	if ok {
		s.tries.GiveBack(address)
	}
	return ok, 0, nil
}

// Done is what a set-up made.
type Done struct {
	User    *signalbox.User
	Token   string // an API token of the user; its text is kept nowhere
	Warning string // about the public address, "" when it is good
}

// errDone is for whoever comes too late.
var errDone = signalbox.Errorf(signalbox.CodeConflict, "this server is set up already; sign in, or ask one of its administrators for an account")

// Finish makes the administrator and names the organization. What is wrong with the request is an error of type Problems;
// CodeConflict says that somebody else was faster.
func (s *Setup) Finish(ctx context.Context, r Request) (*Done, error) {
	if needed, err := s.Needed(ctx); err != nil || !needed {
		return nil, errors.Join(err, onlyIf(err == nil, errDone))
	}
	r, problems := r.Checked()
	if len(problems) > 0 {
		return nil, problems
	}
	warning := s.warning(ctx, r.PublicURL)
	hash, err := auth.HashPassword(ctx, r.Password)
	if err != nil {
		return nil, err
	}
	d := &Done{Warning: warning}
	token, tokenHash := auth.NewToken(auth.TokenAPI)
	err = s.o.Store.Write(ctx, func(tx *store.Tx) error {
		// Two that set up at once meet at this row.
		o, err := tx.LockOrganization()
		if err != nil {
			return err
		}
		if possible, err := tx.SignInPossible(); err != nil || possible {
			return errors.Join(err, onlyIf(err == nil, errDone))
		}
		if _, err := tx.UserByName(r.Name); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return errors.Join(err, onlyIf(err == nil, Problems{FieldName: "That name is in use on this server; choose another one."}))
		}
		d.User = &signalbox.User{Name: r.Name, Email: r.Email, Role: signalbox.RoleAdmin, PasswordHash: hash}
		if err := tx.CreateUser(d.User); err != nil {
			return err
		}
		o.Name, o.PublicURL, o.PublicURLProblem = r.Organization, r.PublicURL, warning
		if err := tx.UpdateOrganization(o, "user:"+r.Name, "set up"); err != nil {
			return err
		}
		if err := tx.CreateAPIToken(&signalbox.APIToken{UserID: d.User.ID, Name: "made at the set-up"}, tokenHash, "user:"+r.Name); err != nil {
			return err
		}
		return tx.DeleteSetupCodes()
	})
	if err != nil {
		return nil, err
	}
	s.done.Store(true)
	d.Token = token
	return d, nil
}

func onlyIf(cond bool, err error) error {
	if cond {
		return err
	}
	return nil
}

// warning says what is doubtful about a public address. It stops nobody: a name may be about to get its record.
func (s *Setup) warning(ctx context.Context, address string) string {
	if address == "" {
		return ""
	}
	if Loopback(address) {
		return "Agents and webhooks on other machines cannot reach " + address + "."
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.o.Reach(ctx, address); err != nil {
		return "The server could not reach itself at " + address + ": " + err.Error()
	}
	return ""
}
