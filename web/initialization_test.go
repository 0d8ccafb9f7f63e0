package web

import (
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

func TestInitializationOnThePage(t *testing.T) {
	s := newSite(t)
	wf := s.workflow(s.project("train"), "main", "a change")
	p := s.pipeline(wf, signalbox.Pipeline{Name: "Train", State: signalbox.PipelineInitializing})
	b := s.block(p, signalbox.Block{Kind: signalbox.BlockInit, Index: signalbox.InitIndex, State: signalbox.BlockRunning})
	j := s.job(p, b, signalbox.Job{Name: "Compilation", State: signalbox.JobQueued})
	_, text := s.get("/workflows/" + p.WorkflowID)
	for _, want := range []string{"<h2>Initialization</h2>", `href="/jobs/` + j.ID + `"`, "Preparing pipeline"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if _, text = s.get("/jobs/" + j.ID); !strings.Contains(text, "Initialization") {
		t.Error("the job's page does not say what it is")
	}
	failed := s.pipeline(wf, signalbox.Pipeline{Name: "Train", State: signalbox.PipelineDone, Result: signalbox.ResultFailed, Reason: signalbox.ReasonStuck, ErrorDescription: "its log says why"})
	if _, text = s.get("/workflows/" + p.WorkflowID + "?pipeline_id=" + failed.ID); !strings.Contains(text, "The pipeline could not begin") || strings.Contains(text, "Mend the file") {
		t.Error("a check that failed is shown as a mistake of the file")
	}
}
