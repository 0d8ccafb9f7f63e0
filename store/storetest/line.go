package storetest

import (
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func testLines(s *suite) {
	w := s.world()
	low, first, high := s.job(w, 0, 10), s.job(w, 1, 50), s.job(w, 2, 90)
	second := s.job(w, 3, 50)
	other := s.secondProject("other", 3)
	theirs := s.job(other, 4, 50)
	mac := other
	mac.agentType = &signalbox.AgentType{Name: "s1-mac"}
	s.write(func(t *store.Tx) error { return t.CreateAgentType(mac.agentType, "test") })
	s.job(mac, 5, 50)

	s.equal("types with work", get(s, (*store.Tx).QueuedAgentTypes), []string{"s1-linux", "s1-mac"})
	for limit, want := range map[int]int{1: 1, 3: 3, 100: 5} {
		s.equal("queued up to a limit", get(s, func(t *store.Tx) (int, error) { return t.CountQueued("s1-linux", limit) }), want)
	}
	s.equal("queued of no type", get(s, func(t *store.Tx) (int, error) { return t.CountQueued("s1-none", 9) }), 0)
	lines := func(agentType string) (out []store.Line) {
		for _, l := range get(s, func(t *store.Tx) ([]*store.Line, error) { return t.Lines(agentType) }) {
			out = append(out, *l)
		}
		slices.SortFunc(out, func(a, b store.Line) int { return strings.Compare(a.Project, b.Project) })
		return out
	}
	s.equal("lines", lines("s1-linux"), []store.Line{
		{ProjectID: w.project.ID, Project: "demo"}, {ProjectID: other.project.ID, Project: "other", Limit: 3},
	})
	s.equal("lines of another type", lines("s1-mac"), []store.Line{{ProjectID: other.project.ID, Project: "other", Limit: 3}})
	s.equal("lines of no type", lines("s1-none"), []store.Line(nil))

	heads := func(n int) (out []string) {
		of := map[string][]string{}
		both := []string{w.project.ID, other.project.ID}
		for _, j := range get(s, func(t *store.Tx) ([]*store.QueuedJob, error) { return t.HeadsOf("s1-linux", both, n) }) {
			of[j.ProjectID] = append(of[j.ProjectID], j.ID)
		}
		return append(of[w.project.ID], of[other.project.ID]...)
	}
	s.equal("heads", heads(9), []string{high.ID, first.ID, second.ID, low.ID, theirs.ID})
	s.equal("first heads", heads(1), []string{high.ID, theirs.ID})
	for i, j := range []*signalbox.Job{high, first, second, low} {
		s.equal("ahead in line", get(s, func(t *store.Tx) (int, error) { return t.AheadInLine(j) }), i)
	}
	s.equal("queued by project", get(s, func(t *store.Tx) (map[string]int, error) { return t.QueuedOf("s1-linux") }),
		map[string]int{w.project.ID: 4, other.project.ID: 1})

	s.equal("the first turn", get(s, func(t *store.Tx) (int64, error) { return t.LastTurn("s1-linux") }), int64(0))
	s.write(func(t *store.Tx) error {
		return t.TakeTurns("s1-linux", map[string]int64{w.project.ID: 4, other.project.ID: 3})
	})
	s.write(func(t *store.Tx) error { return t.TakeTurns("s1-linux", map[string]int64{other.project.ID: 5}) })
	s.write(func(t *store.Tx) error { return t.TakeTurns("s1-linux", nil) })
	s.equal("turns", lines("s1-linux"), []store.Line{
		{ProjectID: w.project.ID, Project: "demo", Turn: 4}, {ProjectID: other.project.ID, Project: "other", Limit: 3, Turn: 5},
	})
	s.equal("the last turn", get(s, func(t *store.Tx) (int64, error) { return t.LastTurn("s1-linux") }), int64(5))
	s.equal("the last turn of another type", get(s, func(t *store.Tx) (int64, error) { return t.LastTurn("s1-mac") }), int64(0))

	s.write(func(t *store.Tx) error {
		if err := t.LockDispatch(); err != nil {
			return err
		}
		got, err := t.LockQueued([]string{low.ID, signalbox.NewID(), high.ID})
		s.equal("locked, in the order asked for", ids(got, jobID), []string{low.ID, high.ID})
		return err
	})
}

// secondProject is a project with a limit, and a world of its own in it.
func (s *suite) secondProject(name string, limit int) world {
	s.Helper()
	w := world{project: &signalbox.Project{Name: name, GitURL: "/srv/x.git", PipelineFile: "p.yml", MaxRunningJobs: limit}, agentType: &signalbox.AgentType{Name: "s1-linux"}}
	s.write(func(t *store.Tx) error { return t.CreateProject(w.project, "test") })
	w.workflow = s.workflow(w.project.ID, "main", "token")
	w.pipeline = s.pipeline(w.workflow, name)
	w.block = &signalbox.Block{PipelineID: w.pipeline.ID, Name: "Block", State: signalbox.BlockWaiting}
	s.write(func(t *store.Tx) error { return t.CreateBlock(w.block) })
	return w
}

func testOfferJobs(s *suite) {
	w := s.world()
	jobs := []*signalbox.Job{s.job(w, 0, 50), s.job(w, 1, 50), s.job(w, 2, 50)}
	agents := []*signalbox.Agent{s.agent(w, "one"), s.agent(w, "two"), s.agent(w, "three")}
	offer := func(j *signalbox.Job, a *signalbox.Agent, n int) store.Offering {
		job, agent := *j, *a
		at := &signalbox.Attempt{ID: signalbox.NewID(), JobID: j.ID, N: n, AgentID: a.ID, AgentName: a.Name, State: signalbox.AttemptOffered}
		job.State, job.AttemptID, job.AttemptN = signalbox.JobOffered, at.ID, n
		agent.AttemptID, agent.JobID = at.ID, j.ID
		return store.Offering{Attempt: at, Job: &job, Agent: &agent}
	}
	made := []store.Offering{offer(jobs[0], agents[0], 1), offer(jobs[1], agents[1], 1)}
	wake, stop := s.s.Watch(store.KeyJob(jobs[1].ID))
	defer stop()
	s.write(func(t *store.Tx) error { return t.OfferJobs(made, "dispatch") })
	select {
	case <-wake:
	default:
		s.Error("nobody was woken")
	}
	for i, o := range made {
		s.equal("the job", get(s, func(t *store.Tx) (*signalbox.Job, error) { return t.Job(o.Job.ID) }), o.Job)
		s.equal("the agent", get(s, func(t *store.Tx) (*signalbox.Agent, error) { return t.Agent(o.Agent.ID) }), o.Agent)
		s.equal("the attempt", get(s, func(t *store.Tx) (*signalbox.Attempt, error) { return t.Attempt(o.Attempt.ID) }), o.Attempt)
		s.equal("the job's history", s.reasons("job", jobs[i].ID), []string{"queued", "offered"})
		s.equal("the agent's history", s.reasons("agent", agents[i].ID), []string{"registered", "job offered"})
		s.equal("the attempt's history", s.reasons("attempt", o.Attempt.ID), []string{"offered"})
	}
	active := func(agentType string) map[string]int {
		out := map[string]int{}
		for _, a := range get(s, func(t *store.Tx) ([]*store.Active, error) { return t.ActiveJobs(agentType) }) {
			out[a.AgentType+" "+a.ProjectID] += a.Jobs
		}
		return out
	}
	s.equal("active", active(""), map[string]int{"s1-linux " + w.project.ID: 2})
	s.equal("active of a type", active("s1-linux"), active(""))
	s.equal("active of another type", active("s1-mac"), map[string]int{})
	s.equal("started", len(get(s, func(t *store.Tx) ([]time.Time, error) { return t.StartedOf("s1-linux") })), 2)

	// One row that is not as expected, and nothing happens.
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		return t.OfferJobs([]store.Offering{offer(jobs[2], agents[2], 1), offer(jobs[0], agents[2], 2)}, "dispatch")
	})
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		return t.OfferJobs([]store.Offering{offer(jobs[2], agents[0], 1)}, "dispatch")
	})
	s.equal("the third job", s.reasons("job", jobs[2].ID), []string{"queued"})
	s.write(func(t *store.Tx) error { return t.OfferJobs(nil, "dispatch") })

	j := *made[0].Job
	j.State, j.Result, j.StartedAt, j.FinishedAt = signalbox.JobFinished, signalbox.JobPassed, j.CreatedAt, j.CreatedAt.Add(90*time.Second)
	room, stopRoom := s.s.Watch(store.KeyRoom)
	defer stopRoom()
	s.write(func(t *store.Tx) error { return t.UpdateJob(&j, signalbox.JobOffered, "test", "passed", "") })
	select {
	case <-room:
	default:
		s.Error("a job ended and nobody was told that there is room")
	}
	s.equal("how long jobs ran", get(s, func(t *store.Tx) ([]time.Duration, error) { return t.RanFor("s1-linux", 5) }), []time.Duration{90 * time.Second})
}

