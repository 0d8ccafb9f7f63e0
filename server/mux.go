package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// mux turns route lists into one handler: it finds out who asks, checks access, and renders what handlers return.
type mux struct {
	store   *store.Store
	log     *slog.Logger
	cookie  func(*http.Request) string // the session cookie's value, "" without one
	page    func(w http.ResponseWriter, r *http.Request, status int, err error, requestID string)
	handler http.Handler

	unfinished func(context.Context) (bool, error) // whether every page leads to the first set-up; nil is no
}

func newMux(st *store.Store, log *slog.Logger, cookie func(*http.Request) string, page func(http.ResponseWriter, *http.Request, int, error, string), routes []route.Route) (*mux, error) {
	m := &mux{store: st, log: log, cookie: cookie, page: page}
	sm := http.NewServeMux()
	for _, rt := range routes {
		if !rt.Access.Decided() {
			return nil, fmt.Errorf("route %q has no access decision", rt.Pattern)
		}
		sm.Handle(rt.Pattern, m.serve(rt))
	}
	m.handler = m.headers(http.NewCrossOriginProtection().Handler(m.unmatched(sm)))
	return m, nil
}

func (m *mux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, encrypted(r)) }

type requestIDKey struct{}

func (m *mux) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		id := signalbox.NewID()
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

// unmatched answers unknown paths in the style of the place they are in. Nothing is ever redirected to a tidier path:
// agents would turn the POST into a GET.
func (m *mux) unmatched(sm *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := sm.Handler(r)
		if pattern != "" {
			sm.ServeHTTP(w, r)
			return
		}
		rec := &statusOnly{header: http.Header{}}
		h.ServeHTTP(rec, r)
		style := route.Page
		if strings.HasPrefix(r.URL.Path, "/api/") {
			style = route.JSON
		}
		err := signalbox.Errorf(signalbox.CodeNotFound, "there is nothing at %.200s", r.URL.Path)
		if rec.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", rec.header.Get("Allow"))
			m.render(w, r, style, rec.status, signalbox.Errorf(signalbox.CodeInvalid, "%s is not possible here; use %s", r.Method, rec.header.Get("Allow")))
			return
		}
		m.render(w, r, style, http.StatusNotFound, err)
	})
}

type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header { return s.header }
func (s *statusOnly) WriteHeader(c int)   { s.status = c }
func (s *statusOnly) Write(b []byte) (int, error) {
	return len(b), nil
}

func (m *mux) serve(rt route.Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rt.Style != route.Agent {
			ctx, done := untilStopping(r.Context())
			defer done()
			r = r.WithContext(ctx)
		}
		sent, err := m.toSetup(rt, w, r)
		if sent {
			return
		}
		if err == nil {
			err = m.admit(rt, &r)
		}
		if err == nil {
			err = m.guard(rt, w, r)
		}
		if err == nil {
			return
		}
		if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				// Usually nobody is there to read an answer. Where we are the ones that leave, somebody is, and must not take the
				// empty answer for a success.
				panic(http.ErrAbortHandler)
			}
			return
		}
		status := route.Status(err)
		if status >= 500 {
			m.log.Error("request failed", "request_id", requestID(r), "method", r.Method, "path", r.URL.Path, "error", err)
		}
		m.render(w, r, rt.Style, status, err)
	})
}

// atSetup are the pages that answer while nobody can sign in: the set-up and what it is drawn with.
var atSetup = []string{"GET /setup", "POST /setup", "GET /assets/{hash}/{file...}", "GET /favicon.ico"}

// toSetup leads pages to the first set-up for as long as nobody can sign in.
func (m *mux) toSetup(rt route.Route, w http.ResponseWriter, r *http.Request) (sent bool, err error) {
	if m.unfinished == nil || rt.Style != route.Page || slices.Contains(atSetup, rt.Pattern) {
		return false, nil
	}
	needed, err := m.unfinished(r.Context())
	if err != nil || !needed {
		return false, err
	}
	http.Redirect(w, r, "/setup", http.StatusSeeOther)
	return true, nil
}

func (m *mux) guard(rt route.Route, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return rt.Handler(w, r)
}

