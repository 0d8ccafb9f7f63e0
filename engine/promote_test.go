package engine

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

const train = `version: v1.0
name: Train
agent: {machine: {type: s1-linux}}
blocks:
  - name: A
    task: {jobs: [{name: a, commands: ["true"]}]}
promotions:
  - {name: Auto, pipeline_file: auto.yml, auto_promote: {when: "result = 'passed' and branch = 'main'"}}
  - {name: Rescue, pipeline_file: rescue.yml, auto_promote_on: [{result: failed, result_reason: test, branch: ['^ma']}, {result: passed, labels: [other]}]}
  - name: Hand
    pipeline_file: deploy/hand.yml
    parameters:
      env_vars:
        - {name: WHERE, options: [eu, us], default_value: eu, required: true}
        - {name: VERSION}
        - {name: NOTE, required: false}
`

func (w *world) promotions(id string) (out []*signalbox.Promotion) {
	w.Helper()
	w.write(func(tx *store.Tx) (err error) { out, err = tx.PromotionsOf(id); return err })
	return out
}

// initialize plays the part of whoever reads the file of an announced pipeline.
func (w *world) initialize(id, yaml string) *signalbox.Pipeline {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		p, err := tx.Pipeline(id)
		if err != nil {
			return err
		}
		wf, err := tx.Workflow(p.WorkflowID)
		if err != nil {
			return err
		}
		return w.eng.Initialize(tx, id, Compile(wf, p, Source{File: p.File, YAML: []byte(yaml)}), Actor)
	})
	return w.pipeline(id)
}

func TestAutoPromotion(t *testing.T) {
	for result, want := range map[signalbox.JobResult]string{signalbox.JobPassed: "auto.yml", signalbox.JobFailed: "rescue.yml"} {
		w := newWorld(t)
		a := w.agent("one-agent", false)
		first := w.start(train)
		w.run(a, result)
		asked := w.promotions(first.ID)
		if len(asked) != 1 || !asked[0].Auto || asked[0].Error != "" || asked[0].PromotedBy != signalbox.AutoPromotion {
			t.Fatalf("%s: asked for %+v", result, asked)
		}
		p := w.pipeline(asked[0].CreatedPipelineID)
		if p.File != want || p.State != signalbox.PipelineInitializing || p.WorkflowID != first.WorkflowID || p.Origin.PromotedFrom != first.ID {
			t.Fatalf("%s: promoted %+v", result, p)
		}
		if d := cmp.Diff([]string{first.ArtefactID}, p.Origin.Ancestors); d != "" {
			t.Error(d)
		}
		// What happens once is not repeated by a start.
		w.write(func(tx *store.Tx) error { return w.eng.Advance(tx, first.ID) })
		if n := len(w.promotions(first.ID)); n != 1 {
			t.Errorf("%s: promoted %d times", result, n)
		}
		p = w.initialize(p.ID, twoBlocks)
		if p.State != signalbox.PipelineRunning || p.QueueKey == first.QueueKey {
			t.Errorf("%s: %s in the queue %q", result, p.State, p.QueueKey)
		}
		next := w.run(a, signalbox.JobPassed)
		env := w.env(next.JobID)
		for name, want := range map[string]string{
			"SEMAPHORE_PIPELINE_PROMOTION": "true", "SEMAPHORE_PIPELINE_PROMOTED_BY": "auto-promotion",
			"SEMAPHORE_PIPELINE_0_ARTEFACT_ID": first.ArtefactID, "SEMAPHORE_PIPELINE_1_ARTEFACT_ID": p.ArtefactID,
		} {
			if env[name] != want {
				t.Errorf("%s is %q, want %q", name, env[name], want)
			}
		}
	}
}

// env is the environment of a job, the last value of each name.
func (w *world) env(jobID string) map[string]string {
	w.Helper()
	out := map[string]string{}
	w.write(func(tx *store.Tx) error {
		c := JobContext{Project: w.p}
		var err error
		if c.Job, err = tx.Job(jobID); err != nil {
			return err
		}
		if c.Pipeline, err = tx.Pipeline(c.Job.PipelineID); err != nil {
			return err
		}
		if c.Block, err = tx.Block(c.Job.BlockID); err != nil {
			return err
		}
		if c.Workflow, err = tx.Workflow(c.Job.WorkflowID); err != nil {
			return err
		}
		for _, e := range JobEnv(c) {
			out[e.Name] = e.Value
		}
		return nil
	})
	return out
}

