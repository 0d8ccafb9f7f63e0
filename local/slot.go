package local

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent"
	"github.com/signalbox-ci/signalbox/agent/executor"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/dispatch"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// serve runs one job after another in a slot until ctx ends.
func (r *run) serve(ctx, keep context.Context, slot *signalbox.Agent) error {
	queued, end := r.store.Watch(store.KeyQueue)
	defer end()
	for {
		j, a, err := r.take(keep, slot)
		if err != nil {
			return err
		}
		if j == nil {
			select {
			case <-queued:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if err := r.job(keep, j, a); err != nil {
			return err
		}
	}
}

// take gives the next queued job of any type to a slot; nil when there is none.
func (r *run) take(ctx context.Context, slot *signalbox.Agent) (j *signalbox.Job, a *signalbox.Attempt, err error) {
	err = r.store.Write(ctx, func(tx *store.Tx) error {
		j, a = nil, nil
		types, err := tx.QueuedAgentTypes()
		if err != nil || len(types) == 0 {
			return err
		}
		jobs, err := tx.ClaimJobs(types[0], 1)
		if err != nil || len(jobs) == 0 {
			return err
		}
		ag, err := tx.LockAgent(slot.ID)
		if err != nil {
			return err
		}
		at, err := engine.Offer(tx, jobs[0], ag, ag.Name)
		if err != nil {
			return err
		}
		if a, j, err = engine.Fetched(tx, at.ID, ag.Name); err != nil {
			return err
		}
		return engine.Running(tx, at.ID, ag.Name)
	})
	return j, a, err
}

func (r *run) job(ctx context.Context, j *signalbox.Job, a *signalbox.Attempt) error {
	var c engine.JobContext
	if err := r.store.Read(ctx, func(tx *store.Tx) (err error) { c, err = dispatch.Context(tx, j); return err }); err != nil {
		return err
	}
	c.OrganizationURL = "http://localhost"
	dir := filepath.Join(r.o.Dir, "jobs", j.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	job := agent.NewJob(dispatch.Payload(c, agentapi.Logger{Method: "push"}), agent.JobOptions{
		Shell: executor.ShellOptions{
			Dir: filepath.Join(dir, "session"), Workspace: filepath.Join(dir, "workspace"), Logger: r.o.Logger,
		},
		Logger: r.o.Logger,
	})
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.stopWhenAsked(ctx, a.ID, job, ended)
	}()
	out := &lines{emit: func(text string) { r.tell <- func(o Observer) { o.Output(j, text) } }}
	sink := &sink{run: r, job: j, attempt: a, out: out}
	result, err := job.Run(ctx, agent.Sink(sink.event))
	close(ended)
	<-watched
	out.flush()
	if err != nil {
		return err
	}
	reason := signalbox.ReasonNone
	if result == signalbox.JobFailed {
		if reason = job.Reason(); reason == signalbox.ReasonNone {
			reason = signalbox.ReasonTest
		}
	}
	if err := r.logs.Close(ctx, a.ID); err != nil {
		return err
	}
	if err := r.writeText(ctx, j); err != nil {
		return err
	}
	return r.store.Write(ctx, func(tx *store.Tx) error { return r.engine.Finish(tx, a.ID, result, reason, "", a.AgentName) })
}

// stopWhenAsked ends the job when the pipeline is stopped.
func (r *run) stopWhenAsked(ctx context.Context, attemptID string, job *agent.Job, ended <-chan struct{}) {
	changed, end := r.store.Watch(store.KeyAttempt(attemptID))
	defer end()
	for {
		asked := false
		err := r.store.Read(ctx, func(tx *store.Tx) error {
			a, err := tx.Attempt(attemptID)
			asked = err == nil && !a.StopRequestedAt.IsZero()
			return err
		})
		if err != nil || asked {
			job.Stop()
			return
		}
		select {
		case <-changed:
		case <-ended:
			return
		}
	}
}

// sink writes a job's events into its log and shows its output.
type sink struct {
	run     *run
	job     *signalbox.Job
	attempt *signalbox.Attempt
	out     *lines
	next    int64 // index of the first event in the buffer

	buffer   []byte
	buffered int64
}

func (s *sink) event(e agentapi.Event) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	s.buffer = append(append(s.buffer, b...), '\n')
	s.buffered++
	if s.buffered >= 200 || len(s.buffer) > 1<<20 || e.Event != agentapi.EventCmdOutput {
		if _, err := s.run.logs.Append(context.Background(), s.attempt.ID, s.job.ID, s.next, s.buffer); err != nil {
			return err
		}
		s.next += s.buffered
		s.buffer, s.buffered = s.buffer[:0], 0
	}
	switch e.Event {
	case agentapi.EventCmdStarted:
		s.out.flush()
		s.out.emit("$ " + e.Directive)
	case agentapi.EventCmdOutput:
		text := []byte(e.Output)
		if exact, err := base64.StdEncoding.DecodeString(e.OutputB64); err == nil && len(exact) > 0 {
			text = exact
		}
		_, _ = s.out.Write(text)
	}
	return nil
}

// lines cuts output into lines, so that those of parallel jobs do not mix. A line that does not end is cut.
type lines struct {
	emit func(string)
	rest []byte
}

const maxLine = 16 << 10

func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) >= maxLine {
			i = maxLine
			l.emit(string(l.rest[:i]))
			l.rest = append(l.rest[:0], l.rest[i:]...)
			continue
		}
		if i < 0 {
			return len(b), nil
		}
		l.emit(string(l.rest[:i]))
		l.rest = append(l.rest[:0], l.rest[i+1:]...)
	}
}

func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.emit(string(l.rest))
		l.rest = l.rest[:0]
	}
}
