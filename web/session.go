package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// startSession signs a browser in as somebody; what it was signed in as ends.
func (w *Web) startSession(rw http.ResponseWriter, r *http.Request, user *signalbox.User) error {
	plain, hash := auth.NewToken(auth.TokenSession)
	old := w.SessionCookie(r)
	if err := w.o.Store.Write(r.Context(), func(tx *store.Tx) error { return w.replaceSession(tx, r, user, old, hash) }); err != nil {
		return err
	}
	w.setCookie(rw, r, plain, signalbox.SessionLife)
	return nil
}

func (w *Web) replaceSession(tx *store.Tx, r *http.Request, user *signalbox.User, old, hash string) error {
	if old != "" {
		if err := tx.DeleteSession(auth.HashToken(old)); err != nil {
			return err
		}
	}
	return tx.CreateSession(&signalbox.Session{
		UserID: user.ID, Browser: browserName(r.UserAgent()), Address: clip(w.o.ClientIP(r), 60), ExpiresAt: tx.Now.Add(signalbox.SessionIdle),
	}, hash)
}

// untilChanged ends a stream's context when something is done to the account that follows it: whoever was disabled or has
// another role gets nothing more on what is open, and everybody else connects again.
func (w *Web) untilChanged(ctx context.Context, r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	u := route.ActorFrom(r.Context()).User
	if u == nil {
		return ctx, cancel
	}
	woken, stop := w.o.Store.Watch(store.KeyUser(u.ID))
	// What was done before anybody watched is looked for once.
	if err := w.o.Store.Read(ctx, func(tx *store.Tx) error {
		now, err := tx.User(u.ID)
		if err == nil && (!now.DisabledAt.IsZero() || now.Role != u.Role) {
			cancel()
		}
		return err
	}); err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		cancel()
	}
	go func() {
		defer stop()
		select {
		case <-woken:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Words of a browser's own description, most telling first: many name themselves as others too.
var (
	browserWords = [][2]string{{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}}
	systemWords  = [][2]string{{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}}
)

// browserName says in a few words what signed in, for somebody who wonders whether it was them.
func browserName(agent string) string {
	find := func(words [][2]string) string {
		for _, w := range words {
			if strings.Contains(agent, w[0]) {
				return w[1]
			}
		}
		return ""
	}
	browser, system := find(browserWords), find(systemWords)
	switch {
	case browser == "" && system == "":
		return "Unknown browser"
	case browser == "":
		return "Browser on " + system
	case system == "":
		return browser
	}
	return browser + " on " + system
}
