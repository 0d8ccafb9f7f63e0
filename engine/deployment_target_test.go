package engine

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

const shipping = `version: v1.0
name: Ship it
agent: {machine: {type: s1-linux}}
blocks:
  - name: A
    task: {jobs: [{name: a, commands: ["true"]}]}
promotions:
  - name: Production
    pipeline_file: deploy.yml
    deployment_target: production
    parameters: {env_vars: [{name: VERSION}]}
  - {name: Auto, pipeline_file: auto.yml, deployment_target: production, auto_promote: {when: "true"}}
  - {name: Plain, pipeline_file: plain.yml}
`

// deploy is a pipeline of two blocks with a promotion of its own and something after it.
const deploy = `version: v1.0
name: Deploy
agent: {machine: {type: s1-linux}}
blocks:
  - name: B
    task: {jobs: [{name: b, commands: ["true"]}, {name: c, commands: ["true"]}]}
after_pipeline:
  task: {jobs: [{name: after, commands: ["true"]}]}
promotions:
  - {name: Next, pipeline_file: next.yml}
`

func onBoth(t *testing.T, test func(w *world)) {
	for name, open := range map[string]func(testing.TB) *store.Store{"sqlite": storetest.OpenSQLite, "postgres": storetest.OpenPostgres} {
		t.Run(name, func(t *testing.T) {
			w := worldOn(t, open(t))
			w.write(func(tx *store.Tx) error {
				for name, role := range map[string]signalbox.Role{"ann": signalbox.RoleMember, "bob": signalbox.RoleMember} {
					if err := tx.CreateUser(&signalbox.User{Name: name, Role: role}); err != nil {
						return err
					}
				}
				return nil
			})
			test(w)
		})
	}
}

// target stores the deployment target production, which ann may use from main.
func (w *world) target(subjects ...signalbox.SubjectRule) *signalbox.DeploymentTarget {
	w.Helper()
	d := &signalbox.DeploymentTarget{
		ID: signalbox.NewID(), ProjectID: w.p.ID, Name: "production", Bookmarks: [3]string{"VERSION"}, Subjects: subjects,
		Objects: []signalbox.ObjectRule{{Type: signalbox.ObjectBranch, Match: signalbox.MatchExact, Pattern: "main"}},
	}
	w.write(func(tx *store.Tx) error {
		if subjects == nil {
			ann, err := tx.UserByName("ann")
			if err != nil {
				return err
			}
			d.Subjects = []signalbox.SubjectRule{{Type: signalbox.SubjectUser, ID: ann.ID}}
		}
		return tx.CreateDeploymentTarget(d, "", "test")
	})
	return d
}

// change changes the target.
func (w *world) change(d *signalbox.DeploymentTarget, how func(*signalbox.DeploymentTarget)) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		now, err := tx.LockDeploymentTarget(d.ID)
		if err != nil {
			return err
		}
		how(now)
		return tx.UpdateDeploymentTarget(now, "test", "changed", "")
	})
}

func (w *world) promote(id string, r PromoteRequest) (p *signalbox.Promotion, err error) {
	err = w.st.Write(w.Context(), func(tx *store.Tx) error { p, err = w.eng.Promote(tx, id, r, "user:"+r.By); return err })
	return p, err
}

func (w *world) deployments(d *signalbox.DeploymentTarget) (out []*signalbox.Deployment) {
	w.Helper()
	w.write(func(tx *store.Tx) (err error) {
		out, err = tx.Deployments(store.DeploymentFilter{TargetID: d.ID, Limit: 1000})
		return err
	})
	return out
}

// refused checks that a request ended with a text of the target, which stands in its history under the id that it names.
func (w *world) refused(what string, d *signalbox.DeploymentTarget, err error, want signalbox.TargetRefusal) {
	w.Helper()
	text := "Triggering promotion with deployment target failed: " + string(want) + " (error ID: "
	if signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.HasPrefix(signalbox.ErrorMessage(err), text) {
		w.Errorf("%s: %v, want %s", what, err, text)
		return
	}
	newest := w.deployments(d)[0]
	if signalbox.ErrorMessage(err) != text+newest.ID+")" || newest.State != signalbox.DeploymentFailed || newest.Message != signalbox.ErrorMessage(err) || newest.PipelineID != "" {
		w.Errorf("%s: %v, and the history says %+v", what, err, newest)
	}
}