func TestPromotingByHand(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	first := w.start(train)
	promote := func(r PromoteRequest) (p *signalbox.Promotion, err error) {
		err = w.st.Write(t.Context(), func(tx *store.Tx) error {
			p, err = w.eng.Promote(tx, first.ID, r, "user:ann")
			return err
		})
		return p, err
	}
	vars := func(kv ...string) (out []signalbox.EnvVar) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, signalbox.EnvVar{Name: kv[i], Value: kv[i+1]})
		}
		return out
	}
	refused := func(r PromoteRequest, code signalbox.Code, want string) {
		t.Helper()
		if _, err := promote(r); signalbox.ErrorCode(err) != code || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", r, err, want)
		}
	}
	refused(PromoteRequest{Name: "Hand", By: "ann", Parameters: vars("VERSION", "1")}, signalbox.CodeInvalid,
		"Triggering target when pipeline is not passed requires override confirmation.")
	if _, err := promote(PromoteRequest{Name: "Hand", By: "ann", Override: true, Parameters: vars("VERSION", "0")}); err != nil {
		t.Errorf("with override: %v", err)
	}
	w.run(a, signalbox.JobPassed)
	refused(PromoteRequest{Name: "Nope", By: "ann"}, signalbox.CodeNotFound, `has no promotion "Nope"; it has "Auto", "Rescue", "Hand"`)
	refused(PromoteRequest{Name: "Hand", By: "ann"}, signalbox.CodeInvalid, "Missing value for required parameter 'VERSION'.")
	refused(PromoteRequest{Name: "Hand", By: "ann", Parameters: vars("VERSION", "1", "WHO", "x")}, signalbox.CodeInvalid, "Parameter 'WHO' is not defined in promotion's yml definition.")
	refused(PromoteRequest{Name: "Hand", By: "ann", Parameters: vars("VERSION", "1", "WHERE", "mars")}, signalbox.CodeInvalid, "Value 'mars' of parameter 'WHERE' is not one of predefined options.")

	got, err := promote(PromoteRequest{Name: "Hand", By: "ann", Token: "t", Parameters: vars("VERSION", "", "NOTE", "n")})
	if err != nil {
		t.Fatal(err)
	}
	again, err := promote(PromoteRequest{Name: "Hand", By: "ann", Token: "t", Parameters: vars("VERSION", "2")})
	if err != nil || again.CreatedPipelineID != got.CreatedPipelineID {
		t.Errorf("the same request again made %+v, %v", again, err)
	}
	p := w.pipeline(got.CreatedPipelineID)
	if d := cmp.Diff(vars("WHERE", "eu", "VERSION", "", "NOTE", "n"), p.Origin.Parameters); d != "" || p.File != "deploy/hand.yml" || p.Origin.PromotedBy != "ann" {
		t.Error(d, p)
	}
	p = w.initialize(p.ID, strings.Replace(twoBlocks, "name: a,", `name: a, env_vars: [{name: NOTE, value: mine}],`, 1))
	at := w.offer(a)
	for w.job(at.JobID).PipelineID != p.ID { // the automatic one's jobs wait for its file
		t.Fatalf("offered %+v", w.job(at.JobID))
	}
	env := w.env(at.JobID)
	if env["WHERE"] != "eu" || env["NOTE"] != "mine" || env["SEMAPHORE_PIPELINE_PROMOTED_BY"] != "ann" {
		t.Errorf("WHERE %q, NOTE %q, by %q", env["WHERE"], env["NOTE"], env["SEMAPHORE_PIPELINE_PROMOTED_BY"])
	}
}

// Without anybody who could decide, nobody may promote to a deployment target.
func TestADeploymentTargetIsClosed(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	first := w.start(twoBlocks + "promotions:\n  - {name: Prod, pipeline_file: p.yml, deployment_target: production, auto_promote: {when: true}}\n")
	w.run(a, signalbox.JobPassed)
	w.run(a, signalbox.JobPassed)
	asked := w.promotions(first.ID)
	if len(asked) != 1 || asked[0].CreatedPipelineID != "" || !strings.Contains(asked[0].Error, "deployment target not found") {
		t.Errorf("automatic: %+v", asked)
	}
	err := w.st.Write(t.Context(), func(tx *store.Tx) error {
		_, err := w.eng.Promote(tx, first.ID, PromoteRequest{Name: "Prod", By: "ann"}, "user:ann")
		return err
	})
	if signalbox.ErrorCode(err) != signalbox.CodeInvalid {
		t.Errorf("by hand: %v", err)
	}
	if p := w.pipeline(first.ID); p.Result != signalbox.ResultPassed {
		t.Errorf("the pipeline became %s", p.Result)
	}
}

