package signalbox

import (
	"slices"
	"strings"
	"testing"
)

func TestRefKinds(t *testing.T) {
	p := &Project{DefaultBranch: "main"}
	for _, c := range []struct {
		w    Workflow
		want RefKind
	}{
		{Workflow{RefType: "branch", BranchName: "main"}, RefDefaultBranch},
		{Workflow{RefType: "branch", BranchName: "fix"}, RefOtherBranch},
		{Workflow{RefType: "tag", BranchName: "refs/tags/main", Label: "main"}, RefTag},
		{Workflow{RefType: "pull-request", BranchName: "main"}, RefForkedPullRequest},
		{Workflow{RefType: "unheard of", BranchName: "main"}, RefForkedPullRequest},
	} {
		if got := RefKindOf(p, &c.w); got != c.want {
			t.Errorf("%s %s is %s, want %s", c.w.RefType, c.w.BranchName, got, c.want)
		}
	}
}

func TestParseRefKinds(t *testing.T) {
	got, err := ParseRefKinds("debug", []string{"tag", "empty", "tag", "default_branch"})
	if err != nil || !slices.Equal(got, []RefKind{RefTag, RefEmpty, RefDefaultBranch}) {
		t.Errorf("%v, %v", got, err)
	}
	for what, name := range map[string]string{"debug": "branches", "attach": "empty"} {
		if _, err := ParseRefKinds(what, []string{name}); ErrorCode(err) != CodeInvalid || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s %s: %v", what, name, err)
		}
	}
}
