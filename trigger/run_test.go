package trigger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

func TestPreviewOfARun(t *testing.T) {
	w := newWorld(t)
	first := w.git(w.work, "rev-parse", "HEAD")
	w.git(w.work, "tag", "-a", "-m", "one", "v1")
	if err := os.WriteFile(filepath.Join(w.work, "broken.yml"), []byte("version: v1.0\nblocks: none\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.commit("second", strings.Replace(pipeline, "version: v1.0\n", "version: v1.0\nname: '${{parameters.NAME}}'\n", 1))
	w.git(w.work, "push", "-q", "origin", "main", "v1")
	second := w.git(w.work, "rev-parse", "HEAD")

	for _, c := range []struct {
		what          string
		r             signalbox.RunRequest
		sha, ref      string
		asks          string
		field, saying string
	}{
		{"nothing is said", signalbox.RunRequest{}, second, "refs/heads/main", "NAME", "", ""},
		{"a branch", signalbox.RunRequest{Ref: "main"}, second, "refs/heads/main", "NAME", "", ""},
		{"a tag", signalbox.RunRequest{Ref: "refs/tags/v1"}, first, "refs/tags/v1", "", "", ""},
		{"a commit", signalbox.RunRequest{Ref: "main", SHA: first}, first, "refs/heads/main", "", "", ""},
		{"no such branch", signalbox.RunRequest{Ref: "none"}, "", "", "", "reference", "no branch, tag or commit"},
		{"an option of git", signalbox.RunRequest{Ref: "--all"}, "", "", "", "reference", "no branch, tag or commit"},
		{"a pull request", signalbox.RunRequest{Ref: "refs/pull/1/head"}, "", "", "", "reference", "neither a branch"},
		{"half a commit", signalbox.RunRequest{SHA: first[:12]}, "", "refs/heads/main", "", "commit_sha", "is not the whole SHA"},
		{"an expression in place of a commit", signalbox.RunRequest{SHA: "main~1"}, "", "refs/heads/main", "", "commit_sha", "is not the whole SHA"},
		{"no such commit", signalbox.RunRequest{SHA: strings.Repeat("ab", 20)}, "", "refs/heads/main", "", "commit_sha", "no branch, tag or commit"},
		{"no such file", signalbox.RunRequest{PipelineFile: "none.yml"}, second, "refs/heads/main", "", "pipeline_file", "is not available at commit"},
		{"a folder", signalbox.RunRequest{PipelineFile: ".semaphore"}, second, "refs/heads/main", "", "pipeline_file", "is not available at commit"},
		{"a file that is wrong", signalbox.RunRequest{PipelineFile: "broken.yml"}, second, "refs/heads/main", "", "pipeline_file", "broken.yml:2"},
	} {
		v, err := w.tr.Preview(t.Context(), w.p, c.r)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		asks := ""
		for _, p := range v.Parameters {
			asks += p.Name
		}
		if v.SHA != c.sha || v.Ref != c.ref || asks != c.asks {
			t.Errorf("%s: %+v", c.what, v)
		}
		switch {
		case c.field == "" && len(v.Problems) > 0:
			t.Errorf("%s: %v", c.what, v.Problems)
		case c.field != "" && (len(v.Problems) != 1 || v.Problems[0].Field != c.field || !strings.Contains(signalbox.ErrorMessage(v.Problems[0].Err), c.saying)):
			t.Errorf("%s: %v", c.what, v.Problems)
		}
	}

	gone := *w.p
	gone.GitURL, gone.GitDir = w.bare, w.bare+"/nowhere"
	if _, err := w.tr.Preview(t.Context(), &gone, signalbox.RunRequest{}); signalbox.ErrorCode(err) != signalbox.CodeUnavailable {
		t.Errorf("of a repository that is gone: %v", err)
	}
}

func TestStartByHand(t *testing.T) {
	w := newWorld(t)
	sha := w.git(w.work, "rev-parse", "HEAD")
	r := signalbox.RunRequest{Ref: "main", SHA: sha, Token: "run:1", Requester: "ana", Actor: "user:ana", Parameters: []signalbox.EnvVar{{Name: "A", Value: "b"}}}
	wf, err := w.tr.StartByHand(t.Context(), w.p, r)
	if err != nil {
		t.Fatal(err)
	}
	if wf.TriggeredBy != signalbox.TriggeredByManualRun || wf.Requester != "ana" || wf.CommitSHA != sha || wf.BranchName != "main" {
		t.Errorf("%+v", wf)
	}
	again, err := w.tr.StartByHand(t.Context(), w.p, r)
	if err != nil || again.ID != wf.ID {
		t.Errorf("the same token gives %v, %v", again, err)
	}
}
