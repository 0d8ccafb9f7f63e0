package fleet_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// yard is a fleet over a real store.
type yard struct {
	*testing.T
	st  *store.Store
	eng *engine.Engine
	f   *fleet.Fleet
	typ *signalbox.AgentType
	n   int
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, test func(y *yard)) {
	for name, open := range map[string]func(testing.TB) *store.Store{"SQLite": storetest.OpenSQLite, "PostgreSQL": storetest.OpenPostgres} {
		t.Run(name, func(t *testing.T) {
			y := &yard{T: t, st: open(t), typ: &signalbox.AgentType{Name: "s1-linux"}}
			y.eng = engine.New(engine.Options{Store: y.st})
			var err error
			if y.f, err = fleet.New(fleet.Options{Store: y.st, Engine: y.eng, Log: joblog.New(joblog.Options{Store: y.st})}); err != nil {
				t.Fatal(err)
			}
			y.must2(y.f.CreateType(t.Context(), y.typ, "user:ann"))
			test(y)
		})
	}
}

func (y *yard) must(err error) {
	y.Helper()
	if err != nil {
		y.Fatal(err)
	}
}

func (y *yard) must2(_ any, err error) { y.Helper(); y.must(err) }

func (y *yard) refused(code signalbox.Code, text string, err error) {
	y.Helper()
	if signalbox.ErrorCode(err) != code || !strings.Contains(err.Error(), text) {
		y.Errorf("%v (%s), want %q (%s)", err, signalbox.ErrorCode(err), text, code)
	}
}

func (y *yard) write(fn func(*store.Tx) error) {
	y.Helper()
	y.must(y.st.Write(y.Context(), fn))
}

func (y *yard) agent(name string) *signalbox.Agent {
	y.Helper()
	a := &signalbox.Agent{AgentTypeID: y.typ.ID, AgentType: y.typ.Name, Name: name, State: signalbox.AgentRegistered}
	y.n++
	y.write(func(tx *store.Tx) error { return tx.CreateAgent(a, fmt.Sprint("hash ", y.n)) })
	return a
}

func (y *yard) row(id string) (a *signalbox.Agent) {
	y.Helper()
	y.write(func(tx *store.Tx) (err error) { a, err = tx.Agent(id); return err })
	return a
}

// job queues a job of the type.
func (y *yard) job() *signalbox.Job {
	y.Helper()
	return y.queue(true)
}

// queue queues a job of the type: a debug session, whose end moves no pipeline, or an ordinary one.
func (y *yard) queue(debug bool) *signalbox.Job {
	y.Helper()
	y.n++
	var j *signalbox.Job
	y.write(func(tx *store.Tx) error {
		p := &signalbox.Project{Name: fmt.Sprint("demo-", y.n), GitURL: "/x", PipelineFile: "p.yml"}
		if err := tx.CreateProject(p, "test"); err != nil {
			return err
		}
		w := &signalbox.Workflow{ProjectID: p.ID, Ref: "refs/heads/main", RefType: "branch", BranchName: "main", Label: "main", CommitSHA: "c", TriggeredBy: "hook", RequestToken: "t"}
		if _, _, err := tx.CreateWorkflow(w, "test"); err != nil {
			return err
		}
		l := &signalbox.Pipeline{WorkflowID: w.ID, ProjectID: p.ID, Name: "P", File: "p.yml", QueueKey: p.ID, State: signalbox.PipelineRunning}
		if err := tx.CreatePipeline(l, "test"); err != nil {
			return err
		}
		b := &signalbox.Block{PipelineID: l.ID, Name: "B", State: signalbox.BlockRunning}
		if err := tx.CreateBlock(b); err != nil {
			return err
		}
		j = &signalbox.Job{
			BlockID: b.ID, PipelineID: l.ID, WorkflowID: w.ID, ProjectID: p.ID, Name: "J", AgentType: y.typ.Name, State: signalbox.JobQueued,
			Spec: signalbox.JobSpec{MachineType: y.typ.Name, Commands: []string{"x"}},
		}
		if !debug {
			return tx.CreateJob(j, "test")
		}
		other := *j
		if err := tx.CreateJob(&other, "test"); err != nil {
			return err
		}
		j.Index, j.DebugOf = 1, other.ID
		return tx.CreateJob(j, "test")
	})
	return j
}

// busy gives an agent a job that it runs.
func (y *yard) busy(a *signalbox.Agent) *signalbox.Job {
	y.Helper()
	return y.gives(y.job(), a)
}

// busyJob is busy with a job that may be run again.
func (y *yard) busyJob(a *signalbox.Agent) *signalbox.Job {
	y.Helper()
	return y.gives(y.queue(false), a)
}

