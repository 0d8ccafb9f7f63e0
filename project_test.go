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

func TestWithoutPassword(t *testing.T) {
	for address, want := range map[string]string{
		"https://ana:hunter2@git.example/x.git":              "https://ana:xxxxx@git.example/x.git",
		"https://ana:hun/ter2@git.example/x.git":             "https://ana:xxxxx@git.example/x.git",
		"https://ana:hun@ter2@git.example/x.git":             "https://ana:xxxxx@git.example/x.git",
		"https://ana:%zz@git.example:8080/x.git":             "https://ana:xxxxx@git.example:8080/x.git",
		"https://:hunter2@git.example/x.git":                 "https://:xxxxx@git.example/x.git",
		"https://ana@git.example/x.git":                      "https://ana@git.example/x.git",
		"https://ghp_0123456789abcdef@git.example/x.git":     "https://xxxxx@git.example/x.git",
		"ssh://a-long-name-of-somebody@git.example:22/x.git": "ssh://a-long-name-of-somebody@git.example:22/x.git",
		"https://git.example:8080/a@b.git":                   "https://git.example:8080/a@b.git",
		"ssh://git@git.example:22/x.git":                     "ssh://git@git.example:22/x.git",
		"git@git.example:me/x.git":                           "git@git.example:me/x.git",
		"/srv/git/a b@c:d.git":                               "/srv/git/a b@c:d.git",
		"":                                                   "",
	} {
		if got := WithoutPassword(address); got != want {
			t.Errorf("%s is shown as %s", address, got)
		}
	}
}

func TestCheckAddress(t *testing.T) {
	for address, good := range map[string]bool{
		"https://ana:xxxxx@git.example/x.git": false, "https://xxxxx@git.example/x.git": false, "https://:xxxxx@git.example/x.git": false,
		"https://xxxxx:hunter2@git.example/x.git": true, "https://ana:hunter2@git.example/x.git": true, "https://git.example/xxxxx.git": true, "/srv/xxxxx": true, "git@git.example:x.git": true,
	} {
		if err := CheckAddress(address); (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		}
	}
	p := &Project{GitURL: "https://ana:hunter2@git.example/x.git"}
	if !p.SameAddress(p.GitURL) || !p.SameAddress("https://ana:xxxxx@git.example/x.git") || p.SameAddress("https://ana@git.example/x.git") || p.SameAddress("") {
		t.Error("which address is the project's own")
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
