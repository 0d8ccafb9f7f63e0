package storybook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// Options for New. The zero value is useful.
type Options struct {
	// Now is the moment at which all worlds stand; default: the time of the call.
	Now time.Time
}

// Book is all worlds and their stories.
type Book struct {
	dir     string
	now     time.Time
	worlds  map[string]*world // by name
	stories []*story
	byID    map[string]*story
}

// New makes the worlds, in a temporary folder that Close removes.
func New(ctx context.Context, o Options) (_ *Book, err error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	b := &Book{now: o.Now.UTC().Truncate(time.Second), worlds: map[string]*world{}, byID: map[string]*story{}}
	if b.dir, err = os.MkdirTemp("", "signalbox-storybook-"); err != nil {
		return nil, fmt.Errorf("storybook: make a folder for the worlds: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	var n *normal
	var x *extreme
	for name, fill := range map[string]func(w *world){
		worldNew: func(*world) {}, worldEmpty: func(w *world) { w.settled(signalbox.RoleAdmin) }, worldBegun: (*world).begun,
		worldNormal: func(w *world) { n = w.normal() }, worldExtreme: func(w *world) { x = w.extreme() },
	} {
		w, err := newWorld(ctx, filepath.Join(b.dir, name), b.now)
		if err != nil {
			return nil, fmt.Errorf("storybook: make the world %q: %w", name, err)
		}
		b.worlds[name] = w
		if fill(w); w.Err() != nil {
			return nil, fmt.Errorf("storybook: fill the world %q: %w", name, w.Err())
		}
	}
	town := b.worlds[worldNormal]
	b.worlds[worldAway] = b.worlds[worldNew].variant(func(v *world) { v.away = true })
	b.worlds[worldRestarted] = town.variant(func(v *world) { v.started = b.now })
	b.worlds[worldBroken] = town.variant(func(v *world) { v.logs = brokenLogs{errors.New("the database has gone away")} })
	b.worlds[worldUnavailable] = town.variant(func(v *world) {
		v.logs = brokenLogs{signalbox.Errorf(signalbox.CodeUnavailable, "The disk of the server is full")}
	})
	for name, w := range b.worlds {
		if err := w.open(); err != nil {
			return nil, fmt.Errorf("storybook: open the world %q: %w", name, err)
		}
	}
	b.stories = tell(n, x)
	for _, s := range b.stories {
		if b.byID[s.id()] != nil || b.worlds[s.World] == nil {
			return nil, fmt.Errorf("storybook: the story %q is told twice, or its world %q does not exist", s.id(), s.World)
		}
		b.byID[s.id()] = s
	}
	return b, nil
}

// Close removes the worlds.
func (b *Book) Close() error {
	var err error
	for _, name := range slices.Sorted(maps.Keys(b.worlds)) {
		if w := b.worlds[name]; filepath.Join(b.dir, name) == w.dir { // not a variant of another
			err = errors.Join(err, w.Store.Close())
		}
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// Path is where the list of all stories is.
const Path = "/storybook"

// displayPath takes what pages look like.
const displayPath = "/account/display"

// cookie holds the story that a browser is in: its world and who looks.
const cookie = "signalbox_story"

// Handler answers with the list of stories, and with every page as it is in the story that the browser has opened last.
func (b *Book) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, b.getIndex)
	mux.HandleFunc(Path+"/open", b.openStory)
	mux.HandleFunc("POST "+displayPath, func(rw http.ResponseWriter, r *http.Request) { // a cookie, whatever the story
		w := b.worlds[worldNormal]
		w.as(signalbox.RoleAdmin, w.pages, w.handler).ServeHTTP(rw, r)
	})
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		s := b.current(r)
		if s == nil {
			if r.URL.Path == "/" || r.Method != http.MethodGet {
				http.Redirect(rw, r, Path, http.StatusSeeOther)
				return
			}
			s = &story{World: worldNormal, Role: signalbox.RoleAdmin} // what the list itself is drawn with
		}
		b.answer(rw, r, s)
	})
	return http.NewCrossOriginProtection().Handler(mux)
}

func (b *Book) current(r *http.Request) *story {
	c, err := r.Cookie(cookie)
	if err != nil {
		return nil
	}
	return b.byID[c.Value]
}

// openStory puts the browser into a story and leads it to the story's address. A form that belongs to the story is sent on to there.
func (b *Book) openStory(rw http.ResponseWriter, r *http.Request) {
	s := b.byID[r.URL.Query().Get("story")]
	if s == nil {
		b.worlds[worldNormal].pages.ErrorPage(rw, r, http.StatusNotFound, signalbox.Errorf(signalbox.CodeNotFound, "There is no such story, or you may not see it"), requestID)
		return
	}
	http.SetCookie(rw, &http.Cookie{Name: cookie, Value: s.id(), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	status := http.StatusSeeOther
	if r.Method == http.MethodPost {
		status = http.StatusTemporaryRedirect
	}
	rw.Header().Set("Location", s.Path)
	rw.WriteHeader(status)
}

// answer is what the pages say in a story. Only what changes nothing gets to them.
func (b *Book) answer(rw http.ResponseWriter, r *http.Request, s *story) {
	w := b.worlds[s.World]
	pages, mux := w.pages, w.handler
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	default:
		if !s.sends(rw, r) {
			pages.ErrorPage(rw, r, http.StatusConflict, errClosed, requestID)
			return
		}
		var err error
		if pages, mux, err = w.newPages(); err != nil {
			w.pages.ErrorPage(rw, r, http.StatusInternalServerError, err, requestID)
			return
		}
	}
	w.as(s.Role, pages, mux).ServeHTTP(rw, r)
}
