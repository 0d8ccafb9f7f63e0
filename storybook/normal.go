package storybook

import (
	"fmt"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/storybook/scene"
)

// normal is what the world of a small team has, as far as stories lead to it.
type normal struct {
	*scene.Busy
	debug, debugWaiting           *signalbox.Job
	endings, stopping, lobby      *signalbox.Pipeline
	locked, open, rerun, prepares *signalbox.Pipeline
	bare, tag, pull               *signalbox.Workflow
	ends                          map[signalbox.Reason]*signalbox.Job
	waits                         map[string]*signalbox.Job // by agent type
	offered, canceled             *signalbox.Job
	again                         *signalbox.Job
	tasks                         *taskSet
}

// settled stores the people, the organization and nothing else: a server right after its set-up.
func (w *world) settled(roles ...signalbox.Role) {
	w.Write(func(tx *store.Tx) error {
		for _, r := range roles {
			u := *people[r]
			if err := tx.CreateUser(&u); err != nil {
				return err
			}
		}
		o, err := tx.LockOrganization()
		if err != nil {
			return err
		}
		o.Name, o.PublicURL = "Harbourline", "https://ci.harbour.example"
		return tx.UpdateOrganization(o, "user:ana", "set up")
	})
}

// begun has an agent and a project whose first workflow has not run.
func (w *world) begun() {
	w.settled(signalbox.RoleAdmin)
	w.seen(w.Agent(w.AgentType("s1-linux"), "build-01"), 0)
	w.Project("parcel-api")
}

// normal makes the world of a small team.
func (w *world) normal() *normal {
	n := &normal{ends: map[signalbox.Reason]*signalbox.Job{}, waits: map[string]*signalbox.Job{}}
	w.back(72 * time.Hour)
	w.settled(signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer)
	w.history()
	w.at = w.now
	n.Busy = w.Busy()
	w.Targets(n.Project, n.Pipeline, people[signalbox.RoleMember])
	w.Write(func(tx *store.Tx) error { return tx.Star(people[signalbox.RoleMember].ID, n.Project.ID) })
	w.load(n.AgentType)
	w.fleet(n)
	w.waiting(n)
	w.sessions(n)
	w.promotions(n)
	w.stages(n)
	w.ended(n)
	w.accounts()
	n.tasks = w.tasks(n.Project, n.Workflow)
	w.repositories()
	w.Write(func(tx *store.Tx) error {
		o, err := tx.LockOrganization()
		if err != nil {
			return err
		}
		o.MaxRunningJobs = 200
		o.Initialization = signalbox.Initialization{MachineType: "s1-linux", Commands: []string{"checkout", "./ci/preflight.sh"}, Secrets: []string{"preflight"}}
		return tx.UpdateOrganization(o, "user:ana", "initialization")
	})
	return n
}

// history is what ran in the last three days.
func (w *world) history() {
	web := w.Project("dispatch-web")
	for i, title := range []string{"Fix time zone of cut-off label", "Take the time zone of the depot", "Cache customs codes for a day", "Raise pallet weight to 1,200 kg", "Remove the old tariff table", "Round weights up"} {
		w.back(time.Duration(60-i*10) * time.Hour)
		result := signalbox.ResultPassed
		if i%3 == 0 {
			result = signalbox.ResultFailed
		}
		wf := w.Started(web, signalbox.Workflow{
			RefType: "branch", BranchName: []string{"main", "cut-off-tz"}[i%2], Label: []string{"main", "cut-off-tz"}[i%2], CommitMessage: title, CommitAuthor: "Mei Tan",
			CommitEmail: "mei@harbour.example", TriggeredBy: signalbox.TriggeredByHook,
		})
		w.whole(wf, result)
	}
	w.at = w.now
}

// whole stores a pipeline of one block and one job that has ended.
func (w *world) whole(wf *signalbox.Workflow, result signalbox.Result) *signalbox.Pipeline {
	reason := signalbox.ReasonNone
	if result == signalbox.ResultFailed {
		reason = signalbox.ReasonTest
	}
	from, to := w.at, w.at.Add(252*time.Second)
	p := w.Pipeline(wf, signalbox.Pipeline{Name: "Build and test", State: signalbox.PipelineDone, Result: result, Reason: reason, RunningAt: from, DoneAt: to})
	b := w.Block(p, signalbox.Block{Name: "Build", State: signalbox.BlockDone, Result: result, Reason: reason, RunningAt: from, DoneAt: to})
	w.Job(p, b, signalbox.Job{Name: "App", State: signalbox.JobFinished, Result: signalbox.JobResult(result), Reason: reason, StartedAt: from, FinishedAt: to})
	return p
}

// run lets an agent have a job since d ago.
func (w *world) run(p *signalbox.Pipeline, b *signalbox.Block, j signalbox.Job, a *signalbox.Agent, d time.Duration) *signalbox.Job {
	j.State = signalbox.JobQueued
	job := w.Job(p, b, j)
	at := w.Attempt(job, a, signalbox.Attempt{State: signalbox.AttemptRunning, FetchedAt: w.Ago(d), RunningAt: w.Ago(d)})
	job.State, job.AttemptID, job.AttemptN, job.StartedAt = signalbox.JobRunning, at.ID, 1, w.Ago(d)
	w.Write(func(tx *store.Tx) error {
		return tx.UpdateJob(job, signalbox.JobQueued, "agent:"+a.Name, "started", "")
	})
	w.ChangeAgent(a, "dispatch", "offered", func(a *signalbox.Agent) { a.AttemptID, a.JobID = at.ID, job.ID })
	w.Push(at, 0, append(scene.Command(job.StartedAt.Unix(), "checkout", "HEAD is now at 9f3c2ab\n", 0, 2),
		agentapi.Event{Event: agentapi.EventCmdStarted, Timestamp: job.StartedAt.Unix() + 2, Directive: "make test"})...)
	return job
}

