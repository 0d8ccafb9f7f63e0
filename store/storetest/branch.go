package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func place(w *signalbox.Workflow) store.WorkflowPlace {
	return store.WorkflowPlace{CreatedAt: w.CreatedAt, ID: w.ID}
}

func testWorkflowLists(s *suite) {
	w := s.world()
	var all []*signalbox.Workflow
	add := func(x signalbox.Workflow) {
		x.ProjectID, x.RequestToken, x.CommitSHA, x.TriggeredBy = w.project.ID, signalbox.NewID(), "0123", signalbox.TriggeredByHook
		s.write(func(t *store.Tx) error {
			_, _, err := t.CreateWorkflow(&x, "test")
			return err
		})
		all = append(all, &x)
	}
	add(signalbox.Workflow{RefType: "branch", BranchName: "trunk", Requester: "ann", CommitAuthor: "Bob", CommitEmail: "bob@example.com"})
	add(signalbox.Workflow{RefType: "branch", BranchName: "trunk", CommitAuthor: "Bob", CommitEmail: "Bob@Example.com"})
	add(signalbox.Workflow{RefType: "tag", BranchName: "refs/tags/v1", CommitAuthor: "ann"})
	add(signalbox.Workflow{RefType: "branch", BranchName: "topic", CommitAuthor: "Bob"})
	list := func(f store.WorkflowFilter) []int {
		var out []int
		for _, got := range get(s, func(t *store.Tx) ([]*signalbox.Workflow, error) { return t.Workflows(f) }) {
			out = append(out, slices.IndexFunc(all, func(x *signalbox.Workflow) bool { return x.ID == got.ID }))
		}
		return out
	}
	at := all[1].CreatedAt
	for _, tt := range []struct {
		what string
		f    store.WorkflowFilter
		want []int
	}{
		{"who asked, or wrote it", store.WorkflowFilter{By: "ann"}, []int{2, 0}},
		{"who wrote it when nobody asked", store.WorkflowFilter{By: "Bob"}, []int{3, 1}},
		{"an address in other letters", store.WorkflowFilter{Email: "BOB@example.com"}, []int{1}},
		{"tags", store.WorkflowFilter{ProjectID: w.project.ID, RefType: "tag"}, []int{2}},
		{"older ones", store.WorkflowFilter{After: place(all[2]), Limit: 2}, []int{1, 0}},
		{"the next older one", store.WorkflowFilter{After: place(all[3]), Limit: 1}, []int{2}},
		{"the next newer ones", store.WorkflowFilter{Before: place(all[0]), Limit: 2}, []int{2, 1}},
		{"nothing newer", store.WorkflowFilter{Before: place(all[3])}, nil},
		{"until a time", store.WorkflowFilter{ProjectID: w.project.ID, BranchName: "trunk", Until: at.Add(time.Hour), From: at.Add(-time.Hour), After: place(all[1])}, []int{0}},
		{"from a time", store.WorkflowFilter{From: at.Add(time.Hour)}, nil},
		{"before a time", store.WorkflowFilter{Until: at.Add(-time.Hour)}, nil},
	} {
		s.equal(tt.what, list(tt.f), tt.want)
	}
	byID := get(s, func(t *store.Tx) (map[string]*signalbox.Workflow, error) {
		return t.WorkflowsOf([]string{all[0].ID, "none"})
	})
	s.equal("by their ids", byID, map[string]*signalbox.Workflow{all[0].ID: all[0]})
	s.equal("by no ids", len(get(s, func(t *store.Tx) (map[string]*signalbox.Workflow, error) { return t.WorkflowsOf(nil) })), 0)
}

