package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent/executor"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// Recorder takes the log of a job in order. While it blocks, the job waits. An error ends the job. b is only valid during
// the call.
type Recorder interface {
	Event(e agentapi.Event) error        // anything but output
	Output(at time.Time, b []byte) error // what a command printed, at most executor.MaxChunk bytes
}

// Sink is a Recorder that takes output as events too.
type Sink func(agentapi.Event) error

func (s Sink) Event(e agentapi.Event) error { return s(e) }

func (s Sink) Output(at time.Time, b []byte) error {
	e := agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: at.Unix(), Output: string(b)}
	if !utf8.Valid(b) {
		e.Output = string([]rune(string(b)))
		e.OutputB64 = base64.StdEncoding.EncodeToString(b)
	}
	return s(e)
}

// NewExecutor makes the place where the commands of a payload run. Its error is a sentence for the job's log.
type NewExecutor func(p *agentapi.JobPayload, o executor.ShellOptions) (executor.Executor, error)

// JobOptions says how a job is run on this machine.
type JobOptions struct {
	Shell       executor.ShellOptions // Dir is required and must not exist
	EnvVars     []signalbox.EnvVar    // added to the payload's, and stronger
	Hooks       Hooks
	Containers  Containers       // for jobs in containers
	NewExecutor NewExecutor      // nil makes what the payload asks for
	Now         func() time.Time // nil is time.Now

	// Ready is called before anything of the payload runs; an error ends the job. nil is nothing.
	Ready func() error
	// Over is asked before each command whether it comes too late to begin; then it has stopped the job. nil never does.
	Over func() bool
	// Finished is called when the result is known and the log complete, while the job's processes are being ended. nil is
	// nothing.
	Finished func(signalbox.JobResult, signalbox.Reason)

	Logger *slog.Logger // nil discards
}

// Hooks are scripts of the machine's owner that run inside the session of every job.
type Hooks struct {
	PreJob       string // path, "" is none
	SourcePreJob bool   // read it into the shell, so that what it exports is seen by the commands
	FailOnPreJob bool   // a failing PreJob fails the job
	PostJob      string // path, "" is none
}

// DefaultExecutor runs shell jobs on this machine and jobs in containers on its usual Docker engine.
func DefaultExecutor(p *agentapi.JobPayload, o executor.ShellOptions) (executor.Executor, error) {
	return Containers{}.newExecutor(p, o)
}

// Job runs one payload: environment, files, hooks, commands, epilogues. It needs no server.
type Job struct {
	payload *agentapi.JobPayload
	opts    JobOptions
	log     Recorder
	logErr  error
	reason  signalbox.Reason

	mu      sync.Mutex
	stopped bool
	exec    executor.Executor
}

// NewJob prepares a job; Run runs it, once.
func NewJob(p *agentapi.JobPayload, opts JobOptions) *Job {
	if opts.NewExecutor == nil {
		opts.NewExecutor = opts.Containers.newExecutor
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Job{payload: p, opts: opts}
}

// RunJob runs a payload to its end, or until ctx is canceled, which stops it.
func RunJob(ctx context.Context, p *agentapi.JobPayload, opts JobOptions, sink Sink) (signalbox.JobResult, error) {
	return NewJob(p, opts).Run(ctx, sink)
}

// Stop ends the job with the result stopped. It may be called at any time, also before Run and more than once, and
// returns at once; Run returns when the processes of the job are gone.
func (j *Job) Stop() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stopped = true
	if j.exec != nil {
		j.exec.Stop()
	}
}

// Reason tells, after Run, why a failed job failed when its commands are not the cause; "" otherwise.
func (j *Job) Reason() signalbox.Reason { return j.reason }

func (j *Job) isStopped() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stopped
}

// Run runs the job and returns its result when all of its processes are gone. The error is that of the log.
func (j *Job) Run(ctx context.Context, log Recorder) (signalbox.JobResult, error) {
	j.log = log
	defer context.AfterFunc(ctx, j.Stop)()
	j.event(agentapi.Event{Event: agentapi.EventJobStarted})
	result := j.run(ctx)
	if j.isStopped() {
		result = signalbox.JobStopped
	}
	if j.logErr != nil {
		j.blame(signalbox.ReasonAgentError)
	} else if result != signalbox.JobFailed {
		j.reason = signalbox.ReasonNone
	}
	if j.logErr != nil {
		result = signalbox.JobFailed
	}
	j.event(agentapi.Event{Event: agentapi.EventJobFinished, Result: string(result)})
	var wg sync.WaitGroup
	if j.opts.Finished != nil {
		wg.Go(func() { j.opts.Finished(result, j.reason) })
	}
	if j.exec != nil {
		if err := j.exec.Close(); err != nil {
			j.opts.Logger.Warn("cleaning up after a job failed", "job", j.payload.JobID, "error", err)
		}
	}
	wg.Wait()
	return result, j.logErr
}

