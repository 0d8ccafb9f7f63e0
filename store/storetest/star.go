package storetest

import (
	"fmt"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func testStars(s *suite) {
	w, ann, mei := s.world(), s.user("ann"), s.user("mei")
	star := func(u *signalbox.User, id string) { s.write(func(t *store.Tx) error { return t.Star(u.ID, id) }) }
	starred := func(u *signalbox.User) map[string]bool {
		return get(s, func(t *store.Tx) (map[string]bool, error) { return t.Starred(u.ID) })
	}
	for range 2 {
		star(ann, w.project.ID)
		s.equal("starred", starred(ann), map[string]bool{w.project.ID: true})
	}
	s.equal("by somebody else", starred(mei), map[string]bool{})
	found := func(u *signalbox.User) int {
		return len(get(s, func(t *store.Tx) ([]*signalbox.Project, error) {
			return t.FindProjects(store.ProjectFilter{StarredBy: u.ID})
		}))
	}
	s.equal("found by stars", []int{found(ann), found(mei)}, []int{1, 0})
	for i := range 99 {
		p := &signalbox.Project{Name: fmt.Sprintf("p%d", i), GitURL: "/x"}
		s.write(func(t *store.Tx) error { return t.CreateProject(p, "ann") })
		star(ann, p.ID)
	}
	more := &signalbox.Project{Name: "more", GitURL: "/x"}
	s.write(func(t *store.Tx) error { return t.CreateProject(more, "ann") })
	s.refused(signalbox.CodeInvalid, func(t *store.Tx) error { return t.Star(ann.ID, more.ID) })
	star(ann, w.project.ID)
	for range 2 {
		s.write(func(t *store.Tx) error { return t.Unstar(ann.ID, w.project.ID) })
	}
	star(ann, more.ID)
	s.write(func(t *store.Tx) error { return t.DeleteProject(more.ID, "ann") })
	s.equal("a deleted project", starred(ann)[more.ID], false)
}