func testLimits(s *suite) {
	read := func() *signalbox.Organization { return get(s, (*store.Tx).Organization) }
	s.equal("at first", read(), &signalbox.Organization{})
	wake, stop := s.s.Watch(store.KeyRoom)
	defer stop()
	s.write(func(t *store.Tx) error {
		return t.UpdateOrganization(&signalbox.Organization{MaxRunningJobs: 7}, "user:ann", "")
	})
	s.equal("changed", read(), &signalbox.Organization{MaxRunningJobs: 7})
	s.equal("history", s.reasons("organization", "organization"), []string{"changed"})
	select {
	case <-wake:
	default:
		s.Error("a limit was changed and nobody was told")
	}
	w := s.world()
	w.project.MaxRunningJobs, w.agentType.MaxRunningJobs = 3, 4
	s.write(func(t *store.Tx) error {
		if err := t.UpdateProject(w.project, "test", "limit"); err != nil {
			return err
		}
		return t.UpdateAgentType(w.agentType, "test", "")
	})
	s.equal("project", get(s, func(t *store.Tx) (*signalbox.Project, error) { return t.Project(w.project.ID) }), w.project)
	s.equal("agent type", get(s, func(t *store.Tx) (*signalbox.AgentType, error) { return t.AgentType("s1-linux") }), w.agentType)
	s.equal("nobody is gone", get(s, func(t *store.Tx) (time.Time, error) { return t.LastGone(w.agentType.ID) }), time.Time{})
	a := s.agent(w, "one")
	s.equal("seen", len(get(s, func(t *store.Tx) (map[string]time.Time, error) { return t.SeenOfType(w.agentType.ID) })), 1)
	a.State, a.GoneAt = signalbox.AgentDisconnected, a.CreatedAt.Add(time.Minute)
	s.write(func(t *store.Tx) error { return t.UpdateAgent(a, "", "test", "gone", "") })
	s.equal("gone", get(s, func(t *store.Tx) (time.Time, error) { return t.LastGone(w.agentType.ID) }), a.GoneAt)
	s.equal("seen of those that live", len(get(s, func(t *store.Tx) (map[string]time.Time, error) { return t.SeenOfType(w.agentType.ID) })), 0)
}