func (j *Job) run(ctx context.Context) signalbox.JobResult {
	if !j.prepare(ctx) {
		return signalbox.JobFailed
	}
	result, epilogues := j.main(ctx)
	defer func(cause signalbox.Reason) { j.reason = cause }(j.reason) // what follows decides nothing
	if epilogues && !j.over() {
		j.epilogues(ctx, result)
	}
	if j.opts.Hooks.PostJob != "" && !j.over() {
		text, shown := executor.Hook(j.opts.Hooks.PostJob, false)
		j.block(directivePostHook, func(emit executor.Emit) (int, error) {
			if err := emit([]byte("Running: " + shown + "\n")); err != nil {
				return 1, err
			}
			return j.exec.Run(ctx, text, emit)
		})
	}
	return result
}

const (
	directivePrepare  = "Preparing the job"
	directiveExport   = "Exporting environment variables"
	directiveInject   = "Injecting Files"
	directivePreHook  = "Running the pre-job hook configured in the agent"
	directivePostHook = "Running the post-job hook configured in the agent"
	directiveResult   = "Checking job result"
)

// stopNote ends the output of the command during which the job was stopped.
const stopNote = "[The job was stopped here. Its processes have ended.]\n"

// over tells whether nothing more should be run.
func (j *Job) over() bool {
	return j.logErr != nil || j.isStopped() || j.opts.Over != nil && j.opts.Over()
}

// prepare starts the executor. Success is silent, a failure is a block of its own.
func (j *Job) prepare(ctx context.Context) bool {
	if j.over() {
		return false
	}
	exec, err := j.opts.NewExecutor(j.payload, j.opts.Shell)
	if err == nil {
		j.mu.Lock()
		j.exec = exec
		if j.stopped {
			exec.Stop()
		}
		j.mu.Unlock()
		err = exec.Start(ctx, j.block)
	}
	if err == nil && j.opts.Ready != nil {
		err = j.opts.Ready()
	}
	if err == nil {
		return true
	}
	if j.over() {
		return false
	}
	j.blame(reasonOf(err))
	if f := new(executor.Failure); errors.As(err, &f) && f.Logged {
		return false
	}
	j.block(directivePrepare, func(emit executor.Emit) (int, error) { return 1, emit([]byte(err.Error() + "\n")) })
	return false
}

// main runs everything up to the last command, and tells whether the epilogues follow.
func (j *Job) main(ctx context.Context) (signalbox.JobResult, bool) {
	vars, err := j.variables()
	code := j.block(directiveExport, func(emit executor.Emit) (int, error) {
		if err != nil {
			return 1, emit([]byte(err.Error() + "\n"))
		}
		return j.export(ctx, vars, emit)
	})
	if code != 0 || j.over() {
		j.blame(signalbox.ReasonAgentError)
		return signalbox.JobFailed, true
	}
	if code := j.block(directiveInject, j.inject); code != 0 || j.over() {
		j.blame(signalbox.ReasonAgentError)
		return signalbox.JobFailed, true
	}
	if j.opts.Hooks.PreJob != "" {
		if code := j.preHook(ctx); (code != 0 && j.opts.Hooks.FailOnPreJob) || j.over() {
			j.blame(signalbox.ReasonAgentError)
			return signalbox.JobFailed, true
		}
	}
	code, endDebug := j.debug(vars)
	defer endDebug()
	if code != 0 || j.over() {
		return signalbox.JobFailed, true
	}
	switch code := j.commands(ctx, j.payload.Commands); code {
	case 0:
		return signalbox.JobPassed, true
	case 130:
		return j.resultOfJob(ctx), false
	default:
		return signalbox.JobFailed, true
	}
}

func (j *Job) epilogues(ctx context.Context, result signalbox.JobResult) {
	vars := []signalbox.EnvVar{{Name: "SEMAPHORE_JOB_RESULT", Value: string(result)}}
	j.block(directiveExport, func(emit executor.Emit) (int, error) { return j.export(ctx, vars, emit) })
	j.commands(ctx, j.payload.EpilogueAlways)
	if result == signalbox.JobPassed {
		j.commands(ctx, j.payload.EpilogueOnPass)
	} else {
		j.commands(ctx, j.payload.EpilogueOnFail)
	}
}

// commands runs a list up to the first command that fails and returns its exit code.
func (j *Job) commands(ctx context.Context, list []agentapi.Command) int {
	for _, c := range list {
		if j.over() {
			return 1
		}
		directive := c.Directive
		if c.Alias != "" {
			directive = c.Alias
		}
		code := j.block(directive, func(emit executor.Emit) (int, error) {
			if c.Alias != "" {
				if err := emit([]byte("Running: " + c.Directive + "\n")); err != nil {
					return 1, err
				}
			}
			return j.exec.Run(ctx, c.Directive, emit)
		})
		if code != 0 {
			return code
		}
	}
	return 0
}