func testBranches(s *suite) {
	w := s.world()
	ended := func(branch string, results ...signalbox.Result) *signalbox.Workflow {
		x := s.workflow(w.project.ID, branch, signalbox.NewID())
		for i, r := range results {
			p := &signalbox.Pipeline{WorkflowID: x.ID, ProjectID: x.ProjectID, State: signalbox.PipelineDone, Result: r}
			if r == "" {
				p.State = signalbox.PipelineRunning
			}
			if i > 0 { // the second repeats the first
				p.Origin.RerunOf = get(s, func(t *store.Tx) ([]*signalbox.Pipeline, error) { return t.PipelinesOf(x.ID) })[0].ID
			}
			s.write(func(t *store.Tx) error { return t.CreatePipeline(p, "test") })
		}
		return x
	}
	const passed, failed, stopped = signalbox.ResultPassed, signalbox.ResultFailed, signalbox.ResultStopped
	a := ended("topic", passed)
	b := ended("topic", failed)
	c := ended("topic", stopped)
	d := ended("topic", "")
	e := ended("topic", passed)
	ended("other", failed)

	heads := get(s, func(t *store.Tx) ([]*store.BranchHead, error) {
		return t.BranchHeads(store.WorkflowFilter{ProjectID: w.project.ID, RefType: "branch", Limit: 3})
	})
	var got []string
	for _, h := range heads {
		got = append(got, map[bool]string{true: "newest ", false: "older "}[h.Newest]+h.BranchName)
	}
	s.equal("the newest of each branch", got, []string{"newest other", "newest topic", "older topic"})

	before := get(s, func(t *store.Tx) (map[string]string, error) {
		return t.Predecessors([]string{a.ID, b.ID, c.ID, d.ID, e.ID})
	})
	s.equal("what a result is compared with", before, map[string]string{b.ID: a.ID, c.ID: b.ID, d.ID: b.ID, e.ID: b.ID})
	s.equal("of none", len(get(s, func(t *store.Tx) (map[string]string, error) { return t.Predecessors(nil) })), 0)

	settled := func(list ...*signalbox.Workflow) []bool {
		got := get(s, func(t *store.Tx) (map[string]bool, error) { return t.Settled(ids(list, workflowID)) })
		var out []bool
		for _, x := range list {
			out = append(out, got[x.ID])
		}
		return out
	}
	open := ended("red", failed)
	s.equal("settled by a newer one that passed", settled(b, open), []bool{true, false})
	ended("red", "")
	ended("red", failed)
	ended("red")
	s.equal("not settled by what runs, failed or has no pipeline", settled(open), []bool{false})
	ended("red", failed, passed)
	s.equal("settled by what passed the second time", settled(open), []bool{true})
	twice := ended("again", failed)
	rerun := &signalbox.Workflow{ProjectID: w.project.ID, RefType: "branch", BranchName: "again", RequestToken: "again", RerunOf: twice.ID}
	s.write(func(t *store.Tx) error {
		_, _, err := t.CreateWorkflow(rerun, "test")
		return err
	})
	s.equal("settled by being repeated", settled(twice), []bool{true})
	s.equal("none", len(get(s, func(t *store.Tx) (map[string]bool, error) { return t.Settled(nil) })), 0)
}

func testPipelineLists(s *suite) {
	w := s.world()
	first, second := s.job(w, 0, 50), s.job(w, 1, 50)
	s.job(w, 2, 50)
	first.State, first.Result, first.Reason = signalbox.JobFinished, signalbox.JobFailed, signalbox.ReasonTest
	second.State, second.Result = signalbox.JobFinished, signalbox.JobPassed
	for _, j := range []*signalbox.Job{first, second} {
		s.write(func(t *store.Tx) error { return t.UpdateJob(j, signalbox.JobQueued, "test", "finished", "") })
	}
	states := get(s, func(t *store.Tx) (map[string][]*signalbox.Pipeline, error) {
		return t.PipelineStates([]string{w.workflow.ID, "none"})
	})
	want := *w.pipeline
	want.ArtefactID, want.YAML, want.QueueKey, want.Version = "", "", "", 0
	s.equal("states of pipelines", states, map[string][]*signalbox.Pipeline{w.workflow.ID: {&want}})
	failed := get(s, func(t *store.Tx) ([]*store.FailedJob, error) { return t.FailedJobs([]string{w.pipeline.ID}, 9) })
	s.equal("failed jobs", ids(failed, func(j *store.FailedJob) string { return j.Block + " " + j.ID + " " + j.PipelineID }), []string{"Build " + first.ID + " " + w.pipeline.ID})
	s.equal("so many at most", len(get(s, func(t *store.Tx) ([]*store.FailedJob, error) { return t.FailedJobs([]string{w.pipeline.ID}, 0) })), 0)
	waiting := get(s, func(t *store.Tx) ([]*store.WaitingJobs, error) { return t.WaitingIn([]string{w.pipeline.ID}) })
	s.equal("waiting jobs", waiting, []*store.WaitingJobs{{PipelineID: w.pipeline.ID, AgentType: "s1-linux", Queued: 1}})
	s.read(func(t *store.Tx) error {
		a, err := t.PipelineStates(nil)
		s.equal("no states", len(a), 0)
		b, err2 := t.FailedJobs(nil, 1)
		s.equal("no failed jobs", len(b), 0)
		c, err3 := t.WaitingIn(nil)
		s.equal("no waiting jobs", len(c), 0)
		for _, err := range []error{err, err2, err3} {
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func testProjectLists(s *suite) {
	var projects []*signalbox.Project
	for _, name := range []string{"alpha", "Beta", "gamma_1", "gamma-2"} {
		p := &signalbox.Project{Name: name, GitURL: "https://git.example/" + name, DefaultBranch: "main", PipelineFile: "ci.yml"}
		s.write(func(t *store.Tx) error { return t.CreateProject(p, "test") })
		projects = append(projects, p)
	}
	gone := &signalbox.Project{Name: "gone", GitURL: "x", PipelineFile: "ci.yml"}
	s.write(func(t *store.Tx) error { return t.CreateProject(gone, "test") })
	s.write(func(t *store.Tx) error { return t.DeleteProject(gone.ID, "test") })
	list := func(f store.ProjectFilter) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.Project, error) { return t.FindProjects(f) }), func(p *signalbox.Project) string { return p.Name })
	}
	all := list(store.ProjectFilter{}) // in the order of the database
	s.equal("as many as there are", len(all), 4)
	s.equal("what follows a name", list(store.ProjectFilter{After: all[1], Limit: 1}), all[2:3])
	s.equal("what is next before a name", list(store.ProjectFilter{Before: all[3], Limit: 2}), all[1:3])
	s.equal("words", list(store.ProjectFilter{Words: "BET"}), []string{"Beta"})
	s.equal("words of the address", list(store.ProjectFilter{Words: "example/alp"}), []string{"alpha"})
	s.equal("a pattern is no pattern", list(store.ProjectFilter{Words: "gamma_"}), []string{"gamma_1"})

	var allIDs []string
	for _, p := range append(projects, gone) {
		allIDs = append(allIDs, p.ID)
	}
	s.equal("names", get(s, func(t *store.Tx) (map[string]string, error) { return t.ProjectNames(allIDs[3:]) }), map[string]string{projects[3].ID: "gamma-2"})
	s.equal("no names", len(get(s, func(t *store.Tx) (map[string]string, error) { return t.ProjectNames(nil) })), 0)

	old := s.workflow(projects[0].ID, "main", "1")
	topic := s.workflow(projects[0].ID, "topic", "2")
	latest := get(s, func(t *store.Tx) (map[string]*store.Latest, error) { return t.LatestOf(allIDs[:2]) })
	s.equal("the latest", latest, map[string]*store.Latest{
		projects[0].ID: {ProjectID: projects[0].ID, WorkflowID: topic.ID, DefaultID: old.ID}, projects[1].ID: {ProjectID: projects[1].ID},
	})
	s.equal("the latest of none", len(get(s, func(t *store.Tx) (map[string]*store.Latest, error) { return t.LatestOf(nil) })), 0)

	w := s.world()
	running := func() map[string]int {
		return get(s, func(t *store.Tx) (map[string]int, error) { return t.RunningIn([]string{w.project.ID, projects[0].ID}) })
	}
	j := s.job(w, 0, 50)
	s.equal("what waits does not run", running(), map[string]int{})
	j.State = signalbox.JobRunning
	s.write(func(t *store.Tx) error { return t.UpdateJob(j, signalbox.JobQueued, "test", "running", "") })
	s.equal("what runs", running(), map[string]int{w.project.ID: 1})
	s.equal("in no project", len(get(s, func(t *store.Tx) (map[string]int, error) { return t.RunningIn(nil) })), 0)
}