var version1 = []signalbox.EnvVar{{Name: "VERSION", Value: "1"}}

func TestPromotingThroughATarget(t *testing.T) {
	onBoth(t, func(w *world) {
		a := w.agent("one-agent", false)
		d := w.target()
		first := w.start(shipping)
		w.run(a, signalbox.JobPassed)

		// What the automatic promotion was told stands in both histories.
		asked := w.promotions(first.ID)
		if len(asked) != 1 || !asked[0].Auto || !strings.Contains(asked[0].Error, string(signalbox.RefusedSubject)) || asked[0].CreatedPipelineID != "" {
			t := asked[0]
			w.Fatalf("%d asked for, %+v", len(asked), t)
		}
		if h := w.deployments(d); len(h) != 1 || h[0].Message != asked[0].Error || !h[0].Auto || h[0].TriggeredBy != signalbox.AutoPromotion {
			w.Fatalf("%+v", h[0])
		}

		// The target is asked before anything is said about parameters.
		_, err := w.promote(first.ID, PromoteRequest{Name: "Production", By: "bob"})
		w.refused("bob", d, err, signalbox.RefusedSubject)
		_, err = w.promote(first.ID, PromoteRequest{Name: "Production", By: "nobody", Parameters: version1})
		w.refused("somebody unknown", d, err, signalbox.RefusedSubject)
		// A name that is like the word for conditions makes nobody a condition.
		w.change(d, func(d *signalbox.DeploymentTarget) {
			d.Subjects = []signalbox.SubjectRule{{Type: signalbox.SubjectAuto}}
		})
		_, err = w.promote(first.ID, PromoteRequest{Name: "Production", By: signalbox.AutoPromotion, Parameters: version1})
		w.refused("a user called as conditions are", d, err, signalbox.RefusedSubject)
		w.change(d, func(d *signalbox.DeploymentTarget) { d.Subjects = signalbox.AnySubject() })
		if _, err = w.promote(first.ID, PromoteRequest{Name: "Production", By: "ann"}); err == nil || !strings.Contains(err.Error(), "Missing value for required parameter 'VERSION'.") {
			w.Errorf("without the parameter: %v", err)
		}
		before := len(w.deployments(d))
		p, err := w.promote(first.ID, PromoteRequest{Name: "Production", By: "ann", Token: "one", Parameters: version1})
		if err != nil {
			w.Fatal(err)
		}
		h := w.deployments(d)
		want := &signalbox.Deployment{
			ID: h[0].ID, TargetID: d.ID, TargetName: "production", WorkflowID: first.WorkflowID, PrevPipelineID: first.ID, Promotion: "Production", PipelineID: p.CreatedPipelineID,
			TriggeredBy: "ann", RefType: "branch", RefLabel: "main", Parameters: version1, Bookmarks: [3]string{"1"}, State: signalbox.DeploymentStarted,
			Order: h[0].Order, TriggeredAt: h[0].TriggeredAt,
		}
		if diff := cmp.Diff(want, h[0]); diff != "" || len(h) != before+1 {
			w.Errorf("%d more, (-want +got):\n%s", len(h)-before, diff)
		}
		// Asking again is the same request, also when the target would say something else now.
		w.change(d, func(d *signalbox.DeploymentTarget) { d.Cordoned = true })
		again, err := w.promote(first.ID, PromoteRequest{Name: "Production", By: "ann", Token: "two", Parameters: version1})
		w.refused("cordoned", d, err, signalbox.RefusedCordoned)
		_, same := w.promote(first.ID, PromoteRequest{Name: "Production", By: "ann", Token: "two", Parameters: version1})
		if again != nil || same == nil || same.Error() != err.Error() || len(w.deployments(d)) != before+2 {
			w.Errorf("asked twice: %v and %v, %d in the history", err, same, len(w.deployments(d))-before)
		}
		w.change(d, func(d *signalbox.DeploymentTarget) { d.Cordoned = false })
		if _, same := w.promote(first.ID, PromoteRequest{Name: "Production", By: "ann", Token: "two", Parameters: version1}); same == nil {
			w.Error("a request that was refused is granted when it is repeated")
		}
		w.write(func(tx *store.Tx) error {
			now, err := tx.DeploymentTarget(d.ID)
			if err != nil {
				return err
			}
			return tx.DeleteDeploymentTarget(now, "", "test")
		})
		_, err = w.promote(first.ID, PromoteRequest{Name: "Production", By: "ann", Parameters: version1})
		if err == nil || !strings.Contains(err.Error(), "deployment target not found (error ID: ") || w.promotions(first.ID)[0].Error == "" {
			w.Errorf("without the target: %v", err)
		}
		if _, err = w.promote(first.ID, PromoteRequest{Name: "Plain", By: "bob"}); err != nil {
			w.Errorf("without a target: %v", err)
		}
	})
}

