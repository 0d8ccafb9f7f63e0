package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

// Somebody gives a project their star: its workflows stand under a tab of the home page, and the list of projects finds it.
func TestStars(t *testing.T) {
	s := newSite(t)
	s.account("ana", signalbox.RoleMember, "")
	shop, other := s.project("shop"), s.project("depot")
	s.workflow(shop, "main", "Sell things")
	s.workflow(other, "main", "Store things")
	star := func(name, on string) (int, string) {
		status, h, _ := s.do("POST", "/projects/"+name+"/star", url.Values{"on": {on}})
		return status, h.Get("Location")
	}
	shows := func(path string, want, hidden []string) {
		t.Helper()
		status, text := s.get(path)
		if status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s does not say %q", path, w)
			}
		}
		for _, h := range hidden {
			if strings.Contains(text, h) {
				t.Errorf("%s says %q", path, h)
			}
		}
	}
	shows("/?dashboard=starred", []string{"No project has your star"}, []string{"Sell things"})
	shows("/projects?show=starred", []string{"Nothing matches", "No project has your star"}, []string{">shop<"})
	for range 2 {
		if status, to := star("shop", "true"); status != http.StatusSeeOther || to != "/projects/shop" {
			t.Fatalf("status %d to %q", status, to)
		}
	}
	shows("/?dashboard=starred", []string{"Sell things"}, []string{"Store things", "No project has your star"})
	shows("/?dashboard=starred&project=depot", []string{"Nothing matches"}, []string{"Store things"})
	shows("/?dashboard=starred&author=nobody", []string{"Nothing matches"}, []string{"Sell things"})
	shows("/projects?show=starred", []string{">shop<"}, []string{">depot<"})
	shows("/projects", []string{">shop<", ">depot<", `title="Starred"`}, nil)
	shows("/projects/shop", []string{`name="on" value="false"`, "Starred</button>"}, nil)
	shows("/projects/depot", []string{`name="on" value="true"`, "Star</button>"}, nil)
	if status, _ := star("none", "true"); status != http.StatusNotFound {
		t.Errorf("a project that is not there: %d", status)
	}
	s.as(signalbox.RoleViewer) // a star is everybody's own
	if status, _ := star("shop", "false"); status != http.StatusSeeOther {
		t.Errorf("taken off: %d", status)
	}
	shows("/?dashboard=starred", []string{"No project has your star"}, []string{"Sell things"})
}