func (j *Job) preHook(ctx context.Context) int {
	text, shown := executor.Hook(j.opts.Hooks.PreJob, j.opts.Hooks.SourcePreJob)
	warning := "Warning: The agent is configured to proceed with the job even if the pre-job hook fails.\n"
	if j.opts.Hooks.FailOnPreJob {
		warning = "Warning: The agent is configured to fail the job if the pre-job hook fails.\n"
	}
	return j.block(directivePreHook, func(emit executor.Emit) (int, error) {
		for _, line := range []string{"Running: " + shown + "\n", warning} {
			if err := emit([]byte(line)); err != nil {
				return 1, err
			}
		}
		return j.exec.Run(ctx, text, emit)
	})
}

// resultOfJob is the rule for exit code 130: the job itself may have said how it ended.
func (j *Job) resultOfJob(ctx context.Context) signalbox.JobResult {
	result := signalbox.JobStopped
	j.block(directiveResult, func(emit executor.Emit) (int, error) {
		var said strings.Builder
		if _, err := j.exec.Run(ctx, executor.PrintVariable("SEMAPHORE_JOB_RESULT"), func(b []byte) error {
			if said.Len() < 1000 {
				said.Write(b)
			}
			return nil
		}); err != nil {
			return 1, err
		}
		switch v := said.String(); v {
		case string(signalbox.JobPassed), string(signalbox.JobFailed):
			result = signalbox.JobResult(v)
			return 0, emit([]byte("SEMAPHORE_JOB_RESULT=" + v + " - stopping job and marking it as " + v))
		default:
			return 0, emit([]byte("SEMAPHORE_JOB_RESULT is set to '" + v + "' - stopping job and marking it as stopped"))
		}
	})
	return result
}

// variables are those of the payload and of the agent, decoded, each name once with its last value, sorted by name.
func (j *Job) variables() ([]signalbox.EnvVar, error) {
	values := map[string]string{}
	for _, v := range j.payload.EnvVars {
		b, err := base64.StdEncoding.DecodeString(v.Value)
		if err != nil {
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "Cannot export %s: its value did not arrive as base64 (%v).", v.Name, err)
		}
		values[v.Name] = string(b)
	}
	for _, v := range j.opts.EnvVars {
		values[v.Name] = v.Value
	}
	var out []signalbox.EnvVar
	for name, value := range values {
		out = append(out, signalbox.EnvVar{Name: name, Value: value})
	}
	slices.SortFunc(out, func(a, b signalbox.EnvVar) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (j *Job) export(ctx context.Context, vars []signalbox.EnvVar, emit executor.Emit) (int, error) {
	for _, v := range vars {
		if err := emit([]byte("Exporting " + v.Name + "\n")); err != nil {
			return 1, err
		}
	}
	return j.exec.Export(ctx, vars, emit)
}

func (j *Job) inject(emit executor.Emit) (int, error) {
	for _, f := range j.payload.Files {
		content, err := base64.StdEncoding.DecodeString(f.Content)
		if err != nil {
			return 1, emit([]byte("Failed to decode the content of the file '" + f.Path + "': it did not arrive as base64.\n"))
		}
		if code, err := j.exec.Inject(executor.File{Path: f.Path, Mode: f.Mode, Content: content}, emit); code != 0 || err != nil {
			return code, err
		}
	}
	return 0, nil
}

// block logs one directive around what run does and returns the exit code.
func (j *Job) block(directive string, run func(executor.Emit) (int, error)) int {
	start := j.opts.Now().Unix()
	j.event(agentapi.Event{Event: agentapi.EventCmdStarted, Directive: directive})
	code, err := run(j.output)
	if err != nil {
		code = 1
		switch {
		case j.logErr != nil:
		case errors.Is(err, executor.ErrStopped):
			_ = j.output([]byte(stopNote))
		default:
			j.blame(reasonOf(err))
			_ = j.output([]byte("The agent cannot run this: " + err.Error() + "\n"))
		}
	}
	end := j.opts.Now().Unix()
	j.event(agentapi.Event{Event: agentapi.EventCmdFinished, Directive: directive, ExitCode: &code, StartedAt: &start, FinishedAt: &end})
	return code
}

// output logs one piece.
func (j *Job) output(b []byte) error {
	j.note(func() error { return j.log.Output(j.opts.Now(), b) })
	return j.logErr
}

func (j *Job) event(e agentapi.Event) {
	e.Timestamp = j.opts.Now().Unix()
	j.note(func() error { return j.log.Event(e) })
}

// note gives something to the log, until that fails; then the job is stopped.
func (j *Job) note(write func() error) {
	if j.logErr != nil {
		return
	}
	if err := write(); err != nil {
		j.logErr = fmt.Errorf("the log of job %s cannot be written: %w", j.payload.JobID, err)
		j.Stop()
	}
}