func (y *yard) gives(j *signalbox.Job, a *signalbox.Agent) *signalbox.Job {
	y.Helper()
	y.write(func(tx *store.Tx) error {
		at, err := engine.Offer(tx, j, a, "test")
		if err != nil {
			return err
		}
		if _, _, err := engine.Fetched(tx, at.ID, "test"); err != nil {
			return err
		}
		return engine.Running(tx, at.ID, "test")
	})
	return j
}

func (y *yard) jobRow(id string) (j *signalbox.Job) {
	y.Helper()
	y.write(func(tx *store.Tx) (err error) { j, err = tx.Job(id); return err })
	return j
}

// do changes agents and returns the outcomes as lines.
func (y *yard) do(action fleet.Action, s fleet.Selection) []string {
	y.Helper()
	out, err := y.f.ChangeAgents(y.Context(), s, action, "user:ann")
	y.must(err)
	var lines []string
	for _, o := range out {
		lines = append(lines, strings.TrimSpace(o.Name+" "+o.Why))
	}
	return lines
}

func (y *yard) equal(what string, got, want any) {
	y.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		y.Errorf("%s: %q, want %q", what, got, want)
	}
}

func names(n ...string) fleet.Selection { return fleet.Selection{Names: n} }

func TestChangingAgents(t *testing.T) {
	onBoth(t, func(y *yard) {
		a, b, c := y.agent("a"), y.agent("b"), y.agent("c")
		job := y.busy(b)
		y.equal("drain two and a stranger", y.do(fleet.Drain, names("b", "a", "nobody", "nobody")), []string{"a", "b", "nobody there is no agent nobody"})
		y.equal("again", y.do(fleet.Drain, names("a")), []string{"a"})
		if y.row(a.ID).DrainAt.IsZero() || y.row(b.ID).DrainAt.IsZero() || !y.row(c.ID).DrainAt.IsZero() || y.row(b.ID).AttemptID == "" {
			y.Error("a drain drained others, or took a job")
		}
		var reasons []string
		y.write(func(tx *store.Tx) error {
			events, err := tx.Events("agent", a.ID)
			reasons = nil
			for _, e := range events {
				reasons = append(reasons, e.Reason+" by "+e.Actor)
			}
			return err
		})
		y.equal("history", reasons, []string{"registered by agent:a", "drained by user:ann"})
		y.do(fleet.Undrain, names("a"))
		y.do(fleet.Disable, fleet.Selection{AgentType: "s1-linux", OnlyIdle: true})
		if y.row(a.ID).DisabledAt.IsZero() || !y.row(a.ID).DrainAt.IsZero() || !y.row(b.ID).DisabledAt.IsZero() || y.row(c.ID).DisabledAt.IsZero() {
			y.Error("undrain, or disabling the idle ones of a type")
		}
		y.do(fleet.Enable, names("a"))
		if !y.row(a.ID).DisabledAt.IsZero() {
			y.Error("enable")
		}
		y.equal("delete", y.do(fleet.Delete, fleet.Selection{AgentType: "s1-linux"}), []string{"a", "b it has a job: stop the agent first, or force it", "c"})
		if y.row(a.ID).GoneAt.IsZero() || !y.row(b.ID).GoneAt.IsZero() {
			y.Error("the wrong ones were deleted")
		}
		y.equal("stop", y.do(fleet.Stop, names("b")), []string{"b"})
		if j := y.jobRow(job.ID); j.Result != signalbox.JobStopped || j.Reason != signalbox.ReasonUser {
			y.Errorf("stop: the job is %s %s/%s", j.State, j.Result, j.Reason)
		}
		y.agent("a") // the name is free
		for _, s := range []fleet.Selection{{}, {Names: []string{"a"}, AgentType: "s1-linux"}, {Names: make([]string, 1001)}} {
			_, err := y.f.ChangeAgents(y.Context(), s, fleet.Drain, "user:ann")
			y.refused(signalbox.CodeInvalid, "", err)
		}
		_, err := y.f.ChangeAgents(y.Context(), fleet.Selection{AgentType: "s1-nope"}, fleet.Drain, "user:ann")
		y.refused(signalbox.CodeNotFound, "there is no agent type", err)
	})
}