// seen notes when an agent was heard of last.
func (w *world) seen(a *signalbox.Agent, ago time.Duration) {
	w.Write(func(tx *store.Tx) error {
		return tx.SaveSeen([]store.Seen{{AgentID: a.ID, At: w.now.Add(-ago), State: "waiting-for-job"}})
	})
}

// fleet has agents in every state.
func (w *world) fleet(n *normal) {
	w.Fleet(n.AgentType)
	w.back(2 * time.Hour)
	lost, suspect, gone := w.Agent(n.AgentType, "build-06"), w.Agent(n.AgentType, "build-07"), w.Agent(n.AgentType, "build-08")
	busy, leaving, disabled := w.Agent(n.AgentType, "build-10"), w.Agent(n.AgentType, "build-11"), w.Agent(n.AgentType, "build-12")
	w.at = w.now
	w.seen(lost, 10*time.Minute)
	w.seen(suspect, 2*time.Minute)
	for _, a := range []*signalbox.Agent{busy, leaving, disabled} {
		w.seen(a, 5*time.Second)
	}
	w.ChangeAgent(gone, "server", "gone", func(a *signalbox.Agent) {
		a.State, a.GoneAt, a.GoneReason = signalbox.AgentDisconnected, w.Ago(20*time.Minute), signalbox.ReasonAgentLost
	})
	wf := w.Workflow(n.Project, "soak", "Soak the label queue for an hour")
	p := w.Pipeline(wf, signalbox.Pipeline{Name: "Soak", State: signalbox.PipelineRunning, RunningAt: w.Ago(31 * time.Minute)})
	b := w.Block(p, signalbox.Block{Name: "Soak", State: signalbox.BlockRunning, RunningAt: w.Ago(31 * time.Minute)})
	w.run(p, b, signalbox.Job{Name: "One customer"}, busy, 31*time.Minute)
	w.run(p, b, signalbox.Job{Name: "Many customers", Index: 1}, leaving, 30*time.Minute)
	w.ChangeAgent(leaving, "user:ana", "drained", func(a *signalbox.Agent) { a.DrainAt = w.Ago(time.Minute) })
	w.ChangeAgent(disabled, "user:ana", "disabled", func(a *signalbox.Agent) { a.DisabledAt = w.Ago(time.Minute) })
	w.Write(func(tx *store.Tx) error {
		var all []*signalbox.RefusedRegistration
		for i, reason := range signalbox.Refusals {
			all = append(all, &signalbox.RefusedRegistration{
				AgentTypeID: n.AgentType.ID, Reason: reason, Name: fmt.Sprintf("rack-%02d", i), IP: "198.51.100.7", Host: "rack.harbour.example", Token: "0a1b2c3d", Count: i + 1,
				FirstAt: w.Ago(time.Hour), LastAt: w.Ago(time.Duration(i) * time.Minute), Detail: "Not Found: " + string(reason),
			})
		}
		return tx.SaveRefused(all)
	})
}

// accounts has people in every state, and sessions and tokens of who looks.
func (w *world) accounts() {
	me := people[signalbox.RoleAdmin].ID
	w.Write(func(tx *store.Tx) error {
		lars := &signalbox.User{Name: "lars", Email: "lars@harbour.example", Role: signalbox.RoleMember}
		noor := &signalbox.User{Name: "noor", Email: "noor@harbour.example", Role: signalbox.RoleViewer}
		tom := &signalbox.User{Name: "tom", Email: "tom@harbour.example", Role: signalbox.RoleMember, PasswordHash: "none fits"}
		for _, u := range []*signalbox.User{lars, noor, tom} {
			if err := tx.CreateUserBy(u, "user:ana"); err != nil {
				return err
			}
		}
		if err := tx.SavePasswordLink(&signalbox.PasswordLink{UserID: lars.ID, Hash: "h", ExpiresAt: tx.Now.Add(72 * time.Hour)}, "user:ana"); err != nil {
			return err
		}
		if err := tx.DisableUser(tom, "user:ana"); err != nil {
			return err
		}
		for i, b := range []string{"Firefox on Linux", "Safari on iPhone", ""} {
			if err := tx.CreateSession(&signalbox.Session{UserID: me, Browser: b, Address: "192.0.2.7", ExpiresAt: tx.Now.Add(200 * time.Hour)}, fmt.Sprint("session ", i)); err != nil {
				return err
			}
		}
		for i, t := range []*signalbox.APIToken{
			{Name: "laptop", ExpiresAt: tx.Now.Add(720 * time.Hour), LastUsedAt: tx.Now.Add(-time.Minute)}, {Name: "deploy script"}, {Name: "last year", ExpiresAt: tx.Now.Add(-time.Hour)},
		} {
			t.UserID = me
			if err := tx.CreateAPIToken(t, fmt.Sprint("token ", i), "user:ana"); err != nil {
				return err
			}
		}
		return nil
	})
}
