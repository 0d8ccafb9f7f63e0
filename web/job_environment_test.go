package web

import (
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

// A job's page names what the job gets and shows no value of it, and names of secrets only to those who may see them.
func TestJobEnvironment(t *testing.T) {
	s := newSite(t)
	l := s.pipeline(s.workflow(s.project("shop"), "main", "Sell things"), signalbox.Pipeline{Name: "Build", State: signalbox.PipelineRunning})
	block := s.block(l, signalbox.Block{Name: "Ship", State: signalbox.BlockRunning})
	full := s.job(l, block, signalbox.Job{Name: "Ship it", State: signalbox.JobQueued, AgentType: "s1-linux", Spec: signalbox.JobSpec{
		EnvVars: []signalbox.EnvVar{{Name: "REGION", Value: "value-north"}, {Name: "REGION", Value: "value-south"}, {Name: "A<b>", Value: "value-x"}},
		Secrets: []string{"registry-login"},
		Files:   []signalbox.File{{Path: ".netrc", Content: []byte("value-content")}},
		Containers: []signalbox.Container{{
			Name: "main", Image: "registry.example/tool:1", EnvVars: []signalbox.EnvVar{{Name: "LEVEL", Value: "value-high"}}, Secrets: []string{"image-secret"},
		}},
	}})
	bare := s.job(l, block, signalbox.Job{Index: 1, Name: "Bare", State: signalbox.JobQueued, AgentType: "s1-linux"})
	_, text := s.get("/jobs/" + full.ID)
	for _, want := range []string{"<li>REGION</li>", "<li>LEVEL</li>", "<li>A&lt;b&gt;</li>", "<li>registry-login</li>", "<li>image-secret</li>", "<li>.netrc</li>", "<li>registry.example/tool:1</li>", "signalbox job logs " + full.ID + " --follow"} {
		if n := strings.Count(text, want); n != 1 {
			t.Errorf("%q is there %d times", want, n)
		}
	}
	if strings.Contains(text, "value-") {
		t.Error("a value is on the page")
	}
	s.as(signalbox.RoleViewer)
	if _, text := s.get("/jobs/" + full.ID); strings.Contains(text, "registry-login") || strings.Contains(text, "image-secret") || !strings.Contains(text, "<li>REGION</li>") || strings.Contains(text, "job stop") {
		t.Error("a viewer sees names of secrets, or not those of variables, or what they may not do")
	}
	if _, text := s.get("/jobs/" + bare.ID); strings.Contains(text, `id="environment"`) {
		t.Error("a job that gets nothing has a list of it")
	}
}
