package web

import (
	"net/url"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// trainSite has a pipeline that has failed, with a skipped block, a block of after_pipeline, warnings and promotions.
func trainSite(t *testing.T) (*site, *signalbox.Pipeline) {
	s := newSite(t)
	wf := s.workflow(s.project("train"), "main", "a change")
	plan := &signalbox.Plan{
		Name: "Train", Warnings: []string{"p.yml:3:4: warning: <b>look</b>"},
		Blocks: []signalbox.PlanBlock{
			{Name: "Test", Jobs: []signalbox.PlanJob{{Name: "unit"}}},
			{Name: "Docs", Skip: "its run condition does not hold (line 9)", Dependencies: []int{0}, Jobs: []signalbox.PlanJob{{Name: "d"}}},
		},
		After: []signalbox.PlanJob{{Name: "report"}},
		Promotions: []signalbox.PlanPromotion{
			{Name: "Staging", File: ".semaphore/staging.yml", Auto: &signalbox.AutoRule{When: "result = 'passed'"}},
			{Name: "Production <x>", File: ".semaphore/prod.yml", Parameters: []signalbox.Parameter{
				{Name: "WHERE", Options: []string{"eu", "us"}, Default: "eu", Description: "Where to"}, {Name: "VERSION"}, {Name: "NOTE", Optional: true},
			}},
		},
	}
	p := s.pipeline(wf, signalbox.Pipeline{Name: "Train", State: signalbox.PipelineDone, Result: signalbox.ResultFailed, Reason: signalbox.ReasonTest, Plan: plan, RunningAt: s.ago(60e9), DoneAt: s.ago(30e9)})
	test := s.block(p, signalbox.Block{Index: 0, Name: "Test", State: signalbox.BlockDone, Result: signalbox.ResultFailed, Reason: signalbox.ReasonTest})
	s.block(p, signalbox.Block{Index: 1, Name: "Docs", Dependencies: []int{0}, State: signalbox.BlockDone, Result: signalbox.ResultPassed, Reason: signalbox.ReasonSkipped})
	after := s.block(p, signalbox.Block{Kind: signalbox.BlockAfter, Index: signalbox.AfterIndex, Name: "Nameless block 1", State: signalbox.BlockRunning})
	s.job(p, test, signalbox.Job{Name: "unit", State: signalbox.JobFinished, Result: signalbox.JobFailed, Reason: signalbox.ReasonTest})
	s.job(p, after, signalbox.Job{Name: "report", State: signalbox.JobQueued})
	s.write(func(tx *store.Tx) error {
		for _, asked := range []*signalbox.Promotion{
			{PipelineID: p.ID, Name: "Staging", Token: "1", PromotedBy: signalbox.AutoPromotion, CreatedPipelineID: "made-id"},
			{PipelineID: p.ID, Name: "Staging", Token: "2", PromotedBy: "bob", Error: "not <allowed>"},
		} {
			if _, _, err := tx.CreatePromotion(asked, "test"); err != nil {
				return err
			}
		}
		return nil
	})
	return s, p
}

func TestPromotionsOnThePage(t *testing.T) {
	s, p := trainSite(t)
	status, text := s.get("/workflows/" + p.WorkflowID)
	if status != 200 {
		t.Fatal(status)
	}
	for _, want := range []string{
		"Skipped: its run condition does not hold (line 9)", "After the pipeline", "report", "p.yml:3:4: warning: &lt;b&gt;look&lt;/b&gt;",
		"automatic when result = &#39;passed&#39;", "Production &lt;x&gt;", `name="p.WHERE"`, `<option value="eu" selected>`, `name="p.VERSION" value="" required`,
		"The pipeline has not passed", "Refused: not &lt;allowed&gt;", "pipeline_id=made-id", "Rerun failed jobs", "Rerun all", "Where to",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "Nameless block 1") {
		t.Error("the block of after_pipeline has a name that nobody knows")
	}
	s.as(signalbox.RoleViewer)
	if _, text = s.get("/workflows/" + p.WorkflowID); strings.Contains(text, "Promote…") || strings.Contains(text, "Rerun all") {
		t.Error("a viewer is offered to start something")
	}
}

// An address may name a promotion and what is to be filled in; it never starts anything.
func TestPromotionInTheAddress(t *testing.T) {
	s, p := trainSite(t)
	at := func(promote string, values ...string) string {
		q := url.Values{"promote": {promote}}
		for i := 0; i < len(values); i += 2 {
			q.Set("param."+values[i], values[i+1])
		}
		status, text := s.get("/workflows/" + p.WorkflowID + "?" + q.Encode())
		if status != 200 {
			t.Fatal(status)
		}
		checkPage(t, text)
		return text
	}
	if text := at("Staging"); strings.Count(text, "promo-start\" open") != 1 {
		t.Error("the promotion is not open, or not alone")
	}
	text := at("Production <x>", "VERSION", `2.0"><script>alert(1)</script>`, "WHERE", "us")
	for _, want := range []string{"promo-start\" open", `<option value="us" selected>us</option>`, `value="2.0&#34;&gt;&lt;script&gt;`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if text := at("Production <x>", "WHERE", "moon"); !strings.Contains(text, `<option value="eu" selected>`) || strings.Contains(text, ">moon<") {
		t.Error("an option that there is not was taken")
	}
	if text := at("Nothing"); strings.Contains(text, "promo-start\" open") {
		t.Error("some promotion is open")
	}
	s.as(signalbox.RoleViewer)
	if text := at("Staging"); strings.Contains(text, "promo-start") {
		t.Error("a viewer is offered to start something")
	}
	if len(s.stops) > 0 {
		t.Errorf("something was started: %q", s.stops)
	}
}

func TestPromoteAndRerun(t *testing.T) {
	s, p := trainSite(t)
	base := "/workflows/" + p.WorkflowID
	form := url.Values{"name": {"Production <x>"}, "p.WHERE": {"us"}, "p.VERSION": {"1\r\n2"}, "p.NOTE": {""}, "p.OTHER": {"x"}, "override": {"true"}}
	if status, h, _ := s.do("POST", base+"/pipelines/"+p.ID+"/promote", form); status != 303 || h.Get("Location") != base+"?pipeline_id=the-promoted" {
		t.Errorf("promoting answers %d to %q", status, h.Get("Location"))
	}
	if status, h, _ := s.do("POST", base+"/pipelines/"+p.ID+"/rerun", url.Values{}); status != 303 || h.Get("Location") != base+"?pipeline_id=the-repeat" {
		t.Errorf("repeating answers %d to %q", status, h.Get("Location"))
	}
	if status, h, _ := s.do("POST", base+"/rerun", url.Values{}); status != 303 || h.Get("Location") != "/workflows/the-new" {
		t.Errorf("repeating all answers %d to %q", status, h.Get("Location"))
	}
	var unit string
	s.write(func(tx *store.Tx) error {
		jobs, err := tx.JobsOf(p.ID)
		unit = jobs[0].ID
		return err
	})
	if _, text := s.get("/jobs/" + unit); !strings.Contains(text, "Run this job again") {
		t.Error("the page of a job does not offer to run it again")
	}
	if status, h, _ := s.do("POST", "/jobs/"+unit+"/rerun", url.Values{}); status != 303 || h.Get("Location") != "/workflows/the-workflow?pipeline_id=the-repeat" {
		t.Errorf("repeating a job answers %d to %q", status, h.Get("Location"))
	}
	want := []string{
		"promote " + p.ID + ` "Production <x>" [{WHERE us} {VERSION 1` + "\n" + `2}] true by ana as user:ana`,
		"rerun pipeline " + p.ID + " by ana as user:ana", "rerun workflow " + p.WorkflowID + " by ana as user:ana",
		"rerun job " + unit + " by ana as user:ana",
	}
	if got := strings.Join(s.stops, "|"); got != strings.Join(want, "|") {
		t.Errorf("got %q", s.stops)
	}
	if status, _, _ := s.do("POST", "/workflows/"+signalbox.NewID()+"/pipelines/"+p.ID+"/promote", form); status != 404 {
		t.Errorf("a pipeline of another workflow answers %d", status)
	}
	s.fail = signalbox.Errorf(signalbox.CodeInvalid, "Missing value for required parameter 'VERSION'.")
	if status, _, text := s.do("POST", base+"/pipelines/"+p.ID+"/promote", form); status != 400 || !strings.Contains(text, "Missing value for required parameter") {
		t.Errorf("a refusal answers %d", status)
	}
	s.as(signalbox.RoleViewer)
	for _, path := range []string{base + "/rerun", base + "/pipelines/" + p.ID + "/rerun", base + "/pipelines/" + p.ID + "/promote"} {
		if status, _, _ := s.do("POST", path, form); status != 403 {
			t.Errorf("a viewer's %s answers %d", path, status)
		}
	}
}

// A job that was taken over leads to the one that ran.
func TestACopiedJob(t *testing.T) {
	s, p := trainSite(t)
	var b *signalbox.Block
	s.write(func(tx *store.Tx) error {
		all, err := tx.Blocks(p.ID)
		b = all[0]
		return err
	})
	j := s.job(p, b, signalbox.Job{Name: "copy", Index: 7, State: signalbox.JobFinished, Result: signalbox.JobPassed, Copied: true, OriginalID: "the-original"})
	status, text := s.get("/jobs/" + j.ID)
	for _, want := range []string{"This job did not run again", `href="/jobs/the-original"`, "Passed earlier", "Taken over from an earlier run"} {
		if status != 200 || !strings.Contains(text, want) {
			t.Errorf("%d, the page lacks %q", status, want)
		}
	}
}