func testLastOf(s *suite) {
	w := s.world()
	other := s.secondProject("other", 0)
	var trunk []string
	for i := range 5 {
		for _, x := range []signalbox.Workflow{{ProjectID: w.project.ID, BranchName: "trunk"}, {ProjectID: w.project.ID, BranchName: "topic"}, {ProjectID: other.project.ID, BranchName: "trunk"}} {
			x.RefType, x.RequestToken, x.CommitSHA, x.TriggeredBy = "branch", signalbox.NewID(), "0123", signalbox.TriggeredByHook
			s.write(func(t *store.Tx) error {
				_, _, err := t.CreateWorkflow(&x, "test")
				return err
			})
			if x.BranchName == "trunk" && x.ProjectID == w.project.ID && i >= 2 {
				trunk = append(trunk, x.ID)
			}
		}
	}
	key, topic := store.BranchKey{ProjectID: w.project.ID, BranchName: "trunk"}, store.BranchKey{ProjectID: w.project.ID, BranchName: "topic"}
	branches := []store.BranchKey{key, topic, {ProjectID: other.project.ID, BranchName: "none"}}
	for i := range 130 { // more than one statement
		branches = append(branches, store.BranchKey{ProjectID: w.project.ID, BranchName: fmt.Sprint("no-", i)})
	}
	got := get(s, func(t *store.Tx) (map[store.BranchKey][]string, error) { return t.LastOf(branches, 3) })
	s.equal("the last of a branch", got[key], trunk)
	s.equal("of others", []int{len(got), len(got[topic])}, []int{2, 3})
	neighbours := func(w *signalbox.Workflow) (ids []string) {
		s.write(func(t *store.Tx) error {
			before, after, err := t.Neighbours(w)
			ids = []string{before, after}
			return err
		})
		return ids
	}
	of := get(s, func(t *store.Tx) (map[string]*signalbox.Workflow, error) { return t.WorkflowsOf(trunk) })
	s.equal("before and after", neighbours(of[trunk[1]]), []string{trunk[0], trunk[2]})
	s.equal("nothing after the newest", neighbours(of[trunk[2]]), []string{trunk[1], ""})
	s.equal("of none", len(get(s, func(t *store.Tx) (map[store.BranchKey][]string, error) { return t.LastOf(nil, 3) })), 0)
}