// admit finds out who asks and whether they may.
func (m *mux) admit(rt route.Route, r **http.Request) error {
	need := rt.Access.Permission()
	if rt.Access == route.OwnToken {
		return nil
	}
	actor, err := m.actor(*r, rt.Style)
	if err != nil {
		return err
	}
	*r = (*r).WithContext(route.WithActor((*r).Context(), actor))
	if rt.Access == route.Public {
		return nil
	}
	if actor.User == nil {
		return signalbox.Errorf(signalbox.CodeUnauthorized, "Unauthorized: send \"Authorization: Token <API token>\"")
	}
	if !auth.Can(actor.User.Role, auth.Permission(need)) {
		return signalbox.Errorf(signalbox.CodeForbidden, "this needs the permission %s, which the role %s does not have", need, actor.User.Role)
	}
	return nil
}

// actor reads the API token, or for pages the session cookie. Cookies are not accepted under /api, so that no other
// site's form can act through a browser.
func (m *mux) actor(r *http.Request, style route.Style) (route.Actor, error) {
	var hash string
	var token *signalbox.APIToken
	var session *signalbox.Session
	byToken := func(tx *store.Tx) (u *signalbox.User, err error) {
		u, token, err = tx.UserByToken(hash)
		return u, err
	}
	find := byToken
	if style == route.Page || style == route.UI && r.Header.Get("Authorization") == "" {
		c := m.cookie(r)
		if c == "" {
			return route.Actor{}, nil
		}
		hash = auth.HashToken(c)
		find = func(tx *store.Tx) (u *signalbox.User, err error) {
			u, session, err = tx.UserBySession(hash)
			return u, err
		}
	} else {
		scheme, t, ok := strings.Cut(r.Header.Get("Authorization"), " ")
		if !ok || scheme != "Token" && scheme != "Bearer" || t == "" {
			return route.Actor{}, nil
		}
		hash = auth.HashToken(t)
	}
	var u *signalbox.User
	var now time.Time
	err := m.store.Read(r.Context(), func(tx *store.Tx) (err error) {
		now = tx.Now
		u, err = find(tx)
		return err
	})
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return route.Actor{}, nil
	}
	if err == nil && token != nil && now.Sub(token.LastUsedAt) >= usedEvery {
		m.used(r.Context(), token)
	}
	if err == nil && session != nil && style == route.Page && visits(r) {
		m.prolong(r.Context(), session, now)
	}
	return route.Actor{User: u}, err
}

// usedEvery is how often the use of an API token is noted at most.
const usedEvery = time.Minute

// used notes that a token was used. Should that fail, the request goes on.
func (m *mux) used(ctx context.Context, token *signalbox.APIToken) {
	if err := m.store.Write(ctx, func(tx *store.Tx) error { return tx.UseAPIToken(token.ID, token.LastUsedAt) }); err != nil {
		m.log.Warn("could not note that an API token was used", "token", token.ID, "error", err)
	}
}

// visits tells whether somebody goes to a page. What an open page does by itself does not keep a session alive; browsers that do not tell
// the two apart are believed.
func visits(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return mode == "" || mode == "navigate"
}

// prolong lets a session that is used last. Should that fail, the request goes on.
func (m *mux) prolong(ctx context.Context, s *signalbox.Session, now time.Time) {
	until, worth := s.Renewed(now)
	if !worth {
		return
	}
	if err := m.store.Write(ctx, func(tx *store.Tx) error { return tx.ProlongSession(s.ID, until) }); err != nil {
		m.log.Warn("could not note that a session was used", "session", s.ID, "error", err)
	}
}

// grpcCode is the number that clients of the gateway style know for a status.
var grpcCode = map[int]int{400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 409: 6, 503: 14, 500: 13}

func requestID(r *http.Request) string {
	id, _ := r.Context().Value(requestIDKey{}).(string)
	return id
}

func (m *mux) render(w http.ResponseWriter, r *http.Request, style route.Style, status int, err error) {
	if style == route.Agent {
		failAgent(w, status, err)
		return
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	switch style {
	case route.JSON, route.UI:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		b, _ := json.Marshal(map[string]any{
			"code": grpcCode[status], "message": signalbox.ErrorMessage(err), "details": []any{}, "request_id": requestID(r),
		})
		_, _ = w.Write(b)
	case route.Page:
		if status == http.StatusUnauthorized && r.Method == http.MethodGet {
			http.Redirect(w, r, "/login?return="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		if m.page != nil {
			m.page(w, r, status, err, requestID(r))
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<!doctype html><title>%d</title><h1>%d</h1><p>%s</p>", status, status, template.HTMLEscapeString(signalbox.ErrorMessage(err)))
	}
}
