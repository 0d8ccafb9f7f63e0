package signalbox_test

import (
	"testing"

	"github.com/signalbox-ci/signalbox"
)

func TestBranchID(t *testing.T) {
	project := signalbox.NewID()
	seen := map[string]bool{}
	for _, name := range []string{"main", "feature/ä&b", "refs/tags/v1", "refs/tags/v1.", "x\u202e"} {
		id := signalbox.BranchID(project, name)
		gotProject, gotName, ok := signalbox.ParseBranchID(id)
		if !ok || gotProject != project || gotName != name {
			t.Errorf("%q comes back as %q of %q, %t", name, gotName, gotProject, ok)
		}
		if seen[id] {
			t.Errorf("%q has the id of another branch", name)
		}
		seen[id] = true
	}
	if id := signalbox.BranchID("no id", "main"); id != "" {
		t.Errorf("a branch of no project has the id %q", id)
	}
	for _, id := range []string{"", "main", "!!", signalbox.BranchID(project, ""), signalbox.BranchID(project, "\xff"), signalbox.BranchID(project, "main") + "="} {
		if _, name, ok := signalbox.ParseBranchID(id); ok {
			t.Errorf("%q is taken for the id of the branch %q", id, name)
		}
	}
}
