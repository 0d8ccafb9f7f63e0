package storetest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Run checks everything that a store promises. open returns a new, empty one each time.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"Project", testProject},
		{"Organization", testOrganization},
		{"GitRef", testGitRef},
		{"Workflow", testWorkflow},
		{"WorkflowLists", testWorkflowLists},
		{"Branches", testBranches},
		{"PipelineLists", testPipelineLists},
		{"ProjectLists", testProjectLists},
		{"WorkflowNumbersUnderLoad", testWorkflowNumbersUnderLoad},
		{"Pipeline", testPipeline},
		{"Queue", testQueue},
		{"Overdue", testOverdue},
		{"Block", testBlock},
		{"Job", testJob},
		{"JobLists", testJobLists},
		{"DebugJobs", testDebugJobs},
		{"JobsOverLimit", testJobsOverLimit},
		{"ClaimOrder", testClaimOrder},
		{"ClaimsExcludeOneAnother", testClaimsExcludeOneAnother},
		{"Lines", testLines},
		{"OfferJobs", testOfferJobs},
		{"Limits", testLimits},
		{"JobCounts", testJobCounts},
		{"Attempt", testAttempt},
		{"AgentType", testAgentType},
		{"RegistrationToken", testRegistrationToken},
		{"RegistrationTokenUse", testRegistrationTokenUse},
		{"OneTimeTokensExcludeOneAnother", testOneTimeTokensExcludeOneAnother},
		{"RegistrationTokenLists", testRegistrationTokenLists},
		{"Refused", testRefused},
		{"Agent", testAgent},
		{"AgentLists", testAgentLists},
		{"AgentCounts", testAgentCounts},
		{"Quarantine", testQuarantine},
		{"Problems", testProblems},
		{"Leases", testLeases},
		{"Heartbeats", testHeartbeats},
		{"Pulses", testPulses},
		{"Stars", testStars},
		{"Task", testTask},
		{"TaskTimes", testTaskTimes},
		{"TaskRun", testTaskRun},
		{"OpenTaskRuns", testOpenTaskRuns},
		{"TaskRunsExcludeOneAnother", testTaskRunsExcludeOneAnother},
		{"TaskHistory", testTaskHistory},
		{"Artifact", testArtifact},
		{"ArtifactsBelow", testArtifactsBelow},
		{"ArtifactsUnderLoad", testArtifactsUnderLoad},
		{"User", testUser},
		{"Setup", testSetup},
		{"APIToken", testAPIToken},
		{"Session", testSession},
		{"People", testPeople},
		{"Event", testEvent},
		{"EventNumbersUnderLoad", testEventNumbersUnderLoad},
		{"Outbox", testOutbox},
		{"OutboxClaimsExcludeOneAnother", testOutboxClaimsExcludeOneAnother},
		{"Sealed", testSealed},
		{"Secret", testSecret},
		{"SecretVersions", testSecretVersions},
		{"DeploymentTarget", testDeploymentTarget},
		{"Deployments", testDeployments},
		{"Log", testLog},
		{"LogPaging", testLogPaging},
		{"LogLock", testLogLock},
		{"LogSecret", testLogSecret},
		{"Isolation", testIsolation},
		{"FailingAndPanickingRequests", testFailingAndPanickingRequests},
		{"Canceled", testCanceled},
		{"ReadsDoNotWrite", testReadsDoNotWrite},
		{"Activity", testActivity},
		{"LastOf", testLastOf},
		{"Usage", testUsage},
		{"Builds", testBuilds},
		{"TypeJobs", testTypeJobs},
		{"Search", testSearch},
		{"WakeUps", testWakeUps},
		{"Wakers", testWakers},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(&suite{T: t, s: open(t)})
		})
	}
}

// suite is one test of one store.
type suite struct {
	*testing.T
	s *store.Store
}

// write runs fn in a transaction that must succeed. fn may run on another goroutine, so it returns its errors.
func (s *suite) write(fn func(*store.Tx) error) {
	s.Helper()
	if err := s.s.Write(context.Background(), fn); err != nil {
		s.Fatal(err)
	}
}

// refused runs fn in a transaction that must fail with a code.
func (s *suite) refused(want signalbox.Code, fn func(*store.Tx) error) {
	s.Helper()
	if err := s.s.Write(context.Background(), fn); signalbox.ErrorCode(err) != want {
		s.Errorf("code is %q (%v), want %q", signalbox.ErrorCode(err), err, want)
	}
}