func TestForgettingAnAgentWithAJob(t *testing.T) {
	onBoth(t, func(y *yard) {
		a, b := y.agent("a"), y.agent("b")
		running := y.busy(a)
		offered := y.job()
		y.write(func(tx *store.Tx) error { _, err := engine.Offer(tx, offered, b, "test"); return err })
		y.equal("force", y.do(fleet.Force, names("a", "b")), []string{"a", "b"})
		if j := y.jobRow(running.ID); j.Result != signalbox.JobFailed || j.Reason != signalbox.ReasonAgentLost || !strings.Contains(j.FailureReason, "agent a was deleted") {
			y.Errorf("its job: %+v", j)
		}
		if j := y.jobRow(offered.ID); j.State != signalbox.JobQueued {
			y.Errorf("an offer that nobody had fetched: %s", j.State)
		}
		if y.row(a.ID).GoneAt.IsZero() || y.row(b.ID).GoneAt.IsZero() {
			y.Error("they are still there")
		}
	})
}

func TestASingleJobAgentIsNotKept(t *testing.T) {
	onBoth(t, func(y *yard) {
		a := y.agent("a")
		y.write(func(tx *store.Tx) error {
			a.SingleJob = true
			n := *a
			n.DrainAt = tx.Now
			return tx.UpdateAgent(&n, "", "test", "", "")
		})
		b := &signalbox.Agent{AgentTypeID: y.typ.ID, Name: "once", State: signalbox.AgentRegistered, SingleJob: true, DrainAt: time.Now()}
		y.write(func(tx *store.Tx) error {
			if err := tx.CreateAgent(b, "hash of once"); err != nil {
				return err
			}
			b.DrainAt = tx.Now
			return tx.UpdateAgent(b, "", "test", "", "")
		})
		y.equal("undrain", y.do(fleet.Undrain, names("once")), []string{"once it runs one job only and has had it"})
	})
}

// Offers and drains at the same time: whoever is drained has no job that was offered afterwards.
func TestNoOfferAfterADrain(t *testing.T) {
	onBoth(t, func(y *yard) {
		for round := range 10 {
			a := y.agent(fmt.Sprint("a-", round))
			j := y.job()
			var wg sync.WaitGroup
			var offered error
			wg.Go(func() {
				offered = y.st.Write(y.Context(), func(tx *store.Tx) error {
					ag, err := tx.LockAgent(a.ID)
					if err != nil {
						return err
					}
					if !ag.DrainAt.IsZero() {
						return errors.New("drained before")
					}
					_, err = engine.Offer(tx, j, ag, "test")
					return err
				})
			})
			wg.Go(func() { y.must2(y.f.ChangeAgents(y.Context(), names(a.Name), fleet.Drain, "user:ann")) })
			wg.Wait()
			row := y.row(a.ID)
			if row.DrainAt.IsZero() {
				y.Error("the drain was lost")
			}
			if (offered == nil) != (row.AttemptID != "") {
				y.Errorf("the offer said %v and the agent has %q", offered, row.AttemptID)
			}
		}
	})
}

func TestTokens(t *testing.T) {
	onBoth(t, func(y *yard) {
		make := func(name string, life time.Duration, r signalbox.RegistrationToken) (*signalbox.RegistrationToken, error) {
			r.Name = name
			text, err := y.f.CreateToken(y.Context(), "s1-linux", &r, life, "user:ann")
			if err == nil && len(text) != 80 {
				y.Errorf("token %q", text)
			}
			return &r, err
		}
		_, err := make("office", time.Hour, signalbox.RegistrationToken{})
		y.must(err)
		_, err = make("office", 0, signalbox.RegistrationToken{})
		y.refused(signalbox.CodeConflict, "has a token named", err)
		_, err = make("a b", 0, signalbox.RegistrationToken{})
		y.refused(signalbox.CodeInvalid, "is not allowed", err)
		once, err := make("once", 0, signalbox.RegistrationToken{OneTime: true})
		y.must(err)

		r, text, err := y.f.RotateToken(y.Context(), "s1-linux", "office", time.Minute, "user:ann")
		y.must(err)
		if d := time.Until(r.ExpiresAt); len(text) != 80 || d < 50*time.Minute || d > time.Hour {
			y.Errorf("rotated: %+v", r)
		}
		err = y.f.RevokeToken(y.Context(), "s1-linux", "office", "user:ann")
		y.refused(signalbox.CodeConflict, "give the id", err)
		y.must(y.f.RevokeToken(y.Context(), "s1-linux", r.ID, "user:ann"))
		y.must(y.f.RevokeToken(y.Context(), "s1-linux", "office", "user:ann"))
		err = y.f.RevokeToken(y.Context(), "s1-linux", "office", "user:ann")
		y.refused(signalbox.CodeNotFound, "has no registration token", err)
		_, _, err = y.f.RotateToken(y.Context(), "s1-linux", once.ID, 0, "user:ann")
		y.refused(signalbox.CodeInvalid, "for one agent", err)
		_, _, err = y.f.RotateToken(y.Context(), "s1-linux", "first", 91*24*time.Hour, "user:ann")
		y.refused(signalbox.CodeInvalid, "90 days", err)
		_, err = y.f.ResetTokens(y.Context(), "s1-linux", -time.Second, false, "user:ann")
		y.refused(signalbox.CodeInvalid, "90 days", err)
		_, err = make("office", 0, signalbox.RegistrationToken{}) // the name is free
		y.must(err)
	})
}

