package web

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// A page asks for all its modules at once; the log viewer is for pages with a log.
func TestModules(t *testing.T) {
	a, err := newAssets()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range a.files {
		if path.Ext(name) != ".js" {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if m := importFrom.FindStringSubmatch(line); strings.HasPrefix(line, "import ") && (m == nil || a.files["js/"+m[1]] == nil) {
				t.Errorf("%s: %q is not understood: one import is one line, of a file that exists", name, line)
			}
		}
	}
	list, job := a.modules("page", ""), a.modules("page", "log")
	for _, c := range []struct {
		name      string
		list, job bool
	}{{"page", false, false}, {"refresh", true, true}, {"events", true, true}, {"log", false, true}, {"logrows", false, true}, {"clipboard", true, true}} {
		url := a.url("js/" + c.name + ".js")
		if slices.Contains(list, url) != c.list || slices.Contains(job, url) != c.job {
			t.Errorf("%s: %v %v", c.name, list, job)
		}
	}
	if again := slices.Compact(slices.Sorted(slices.Values(job))); len(again) != len(job) {
		t.Errorf("some twice: %v", job)
	}
	if got := a.modules("login", ""); len(got) != 0 {
		t.Error(got)
	}
}
