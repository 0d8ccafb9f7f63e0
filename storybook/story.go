package storybook

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// The worlds, by name.
const (
	worldNew         = "new"         // nobody can sign in yet
	worldAway        = "away"        // the same, looked at from another machine
	worldEmpty       = "empty"       // right after the set-up
	worldBegun       = "begun"       // an agent and a project, nothing has run
	worldNormal      = "normal"      // a small team
	worldRestarted   = "restarted"   // the same, and the server has just started
	worldBroken      = "broken"      // the same, and logs cannot be read
	worldUnavailable = "unavailable" // the same, and logs cannot be read for a while
	worldExtreme     = "extreme"     // hostile text, and too much of everything
)

// story is one view in one state.
type story struct {
	View, State string
	World       string
	Role        signalbox.Role // of who looks, "" for nobody
	Path        string
	Form        url.Values // sent to Path, nil for a page that is only looked at
	Status      int        // of the answer, 0 is 200
	Says        []string   // that the page must say, as it stands there
	Part        bool       // the answer is a piece of a page, which scripts put into one
}

func (s *story) status() int {
	if s.Status == 0 {
		return http.StatusOK
	}
	return s.Status
}

// id names a story in addresses, the same in every book.
func (s *story) id() string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r == ' ', r == '/', r == '-':
			return '-'
		}
		return -1
	}, s.View+"-"+s.State)
}

// sends tells whether a request is the form of the story, to the letter.
func (s *story) sends(rw http.ResponseWriter, r *http.Request) bool {
	if s.Form == nil || r.Method != http.MethodPost || r.URL.RequestURI() != s.Path {
		return false
	}
	r.Body = http.MaxBytesReader(rw, r.Body, 64<<10)
	return r.ParseForm() == nil && reflect.DeepEqual(r.PostForm, s.Form)
}
