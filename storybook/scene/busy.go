package scene

import (
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// Busy is what Scene.Busy has stored.
type Busy struct {
	Project                       *signalbox.Project
	Workflow                      *signalbox.Workflow
	Pipeline                      *signalbox.Pipeline
	Failed, Running, Queued, Lost *signalbox.Job
	RunningAttempt                *signalbox.Attempt
	Malformed, Stopped, Preparing *signalbox.Workflow
	FailedLogNext, RunningLogNext int64
	Agent                         *signalbox.Agent
	AgentType                     *signalbox.AgentType
}

const goTestOutput = "go test ./contract -run Consumer -count=1 -v\n" +
	"\x1b[36mpact\x1b[0m starting provider stub on 127.0.0.1:8089\n\x1b[36mpact\x1b[0m replaying 14 interactions\n" +
	"=== RUN   TestLabelConsumer\n    label_contract_test.go:88: interaction \x1b[33m\"a customer over the limit\"\x1b[0m\n" +
	"        \x1b[1;31mstatus 429 expected, got 500\x1b[0m\n        \x1b[38;2;15;128;60mwant\x1b[0m Retry-After: 30\n\n" +
	"\x1b[31;1m--- FAIL: TestLabelConsumer (4.21s)\x1b[0m\n    \x1b[38;5;34m--- PASS: TestLabelConsumer/create_label (0.61s)\x1b[0m\n" +
	"FAIL\nFAIL\tharbourline.example/parcel-api/contract\t4.388s\nmake: *** [Makefile:41: contract-consumer] Error 1\n"

// Busy stores a project with a workflow in which everything happens that can, and a few more of its workflows.
func (s *Scene) Busy() *Busy {
	b := &Busy{}
	b.AgentType = s.AgentType("s1-linux")
	b.Agent = s.Agent(b.AgentType, "build-03")
	spare := s.Agent(b.AgentType, "build-04")
	third := s.Agent(b.AgentType, "build-05")
	s.AgentType("s1-mac")
	b.Project = s.Project("parcel-api")
	s.Project("tariff-engine")

	b.Preparing = s.Workflow(b.Project, "main", "Try arm64 for the importer")
	s.Pipeline(b.Preparing, signalbox.Pipeline{State: signalbox.PipelineInitializing})
	b.Stopped = s.Workflow(b.Project, "main", "Longer soak for the label queue")
	s.Pipeline(b.Stopped, signalbox.Pipeline{
		State: signalbox.PipelineDone, Result: signalbox.ResultStopped, Reason: signalbox.ReasonUser, TerminatedBy: "user:mei",
		RunningAt: s.Ago(20 * time.Minute), DoneAt: s.Ago(8 * time.Minute),
	})
	b.Malformed = s.Workflow(b.Project, "bulk-void", "Void a whole manifest at once")
	s.Pipeline(b.Malformed, signalbox.Pipeline{
		State: signalbox.PipelineDone, Result: signalbox.ResultFailed, Reason: signalbox.ReasonMalformed, DoneAt: s.Ago(time.Hour),
		ErrorDescription: ".semaphore/semaphore.yml:12:5: job \"Unit\" has no commands\n.semaphore/semaphore.yml:20:9: block \"Deploy\" depends on \"Biuld\", which does not exist",
	})

	b.Workflow = s.Workflow(b.Project, "rate-limit-v2", "Limit label requests per customer\n\nThe limiter keeps its counts in the store.")
	b.Pipeline = s.Pipeline(b.Workflow, signalbox.Pipeline{Name: "Build and test", State: signalbox.PipelineRunning, RunningAt: s.Ago(462 * time.Second)})
	s.fill(b, spare, third)
	return b
}

func (s *Scene) fill(busy *Busy, spare, third *signalbox.Agent) {
	p := busy.Pipeline
	passed := func(b *signalbox.Block, index int, name string, seconds int) {
		start := s.Ago(7 * time.Minute)
		s.Job(p, b, signalbox.Job{
			Name: name, Index: index, State: signalbox.JobFinished, Result: signalbox.JobPassed, StartedAt: start,
			FinishedAt: start.Add(time.Duration(seconds) * time.Second),
		})
	}
	done := func(index int, name string, deps []int, seconds int, jobs ...string) *signalbox.Block {
		start := s.Ago(7 * time.Minute)
		b := s.Block(p, signalbox.Block{
			Index: index, Name: name, Dependencies: deps, State: signalbox.BlockDone, Result: signalbox.ResultPassed,
			RunningAt: start, DoneAt: start.Add(time.Duration(seconds) * time.Second),
		})
		for i, j := range jobs {
			passed(b, i, j, seconds-i)
		}
		return b
	}
	done(0, "Prepare", nil, 52, "Dependencies", "Version")
	done(1, "Lint", []int{0}, 55, "Format", "Vet", "Migrations")
	done(2, "Unit tests", []int{0}, 206, "Unit 1/4", "Unit 2/4", "Unit 3/4", "Unit 4/4")
	done(3, "Build image", []int{0}, 249, "linux/amd64", "linux/arm64")
	s.Block(p, signalbox.Block{Index: 4, Name: "Docs site", Dependencies: []int{1}, State: signalbox.BlockDone, Result: signalbox.ResultPassed, Reason: signalbox.ReasonSkipped})

	contract := s.Block(p, signalbox.Block{
		Index: 5, Name: "Contract tests", Dependencies: []int{2}, State: signalbox.BlockDone, Result: signalbox.ResultFailed, Reason: signalbox.ReasonTest,
		RunningAt: s.Ago(3 * time.Minute), DoneAt: s.Ago(100 * time.Second),
	})
	passed(contract, 0, "Provider", 51)
	busy.Failed = s.Job(p, contract, signalbox.Job{
		Index: 1, Name: "Consumer", State: signalbox.JobFinished, Result: signalbox.JobFailed, Reason: signalbox.ReasonTest,
		StartedAt: s.Ago(3 * time.Minute), FinishedAt: s.Ago(103 * time.Second),
	})
	a := s.Attempt(busy.Failed, spare, signalbox.Attempt{
		State: signalbox.AttemptEnded, Result: signalbox.JobFailed, Reason: signalbox.ReasonTest, FetchedAt: s.Ago(3 * time.Minute), EndedAt: s.Ago(103 * time.Second),
	})
	at := busy.Failed.StartedAt.Unix()
	events := []agentapi.Event{{Event: agentapi.EventJobStarted, Timestamp: at}}
	events = append(events, Command(at, "checkout", "Cloning into 'parcel-api'...\nHEAD is now at 9f3c2ab\n", 0, 3)...)
	events = append(events, Command(at+3, "cache restore go-mod-linux-a91f", "Restored 212 MB.\n", 0, 6)...)
	events = append(events, Command(at+9, "export LABEL_STORE=memory", "", 0, 0)...)
	events = append(events, Command(at+9, "make contract-consumer\nmake report", goTestOutput, 2, 58)...)
	events = append(events, Command(at+67, "artifact push job pact.log", "Uploaded.\n", 0, 1)...)
	events = append(events, agentapi.Event{Event: agentapi.EventJobFinished, Timestamp: at + 68, Result: "failed"})
	busy.FailedLogNext = s.Push(a, 0, events...)
	s.CloseLog(a)

	integration := s.Block(p, signalbox.Block{Index: 6, Name: "Integration", Dependencies: []int{2, 3}, State: signalbox.BlockRunning, RunningAt: s.Ago(161 * time.Second)})
	passed(integration, 0, "SQLite", 93)
	busy.Running = s.Job(p, integration, signalbox.Job{Index: 1, Name: "PostgreSQL", State: signalbox.JobRunning, StartedAt: s.Ago(158 * time.Second)})
	busy.RunningAttempt = s.Attempt(busy.Running, busy.Agent, signalbox.Attempt{State: signalbox.AttemptRunning, FetchedAt: s.Ago(158 * time.Second), RunningAt: s.Ago(158 * time.Second)})
	at = busy.Running.StartedAt.Unix()
	events = append(Command(at, "checkout", "HEAD is now at 9f3c2ab\n", 0, 2),
		agentapi.Event{Event: agentapi.EventCmdStarted, Timestamp: at + 2, Directive: "make integration"},
		agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: at + 3, Output: "starting PostgreSQL\nok   \x1b[32mmigrations\x1b[0m\n"},
		agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: at + 45, Output: "ok   \x1b[32mcustomers\x1b[0m\nrunning labels"},
	)
	busy.RunningLogNext = s.Push(busy.RunningAttempt, 0, events...)
	busy.Queued = s.Job(p, integration, signalbox.Job{Index: 2, Name: "Upgrade path", State: signalbox.JobQueued})
	busy.Lost = s.Job(p, integration, signalbox.Job{
		Index: 3, Name: "Load smoke", State: signalbox.JobFinished, Result: signalbox.JobFailed, Reason: signalbox.ReasonAgentLost,
		StartedAt: s.Ago(150 * time.Second), FinishedAt: s.Ago(20 * time.Second),
	})
	s.Attempt(busy.Lost, third, signalbox.Attempt{State: signalbox.AttemptEnded, Result: signalbox.JobStopped, Reason: signalbox.ReasonWithdrawn})
	lost := s.Attempt(busy.Lost, third, signalbox.Attempt{N: 2, State: signalbox.AttemptEnded, Result: signalbox.JobFailed, Reason: signalbox.ReasonAgentLost, FetchedAt: s.Ago(150 * time.Second), EndedAt: s.Ago(20 * time.Second)})
	s.Push(lost, 0, agentapi.Event{Event: agentapi.EventCmdStarted, Timestamp: at, Directive: "make load"}, agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: at + 1, Output: "500 rps\n"})
	s.CloseLog(lost)
	s.Block(p, signalbox.Block{Index: 7, Name: "End to end", Dependencies: []int{6}, State: signalbox.BlockWaiting})
	s.Block(p, signalbox.Block{Index: 8, Name: "Release notes", Dependencies: []int{1, 6}, State: signalbox.BlockWaiting})
}
