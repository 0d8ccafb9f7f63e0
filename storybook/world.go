package storybook

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/logline"
	"github.com/signalbox-ci/signalbox/project"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/storybook/scene"
	"github.com/signalbox-ci/signalbox/trigger"
	"github.com/signalbox-ci/signalbox/web"
)

// The people of every world, by what they may do.
var people = map[signalbox.Role]*signalbox.User{
	signalbox.RoleAdmin:  {ID: "story-ana", Name: "ana", Email: "ana@harbour.example", Role: signalbox.RoleAdmin, PasswordHash: "none fits"},
	signalbox.RoleMember: {ID: "story-mei", Name: "mei", Email: "mei@harbour.example", Role: signalbox.RoleMember, PasswordHash: "none fits"},
	signalbox.RoleViewer: {ID: "story-vic", Name: "vic", Email: "vic@harbour.example", Role: signalbox.RoleViewer, PasswordHash: "none fits"},
}

// world is a store at one moment, and how a server over it is set up.
type world struct {
	*scene.Scene
	dir     string
	now, at time.Time      // at is the clock while the world is made: it goes from the past to now
	started time.Time      // of the server
	logs    logline.Log    // in place of its own, when set
	away    bool           // whoever asks is on another machine
	builds  web.Builds     // nil is none
	handler *http.ServeMux // of the pages, made once
	pages   *web.Web
}

func newWorld(ctx context.Context, dir string, now time.Time) (*world, error) {
	w := &world{dir: dir, now: now, at: now, started: now.Add(-24 * time.Hour), builds: builds{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, store.Options{Dir: dir, Now: func() time.Time { return w.at }})
	if err != nil {
		return nil, err
	}
	w.Scene = &scene.Scene{Context: ctx, Store: s, Log: joblog.New(joblog.Options{Store: s}), Now: func() time.Time { return w.at }}
	return w, nil
}

// variant is the same data under a server that is set up otherwise.
func (w *world) variant(change func(v *world)) *world {
	v := *w
	change(&v)
	return &v
}

// back turns the clock to a moment before now.
func (w *world) back(d time.Duration) { w.at = w.now.Add(-d) }

// open makes the pages.
func (w *world) open() error {
	var err error
	w.pages, w.handler, err = w.newPages()
	return err
}

// newPages makes pages that remember nothing, such as how often somebody tried to sign in.
func (w *world) newPages() (*web.Web, *http.ServeMux, error) {
	e := engine.New(engine.Options{Store: w.Store})
	f, err := fleet.New(fleet.Options{Store: w.Store, Engine: e, Log: w.Log})
	if err != nil {
		return nil, nil, err
	}
	logs := w.logs
	if logs == nil {
		logs = w.Log
	}
	lines, err := logline.New(logline.Options{Store: w.Store, Log: logs})
	if err != nil {
		return nil, nil, err
	}
	t, err := trigger.New(trigger.Options{Store: w.Store, Engine: e, MirrorDir: filepath.Join(w.dir, "mirrors")})
	if err != nil {
		return nil, nil, err
	}
	projects, err := project.New(project.Options{Store: w.Store, Trigger: t})
	if err != nil {
		return nil, nil, err
	}
	first, err := setup.New(setup.Options{Store: w.Store, Now: w.Now})
	if err != nil {
		return nil, nil, err
	}
	pages, err := web.New(web.Options{
		Store: w.Store, Stopper: closed{}, Starter: closed{}, Debugger: closed{}, Deployer: closed{}, Tasks: closed{}, Lines: lines, Fleet: f, Setup: first, Projects: projects, Commits: commits{}, Builds: w.builds,
		Version: "storybook", Started: w.started, Now: w.Now, PublicURL: func(*http.Request) string { return "https://ci.harbour.example" },
	})
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	for _, rt := range pages.Routes() {
		mux.HandleFunc(rt.Pattern, func(rw http.ResponseWriter, r *http.Request) {
			if err := admitted(rt, r); err != nil {
				fail(pages, rw, r, rt, err)
			} else if err := rt.Handler(rw, r); err != nil {
				fail(pages, rw, r, rt, err)
			}
		})
	}
	return pages, mux, nil
}

// admitted decides as the server does whether whoever asks may.
func admitted(rt route.Route, r *http.Request) error {
	need := rt.Access.Permission()
	user := route.ActorFrom(r.Context()).User
	switch {
	case need == "":
		return nil
	case user == nil:
		return signalbox.Errorf(signalbox.CodeUnauthorized, "Unauthorized: choose a story of somebody who is signed in")
	case !auth.Can(user.Role, auth.Permission(need)):
		return signalbox.Errorf(signalbox.CodeForbidden, "this needs the permission %s, which the role %s does not have", need, user.Role)
	}
	return nil
}

const requestID = "0192f0a1-2b3c-7d4e-8f50-617283940506"

func fail(pages *web.Web, rw http.ResponseWriter, r *http.Request, rt route.Route, err error) {
	switch status := route.Status(err); {
	case rt.Style == route.UI:
		http.Error(rw, `{"message":"this cannot be answered in the storybook"}`, status)
	case status == http.StatusUnauthorized && r.Method == http.MethodGet:
		http.Redirect(rw, r, "/login?return="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	default:
		pages.ErrorPage(rw, r, status, err, requestID)
	}
}

// as answers in this world as the pages would for somebody of a role, "" for nobody.
func (w *world) as(role signalbox.Role, pages *web.Web, mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if u := people[role]; u != nil {
			r = r.WithContext(route.WithActor(r.Context(), route.Actor{User: u}))
		}
		if w.away {
			r = r.Clone(r.Context())
			r.RemoteAddr = "192.0.2.99:40000"
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			pages.ErrorPage(rw, r, http.StatusNotFound, signalbox.Errorf(signalbox.CodeNotFound, "there is nothing at %.200s", r.URL.Path), requestID)
			return
		}
		mux.ServeHTTP(rw, r)
	})
}

// builds are the programs for download of a release.
type builds struct{}

func (builds) Available() []string {
	return []string{"darwin-amd64", "darwin-arm64", "linux-amd64", "linux-arm64", "windows-amd64"}
}

func (builds) CA() ([]byte, error) { return nil, nil }

// commits are those of a repository that has gone on.
type commits struct{}

func (commits) CommitsSince(context.Context, *signalbox.Project, string, string, int) (int, error) {
	return 7, nil
}