func TestAgentTypes(t *testing.T) {
	onBoth(t, func(y *yard) {
		change := func(fn func(*signalbox.AgentType)) error {
			_, err := y.f.ChangeType(y.Context(), "s1-linux", func(t *signalbox.AgentType) error { fn(t); return nil }, "user:ann")
			return err
		}
		p := &signalbox.Project{Name: "demo", GitURL: "/x", PipelineFile: "p.yml"}
		y.write(func(tx *store.Tx) error { return tx.CreateProject(p, "test") })
		y.must(change(func(t *signalbox.AgentType) {
			t.Projects, t.ProjectIDs, t.Forks = signalbox.ProjectsAllowed, []string{p.ID}, true
		}))
		y.refused(signalbox.CodeInvalid, "there is no project", change(func(t *signalbox.AgentType) { t.ProjectIDs = []string{signalbox.NewID()} }))
		y.refused(signalbox.CodeInvalid, "at least 60", change(func(t *signalbox.AgentType) { t.ReleaseAfter = time.Second }))
		y.must(change(func(t *signalbox.AgentType) { t.LostAfter = time.Hour }))
		var detail []string
		y.write(func(tx *store.Tx) error {
			events, err := tx.Events("agent_type", y.typ.ID)
			detail = nil
			for _, e := range events {
				if e.Reason == "changed" {
					detail = append(detail, e.Detail)
				}
			}
			return err
		})
		y.equal("history", detail, []string{"projects: ALLOWED " + p.ID + "; forked code may run", "lost after 1h0m0s"})

		a, left := y.agent("a"), y.agent("left")
		y.write(func(tx *store.Tx) error {
			n := *left
			n.State = signalbox.AgentDisconnected
			return tx.UpdateAgent(&n, "", "test", "", "")
		})
		y.refused(signalbox.CodeInvalid, "can't delete agent type with existing agents: 1 are registered", y.f.DeleteType(y.Context(), "s1-linux", false, "user:ann"))
		job := y.busy(a)
		y.must(y.f.DeleteType(y.Context(), "s1-linux", true, "user:ann"))
		if y.row(a.ID).DrainAt.IsZero() || y.row(left.ID).GoneAt.IsZero() || y.jobRow(job.ID).State != signalbox.JobRunning {
			y.Error("a forced deletion must let jobs finish, and free the names of those that have left")
		}
		y.refused(signalbox.CodeNotFound, "there is no agent type", y.f.DeleteType(y.Context(), "s1-linux", false, "user:ann"))
		y.must2(y.f.CreateType(y.Context(), &signalbox.AgentType{Name: "s1-linux"}, "user:ann"))
		_, err := y.f.CreateType(y.Context(), &signalbox.AgentType{Name: "s1-linux"}, "user:ann")
		y.refused(signalbox.CodeConflict, "must be unique", err)
	})
}

func TestTenThousandTokens(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: ten thousand tokens take a while")
	}
	onBoth(t, func(y *yard) {
		const n = 10_000
		for part := range slices.Chunk(make([]int, n), 1000) {
			y.write(func(tx *store.Tx) error {
				for range part {
					y.n++
					r := &signalbox.RegistrationToken{AgentTypeID: y.typ.ID, Name: fmt.Sprint("t-", y.n), OneTime: true}
					if err := tx.CreateRegistrationToken(r, fmt.Sprint("hash ", y.n), "test"); err != nil {
						return err
					}
				}
				return nil
			})
		}
		seen, after, begin := map[string]bool{}, "", time.Now()
		for {
			var page []*signalbox.RegistrationToken
			y.write(func(tx *store.Tx) (err error) {
				page, err = tx.RegistrationTokens(y.typ.ID, after, false, 200)
				return err
			})
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				seen[r.ID] = true
				after = r.ID
			}
		}
		if len(seen) != y.n+1 {
			y.Errorf("%d tokens in all pages, want %d", len(seen), y.n+1)
		}
		y.Logf("%d tokens in pages of 200: %s", len(seen), time.Since(begin))
	})
}