func TestAPromotionThatCannotBeReadFails(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	first := w.start(train)
	w.run(a, signalbox.JobPassed)
	id := w.promotions(first.ID)[0].CreatedPipelineID
	w.write(func(tx *store.Tx) error {
		return w.eng.Initialize(tx, id, Compiled{Name: "Pipeline", Err: "File 'auto.yml' is not available"}, Actor)
	})
	if p := w.pipeline(id); p.Result != signalbox.ResultFailed || p.Reason != signalbox.ReasonMalformed {
		t.Errorf("%s %s/%s", p.State, p.Result, p.Reason)
	}
	if p := w.pipeline(first.ID); p.Result != signalbox.ResultPassed {
		t.Errorf("the parent became %s", p.Result)
	}
	// Initializing twice, as two servers may, changes nothing.
	w.write(func(tx *store.Tx) error {
		return w.eng.Initialize(tx, id, Compiled{Name: "x", Plan: &signalbox.Plan{}}, Actor)
	})
	if p := w.pipeline(id); p.Result != signalbox.ResultFailed {
		t.Errorf("%s after a second initialization", p.Result)
	}
}

func TestStopWhileInitializing(t *testing.T) {
	w := newWorld(t)
	a := w.agent("one-agent", false)
	first := w.start(train)
	w.run(a, signalbox.JobPassed)
	id := w.promotions(first.ID)[0].CreatedPipelineID
	w.write(func(tx *store.Tx) error { return w.eng.StopPipeline(tx, id, "user:ann", signalbox.ReasonUser) })
	if p := w.initialize(id, twoBlocks); p.State != signalbox.PipelineDone || p.Result != signalbox.ResultCanceled || p.Reason != signalbox.ReasonUser {
		t.Errorf("%s %s/%s", p.State, p.Result, p.Reason)
	}
}

func TestAutoPromotes(t *testing.T) {
	branch := &signalbox.Workflow{RefType: "branch", BranchName: "main", Label: "main"}
	tag := &signalbox.Workflow{RefType: "tag", BranchName: "refs/tags/v1", Label: "v1"}
	for _, tt := range []struct {
		rule   signalbox.AutoRule
		w      *signalbox.Workflow
		result signalbox.Result
		reason signalbox.Reason
		want   bool
	}{
		{signalbox.AutoRule{When: "true"}, branch, signalbox.ResultFailed, "", true},
		{signalbox.AutoRule{When: "result = 'passed' and branch = 'main'"}, branch, signalbox.ResultPassed, "", true},
		{signalbox.AutoRule{When: "result = 'passed' and branch = 'main'"}, tag, signalbox.ResultPassed, "", false},
		{signalbox.AutoRule{When: "tag =~ '^v'"}, tag, signalbox.ResultPassed, "", true},
		{signalbox.AutoRule{When: "result_reason = 'internal'"}, branch, signalbox.ResultFailed, signalbox.ReasonAgentLost, true},
		{signalbox.AutoRule{When: "change_in('/a') and result = 'passed' or change_in('/b')", Calls: []signalbox.CallResult{{Value: false}, {Value: true}}}, branch, signalbox.ResultPassed, "", true},
		{signalbox.AutoRule{On: []signalbox.AutoOn{{Result: "passed", Patterns: []string{"^refs/tags/v"}}}}, tag, signalbox.ResultPassed, "", true},
		{signalbox.AutoRule{On: []signalbox.AutoOn{{Result: "passed", Patterns: []string{"^v"}}}}, tag, signalbox.ResultPassed, "", false},
		{signalbox.AutoRule{On: []signalbox.AutoOn{{Result: "passed", Labels: []string{"v1"}}}}, tag, signalbox.ResultPassed, "", true},
		{signalbox.AutoRule{On: []signalbox.AutoOn{{Result: "passed", Labels: []string{"v2"}}}}, tag, signalbox.ResultPassed, "", false},
		{signalbox.AutoRule{On: []signalbox.AutoOn{{Result: "failed", Reason: "test"}}}, branch, signalbox.ResultFailed, signalbox.ReasonTimeout, false},
		{signalbox.AutoRule{When: "result = 'failed'", On: []signalbox.AutoOn{{Result: "passed"}}}, branch, signalbox.ResultPassed, "", true},
	} {
		got, why, err := AutoPromotes(signalbox.PlanPromotion{Name: "P", Auto: &tt.rule}, tt.w, tt.result, tt.reason)
		if err != nil || got != tt.want || why == "" {
			t.Errorf("%+v: %v (%s), %v", tt.rule, got, why, err)
		}
	}
	rule := &signalbox.AutoRule{When: "change_in('/a')"}
	if _, _, err := AutoPromotes(signalbox.PlanPromotion{Name: "P", Auto: rule}, branch, signalbox.ResultPassed, ""); err == nil {
		t.Error("a function that was never asked has a value")
	}
}