// read runs fn on a view.
func (s *suite) read(fn func(*store.Tx) error) {
	s.Helper()
	if err := s.s.Read(context.Background(), fn); err != nil {
		s.Fatal(err)
	}
}

// missing runs fn on a view; it must find nothing.
func (s *suite) missing(what string, fn func(*store.Tx) error) {
	s.Helper()
	if err := s.s.Read(context.Background(), fn); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		s.Errorf("%s: code is %q (%v), want %q", what, signalbox.ErrorCode(err), err, signalbox.CodeNotFound)
	}
}

// equal compares what was stored with what is read.
func (s *suite) equal(what string, got, want any) {
	s.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		s.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// reasons returns the history of a thing as one reason after another.
func (s *suite) reasons(noun, id string) []string {
	s.Helper()
	var out []string
	s.read(func(t *store.Tx) error {
		events, err := t.Events(noun, id)
		out = nil
		for _, e := range events {
			out = append(out, e.Reason)
		}
		return err
	})
	return out
}

// get reads one value.
func get[T any](s *suite, fn func(*store.Tx) (T, error)) T {
	s.Helper()
	var v T
	s.read(func(t *store.Tx) (err error) {
		v, err = fn(t)
		return err
	})
	return v
}

// ids returns what a list holds, in order.
func ids[T any](list []*T, id func(*T) string) []string {
	var out []string
	for _, v := range list {
		out = append(out, id(v))
	}
	return out
}

// world is one thing of every kind that jobs need.
type world struct {
	project   *signalbox.Project
	workflow  *signalbox.Workflow
	pipeline  *signalbox.Pipeline
	block     *signalbox.Block
	agentType *signalbox.AgentType
}

func (s *suite) world() world {
	s.Helper()
	w := world{
		project:   &signalbox.Project{Name: "demo", GitURL: "/srv/demo.git", PipelineFile: signalbox.DefaultPipelineFile},
		agentType: &signalbox.AgentType{Name: "s1-linux"},
	}
	s.write(func(t *store.Tx) error {
		if err := t.CreateProject(w.project, "test"); err != nil {
			return err
		}
		return t.CreateAgentType(w.agentType, "test")
	})
	w.workflow = s.workflow(w.project.ID, "main", "token")
	w.pipeline = s.pipeline(w.workflow, "queue")
	w.block = &signalbox.Block{PipelineID: w.pipeline.ID, Name: "Build", State: signalbox.BlockRunning}
	s.write(func(t *store.Tx) error { return t.CreateBlock(w.block) })
	return w
}

func (s *suite) workflow(projectID, branch, token string) *signalbox.Workflow {
	s.Helper()
	w := &signalbox.Workflow{
		ProjectID: projectID, Ref: "refs/heads/" + branch, RefType: "branch", BranchName: branch, Label: branch,
		CommitSHA: "0123456789abcdef", TriggeredBy: signalbox.TriggeredByHook, RequestToken: token,
	}
	s.write(func(t *store.Tx) error {
		_, _, err := t.CreateWorkflow(w, "test")
		return err
	})
	return w
}

func (s *suite) pipeline(w *signalbox.Workflow, queue string) *signalbox.Pipeline {
	s.Helper()
	p := &signalbox.Pipeline{
		WorkflowID: w.ID, ProjectID: w.ProjectID, Name: "Pipeline", File: signalbox.DefaultPipelineFile, YAML: "version: v1.0\n",
		QueueKey: queue, State: signalbox.PipelineInitializing,
	}
	s.write(func(t *store.Tx) error { return t.CreatePipeline(p, "test") })
	return p
}

func (s *suite) job(w world, index, priority int) *signalbox.Job {
	s.Helper()
	j := &signalbox.Job{
		BlockID: w.block.ID, PipelineID: w.pipeline.ID, WorkflowID: w.workflow.ID, ProjectID: w.project.ID, Index: index,
		Name: "Job", AgentType: w.agentType.Name, Priority: priority, State: signalbox.JobQueued,
		Spec: signalbox.JobSpec{MachineType: "s1-linux", Commands: []string{"make"}},
	}
	s.write(func(t *store.Tx) error { return t.CreateJob(j, "test") })
	return j
}

func (s *suite) agent(w world, name string) *signalbox.Agent {
	s.Helper()
	a := &signalbox.Agent{AgentTypeID: w.agentType.ID, AgentType: w.agentType.Name, Name: name, State: signalbox.AgentRegistered}
	s.write(func(t *store.Tx) error { return t.CreateAgent(a, "hash of "+name) })
	return a
}