func TestAnAutomaticPromotionThroughATarget(t *testing.T) {
	onBoth(t, func(w *world) {
		a := w.agent("one-agent", false)
		d := w.target(signalbox.SubjectRule{Type: signalbox.SubjectAuto})
		first := w.start(shipping)
		w.run(a, signalbox.JobPassed)
		if h := w.deployments(d); len(h) != 1 || h[0].State != signalbox.DeploymentStarted || h[0].PipelineID != w.promotions(first.ID)[0].CreatedPipelineID {
			w.Fatalf("%+v", h)
		}
	})
}

// Which jobs get what a target hands out: those of the blocks of the pipeline that it let through, and their repeats.
func TestWhichJobsATargetIsFor(t *testing.T) {
	onBoth(t, func(w *world) {
		a := w.agent("one-agent", false)
		d := w.target()
		first := w.start(shipping)
		w.run(a, signalbox.JobPassed)
		p, err := w.promote(first.ID, PromoteRequest{Name: "Production", By: "ann", Parameters: version1})
		if err != nil {
			w.Fatal(err)
		}
		shipped := w.initialize(p.CreatedPipelineID, deploy)
		w.run(a, signalbox.JobPassed)
		w.run(a, signalbox.JobFailed)
		w.run(a, signalbox.JobPassed) // after
		check := func(what, id string, want map[string]string) {
			w.Helper()
			got := map[string]string{}
			for name, j := range w.jobsOf(id) {
				got[name] = j.TargetID
			}
			if diff := cmp.Diff(want, got); diff != "" {
				w.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		check("before it", first.ID, map[string]string{"a": ""})
		check("promoted", shipped.ID, map[string]string{"b": d.ID, "c": d.ID, "after": ""})

		next, err := w.promote(shipped.ID, PromoteRequest{Name: "Next", By: "bob", Override: true})
		if err != nil {
			w.Fatal(err)
		}
		check("promoted from there", w.initialize(next.CreatedPipelineID, twoBlocks).ID, map[string]string{"a": ""})

		// Bob may not use the target, so he may not repeat what it let through either.
		count := len(w.deployments(d))
		for range 2 {
			err = w.st.Write(w.Context(), func(tx *store.Tx) error { _, err := w.eng.Rerun(tx, shipped.ID, "x", "bob", "user:bob"); return err })
			w.refused("repeated by bob", d, err, signalbox.RefusedSubject)
		}
		c := w.jobsOf(shipped.ID)["c"]
		err = w.st.Write(w.Context(), func(tx *store.Tx) error { _, err := w.eng.RerunJob(tx, c.ID, "x", "bob", "user:bob"); return err })
		w.refused("one job repeated by bob", d, err, signalbox.RefusedSubject)
		if n := len(w.deployments(d)); n != count+2 {
			w.Errorf("the history has %d more lines", n-count)
		}
		again := w.rerun(shipped.ID, "by ann")
		check("repeated by ann", again.ID, map[string]string{"b": d.ID, "c": d.ID})
		w.run(a, signalbox.JobPassed) // c
		w.run(a, signalbox.JobPassed) // after
		var one *signalbox.Pipeline
		w.write(func(tx *store.Tx) (err error) {
			one, err = w.eng.RerunJob(tx, c.ID, "y", "ann", "user:ann")
			return err
		})
		check("one job repeated by ann", one.ID, map[string]string{"b": d.ID, "c": d.ID})
		if h := w.deployments(d); len(h) != count+4 || h[0].PipelineID != one.ID || h[1].PipelineID != again.ID || h[0].PrevPipelineID != shipped.ID {
			w.Errorf("%d more, %+v", len(h)-count, h[0])
		}
		w.change(d, func(d *signalbox.DeploymentTarget) { d.Cordoned = true })
		err = w.st.Write(w.Context(), func(tx *store.Tx) error { _, err := w.eng.RerunJob(tx, c.ID, "z", "ann", "user:ann"); return err })
		w.refused("repeated while it is cordoned", d, err, signalbox.RefusedCordoned)

		// A job that compiles the file gets it as well.
		w.change(d, func(d *signalbox.DeploymentTarget) { d.Cordoned = false })
		if p, err = w.promote(first.ID, PromoteRequest{Name: "Production", By: "ann", Parameters: version1}); err != nil {
			w.Fatal(err)
		}
		w.write(func(tx *store.Tx) error {
			return w.eng.Initialize(tx, p.CreatedPipelineID, Compiled{Name: "Deploy", Init: &signalbox.PlanJob{Name: "Compilation", Spec: signalbox.JobSpec{MachineType: "s1-linux"}}}, Actor)
		})
		check("being compiled", p.CreatedPipelineID, map[string]string{"Compilation": d.ID})

		w.write(func(tx *store.Tx) error {
			session, err := w.eng.Debug(tx, c, DebugTime, "user:ann")
			if err == nil && session.TargetID != d.ID {
				w.Error("a debug session has not what its job has")
			}
			return err
		})
	})
}

// Whoever cordons a target knows that what is promoted afterwards is refused, whatever runs at the same time.
func TestACordonAndPromotionsAtTheSameTime(t *testing.T) {
	onBoth(t, func(w *world) {
		a := w.agent("one-agent", false)
		d := w.target()
		first := w.start(shipping)
		w.run(a, signalbox.JobPassed)
		const promoters = 4
		var wg sync.WaitGroup
		made := make(chan struct{}, promoters*8)
		for range promoters {
			wg.Go(func() {
				for range 8 {
					switch _, err := w.promote(first.ID, PromoteRequest{Name: "Production", By: "ann", Parameters: version1}); {
					case err == nil:
						made <- struct{}{}
					case !strings.Contains(err.Error(), string(signalbox.RefusedCordoned)):
						w.Errorf("%v", err)
					}
				}
			})
		}
		wg.Go(func() {
			for range promoters {
				<-made
			}
			w.change(d, func(d *signalbox.DeploymentTarget) { d.Cordoned = true })
		})
		wg.Wait()
		h := w.deployments(d)
		if len(h) != promoters*8+1 { // and the automatic one
			w.Errorf("%d in the history", len(h))
		}
		// Newest first: once the answers are refusals, they stay so.
		started := false
		for _, x := range h[:promoters*8] {
			if started && x.State == signalbox.DeploymentFailed {
				w.Errorf("refused at %d, before one that was started", x.Order)
			}
			started = started || x.State == signalbox.DeploymentStarted
		}
		n := 0
		for _, x := range h {
			if x.State == signalbox.DeploymentStarted {
				n++
				w.pipeline(x.PipelineID)
			}
		}
		if n < promoters {
			w.Errorf("%d were started, and the cordon waited for %d", n, promoters)
		}
	})
}
