package web

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// cookieName depends on the connection: with TLS the prefix makes the browser refuse a cookie that somebody else, on
// another host of the domain or without TLS, has planted.
func (w *Web) cookieName(r *http.Request) string {
	if w.o.Secure(r) {
		return "__Host-signalbox"
	}
	return "signalbox"
}

// SessionCookie returns the session that a browser sent, "" when there is none. Look its owner up with
// store.UserBySession(auth.HashToken(cookie)).
func (w *Web) SessionCookie(r *http.Request) string {
	c, err := r.Cookie(w.cookieName(r))
	if err != nil || len(c.Value) > 200 {
		return ""
	}
	return c.Value
}

func (w *Web) setCookie(rw http.ResponseWriter, r *http.Request, value string, maxAge time.Duration) {
	c := &http.Cookie{
		Name: w.cookieName(r), Value: value, Path: "/", Secure: w.o.Secure(r), HttpOnly: true, SameSite: http.SameSiteLaxMode,
		MaxAge: int(maxAge / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(rw, c)
}

// relative returns target when it is an address on this server, "/" otherwise.
func relative(target string) string {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(target, "/") ||
		strings.HasPrefix(target, "//") || strings.ContainsAny(target, "\\\r\n\t") || len(target) > 2000 {
		return "/"
	}
	return target
}

// noMatch does not tell which of the two is wrong.
const noMatch = "Name and password do not match."

type loginBody struct {
	Name, Next, Problem, Version, Host string
}

func (w *Web) getLogin(rw http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	next := relative(cmp.Or(q.Get("return"), q.Get("next")))
	if route.ActorFrom(r.Context()).User != nil {
		http.Redirect(rw, r, next, http.StatusSeeOther)
		return nil
	}
	return w.showLogin(rw, r, http.StatusOK, loginBody{Next: next})
}

func (w *Web) showLogin(rw http.ResponseWriter, r *http.Request, status int, b loginBody) error {
	b.Version, b.Host = w.o.Version, clip(r.Host, 100)
	return w.render(rw, status, "login", Shell{Title: "Sign in", Favicon: "none", Script: "login"}, b)
}

func (w *Web) postLogin(rw http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(rw, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "the form could not be read; go back and try again")
	}
	name, password := r.PostFormValue("name"), r.PostFormValue("password")
	b := loginBody{Name: clip(name, 200), Next: relative(r.PostFormValue("next"))}
	if wait := w.tries.take(clip(name, 200), w.o.ClientIP(r), w.o.Now()); wait > 0 {
		seconds := int((wait + time.Second - 1) / time.Second)
		rw.Header().Set("Retry-After", fmt.Sprint(seconds))
		b.Problem = fmt.Sprintf("Too many tries. You can try again in %d%ss.", seconds, nbsp)
		return w.showLogin(rw, r, http.StatusTooManyRequests, b)
	}
	var user *signalbox.User
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) (err error) {
		user, err = tx.UserByName(name)
		return err
	})
	hash := ""
	switch {
	case err == nil && user.DisabledAt.IsZero():
		hash = user.PasswordHash
	case err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound:
		return err
	}
	ok, err := auth.VerifyPassword(r.Context(), hash, password)
	if err != nil {
		return err
	}
	if !ok {
		b.Problem = noMatch
		return w.showLogin(rw, r, http.StatusUnprocessableEntity, b)
	}
	return w.signIn(rw, r, user, password, b.Next)
}

func (w *Web) signIn(rw http.ResponseWriter, r *http.Request, user *signalbox.User, password, next string) error {
	rehash := ""
	if auth.NeedsRehash(user.PasswordHash) {
		// A password from before the present rules may be too short to hash again: it stays as it is.
		rehash, _ = auth.HashPassword(r.Context(), password)
	}
	plain, hash := auth.NewToken(auth.TokenSession)
	old := w.SessionCookie(r)
	ended := false
	err := w.o.Store.Write(r.Context(), func(tx *store.Tx) error {
		// While the password was checked it may have been changed, and the account disabled.
		now, err := tx.User(user.ID)
		if err != nil {
			return err
		}
		if ended = now.PasswordHash != user.PasswordHash || !now.DisabledAt.IsZero(); ended {
			return nil
		}
		if rehash != "" {
			if err := tx.SetPasswordHash(user.ID, rehash, "server"); err != nil {
				return err
			}
		}
		return w.replaceSession(tx, r, user, old, hash)
	})
	if err == nil && ended {
		return w.showLogin(rw, r, http.StatusUnprocessableEntity, loginBody{Name: clip(user.Name, 200), Next: next, Problem: noMatch})
	}
	if err != nil {
		return err
	}
	w.setCookie(rw, r, plain, signalbox.SessionLife)
	http.Redirect(rw, r, next, http.StatusSeeOther)
	return nil
}

func (w *Web) postLogout(rw http.ResponseWriter, r *http.Request) error {
	if old := w.SessionCookie(r); old != "" {
		if err := w.o.Store.Write(r.Context(), func(tx *store.Tx) error { return tx.DeleteSession(auth.HashToken(old)) }); err != nil {
			return err
		}
	}
	w.setCookie(rw, r, "", 0)
	http.Redirect(rw, r, "/login", http.StatusSeeOther)
	return nil
}

// tries slows the guessing of passwords: per name and address, and per address for whoever tries many names.
type tries struct {
	mu   sync.Mutex
	byID map[string]*rate.Limiter
}

const maxTries = 20000

func newTries() *tries { return &tries{byID: map[string]*rate.Limiter{}} }

// take counts one try. It returns how long to wait when there were too many; such a try is not counted.
func (t *tries) take(name, address string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byID) > maxTries {
		// Whoever has not tried for long has a full bucket and need not be remembered.
		for id, l := range t.byID {
			if l.TokensAt(now) >= float64(l.Burst()) {
				delete(t.byID, id)
			}
		}
		if len(t.byID) > maxTries {
			clear(t.byID)
		}
	}
	var wait time.Duration
	limiters := []*rate.Limiter{
		t.get("n\x00"+name+"\x00"+address, rate.Every(6*time.Second), 5),
		t.get("a\x00"+address, rate.Every(time.Second), 60),
	}
	for _, l := range limiters {
		if tokens := l.TokensAt(now); tokens < 1 {
			wait = max(wait, time.Duration((1-tokens)/float64(l.Limit())*float64(time.Second)))
		}
	}
	if wait > 0 {
		return max(wait, time.Second)
	}
	for _, l := range limiters {
		l.AllowN(now, 1)
	}
	return 0
}

func (t *tries) get(id string, r rate.Limit, burst int) *rate.Limiter {
	l := t.byID[id]
	if l == nil {
		l = rate.NewLimiter(r, burst)
		t.byID[id] = l
	}
	return l
}
