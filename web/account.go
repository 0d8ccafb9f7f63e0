package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/people"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
)

const (
	accountPath = "/account"
	// maxSessions is how many sessions the page lists, the newest.
	maxSessions = 50
	fieldName   = "name"
)

type apiTokenRow struct {
	ID, Name      string
	Created, Ends *Moment
	Used          *Moment
	Ended         bool
}

type sessionRow struct {
	ID, Browser, Address string
	Since, Ends          *Moment
	Here                 bool
}

// newAPIToken is a token that was just made; it is shown on this one page.
type newAPIToken struct {
	Name, Text, Host, URL string
}

type accountBody struct {
	Name, Email string
	Role        roleChoice
	Joined      *Moment
	Password    bool // there is one to change
	Min         int
	Tokens      []apiTokenRow
	Token       *newAPIToken
	TokenName   string
	Sessions    []sessionRow
	Others      int // sessions that are not this one
	Done        string
	Problems    map[string]string
}

func (w *Web) getAccount(rw http.ResponseWriter, r *http.Request) error {
	b := accountBody{}
	if r.URL.Query().Get("done") == "password" {
		b.Done = "Your password is changed. You are signed out everywhere else."
	}
	return w.showAccount(rw, r, http.StatusOK, b)
}

func (w *Web) showAccount(rw http.ResponseWriter, r *http.Request, status int, b accountBody) error {
	var s Shell
	here := auth.HashToken(w.SessionCookie(r))
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b.Tokens, b.Sessions, b.Others = nil, nil, 0
		var err error
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		u := s.User
		b.Name, b.Email, b.Joined, b.Password, b.Min = clip(u.Name, 80), clip(u.Email, 254), moment(u.CreatedAt, tx.Now), u.PasswordHash != "", setup.MinPassword
		for _, c := range roleChoices(u.Role) {
			if c.Selected {
				b.Role = c
			}
		}
		tokens, err := tx.APITokens(u.ID)
		if err != nil {
			return err
		}
		for _, t := range tokens {
			if t.RevokedAt.IsZero() {
				b.Tokens = append(b.Tokens, apiTokenRow{
					ID: t.ID, Name: clip(t.Name, people.MaxTokenName), Created: moment(t.CreatedAt, tx.Now), Ends: moment(t.ExpiresAt, tx.Now), Used: moment(t.LastUsedAt, tx.Now),
					Ended: !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(tx.Now),
				})
			}
		}
		sessions, err := tx.Sessions(u.ID, maxSessions)
		for _, x := range sessions {
			row := sessionRow{ID: x.ID, Browser: x.Browser, Address: clip(x.Address, 60), Since: moment(x.CreatedAt, tx.Now), Ends: moment(x.ExpiresAt, tx.Now), Here: x.Hash == here}
			if row.Browser == "" {
				row.Browser = "Unknown browser"
			}
			if !row.Here {
				b.Others++
			}
			b.Sessions = append(b.Sessions, row)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.Title, s.Section, s.Script, s.Narrow = "Your account", "account", "page", true
	return w.render(rw, status, "account", s, b)
}

func (w *Web) postPassword(rw http.ResponseWriter, r *http.Request) error {
	if err := parseForm(rw, r); err != nil {
		return err
	}
	user := route.ActorFrom(r.Context()).User
	if wait := w.tries.take(user.Name, w.o.ClientIP(r), w.o.Now()); wait > 0 {
		seconds := int((wait + time.Second - 1) / time.Second)
		rw.Header().Set("Retry-After", fmt.Sprint(seconds))
		return w.showAccount(rw, r, http.StatusTooManyRequests, accountBody{Problems: map[string]string{
			people.FieldPresent: fmt.Sprintf("Too many tries. You can try again in %d%ss.", seconds, nbsp),
		}})
	}
	here := ""
	if c := w.SessionCookie(r); c != "" {
		here = auth.HashToken(c)
	}
	err := w.o.People.ChangePassword(r.Context(), user.ID, here, r.PostForm.Get(people.FieldPresent), r.PostForm.Get(setup.FieldPassword))
	var problems setup.Problems
	if errors.As(err, &problems) {
		return w.showAccount(rw, r, http.StatusUnprocessableEntity, accountBody{Problems: problems})
	}
	if err != nil {
		return err
	}
	http.Redirect(rw, r, accountPath+"?done=password", http.StatusSeeOther)
	return nil
}

func (w *Web) postAPIToken(rw http.ResponseWriter, r *http.Request) error {
	if err := parseForm(rw, r); err != nil {
		return err
	}
	life, err := offered(r, "expires_in", lifetimes)
	if err != nil {
		return err
	}
	name := r.PostForm.Get(fieldName)
	t, text, err := w.o.People.CreateToken(r.Context(), name, life, route.ActorFrom(r.Context()))
	if signalbox.ErrorCode(err) == signalbox.CodeInvalid {
		return w.showAccount(rw, r, http.StatusUnprocessableEntity, accountBody{TokenName: clip(name, 200), Problems: map[string]string{fieldName: signalbox.ErrorMessage(err)}})
	}
	if err != nil {
		return err
	}
	address := w.o.PublicURL(r)
	_, host, _ := strings.Cut(address, "://")
	return w.showAccount(rw, r, http.StatusOK, accountBody{Token: &newAPIToken{clip(t.Name, people.MaxTokenName), text, host, address}})
}

func (w *Web) postAPITokenRevoke(rw http.ResponseWriter, r *http.Request) error {
	if err := w.o.People.RevokeToken(r.Context(), r.PathValue("token"), route.ActorFrom(r.Context())); err != nil {
		return orNotFound(err, "API token")
	}
	http.Redirect(rw, r, accountPath+"#tokens", http.StatusSeeOther)
	return nil
}

// postSessionEnd signs one browser out, and without an id all but the one that asks.
func (w *Web) postSessionEnd(rw http.ResponseWriter, r *http.Request) error {
	user := route.ActorFrom(r.Context()).User
	if err := w.o.Store.Write(r.Context(), func(tx *store.Tx) error {
		if id := r.PathValue("session"); id != "" {
			return tx.EndSession(user.ID, id)
		}
		return tx.DeleteSessions(user.ID, auth.HashToken(w.SessionCookie(r)))
	}); err != nil {
		return err
	}
	http.Redirect(rw, r, accountPath+"#sessions", http.StatusSeeOther)
	return nil
}
