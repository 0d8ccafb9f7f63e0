// Package route is how the faces of the server (pages, public API, agent API) describe what they answer: a pattern, who
// may come in, and a handler that returns an error. The server turns these lists into one http.Handler, checks access
// before any handler runs and renders errors in the style of the face. A route without an access decision cannot be
// written down, so access is denied by default.
package route

import (
	"context"
	"net/http"

	"github.com/signalbox-ci/signalbox"
)

// Access says who may call a route.
type Access struct {
	kind       string
	permission string
}

var (
	// Public routes answer anybody: health, sign-in, static files.
	Public = Access{kind: "public"}
	// OwnToken routes check a token of their own kind inside the handler (agent, registration, attempt, hook).
	OwnToken = Access{kind: "own token"}
)

// Needs asks for a signed-in user or API token whose role has the permission.
func Needs(permission string) Access { return Access{kind: "permission", permission: permission} }

// Permission returns the needed permission, "" for routes that need none.
func (a Access) Permission() string { return a.permission }

// Decided tells whether a decision was made; the zero Access is none.
func (a Access) Decided() bool { return a.kind != "" }

func (a Access) String() string {
	if a.permission != "" {
		return a.permission
	}
	return a.kind
}

// Style says how errors of a route are rendered.
type Style int

const (
	JSON  Style = iota // {"code","message","details","request_id"}
	Page               // an HTML page; without a session, a redirect to sign-in
	Agent              // the short texts that agents know
	UI                 // as JSON, for the scripts of pages: a session is as good as a token
)

// Handler answers a request. An error that it returns has not been written yet; the server maps its code to a status.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Route is one line of a face's route list. Pattern is that of http.ServeMux with a method.
type Route struct {
	Pattern string
	Access  Access
	Style   Style
	Handler Handler
}

// Actor is who makes a request.
type Actor struct {
	User *signalbox.User // nil for public routes without a session
}

// Name returns how the actor is written into histories: "user:NAME", or "anonymous".
func (a Actor) Name() string {
	if a.User == nil {
		return "anonymous"
	}
	return "user:" + a.User.Name
}

type actorKey struct{}

// WithActor returns a context that carries the actor.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom returns the actor of a request's context, the zero Actor when there is none.
func ActorFrom(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}
