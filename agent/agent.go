// Package agent is the machine's side of the agent protocol: it registers, asks for work, runs one job at a time,
// delivers the job's log and result, and leaves. A server that is away delays it but loses nothing: the job goes on,
// its log is kept on disk and is delivered in order, once. RunJob runs a payload without any server.
package agent

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent/executor"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// tools are for jobs of this machine, which may know nothing of our certificates.
func (c *Config) tools() executor.Tools {
	t := executor.Tools{Program: c.Program, CAFile: c.CAFile}
	if full, err := filepath.Abs(c.CAFile); err == nil && c.CAFile != "" {
		t.CAFile = full
	}
	return t
}

// Config configures an agent. Endpoint, Token and StateDir are required.
type Config struct {
	Endpoint string            // host[:port] of the server
	NoHTTPS  bool              // speak plain http
	CAFile   string            // PEM file of the authorities to trust; "" are the system's
	RootCAs  *x509.CertPool    // the same, already read; wins over CAFile
	Token    string            // registration token of the agent type
	Name     string            // 8 to 80 characters or a URL, "" is a random name
	Labels   map[string]string // what the agent says of itself, for servers of ours
	Version  string            // of this program, sent to the server; "" is "dev"

	DisconnectAfterJob         bool
	JobID                      string        // run this job only; needs DisconnectAfterJob
	DisconnectAfterIdleTimeout time.Duration // 0 is never; the server counts whole seconds
	InterruptionGracePeriod    time.Duration // how long a running job may go on after Interrupt; the server counts whole seconds

	EnvVars             []signalbox.EnvVar // for every job, stronger than the payload's
	Files               []HostFile         // of this machine, to be seen in the first container of every job
	FailOnMissingFiles  bool               // a job fails when one of Files is not there; else it goes without
	UploadJobLogs       UploadLogs         // "" is UploadNever
	LogsCompressionSize int64              // from this size on an uploaded log is compressed; 0 is 100 MiB
	JobUser             string             // run jobs as this user instead of the agent's own
	SpoolQuota          int64              // bytes that the logs of one job may take on disk until they are delivered; 0 is no limit
	LowDisk             int64              // less free room than this is reported to the server; 0 is DefaultLowDisk, less is never
	DockerHost          string             // address of the Docker engine; "" is the usual one of this machine

	Hooks        Hooks
	ShutdownHook string // script that runs last, with SEMAPHORE_AGENT_SHUTDOWN_REASON in its environment

	Program   string // path of the signalbox program, whose tools jobs may use; "" is none
	StateDir  string // the log spool and the private directories of jobs; agents on one machine may share it
	Workspace string // "": jobs start in the home directory; else each job gets a fresh folder under this one

	Observe func(Status) // called when something changes and at each sync, from the conversation, which waits; nil is nobody

	Interrupt <-chan struct{} // closed when the machine wants the agent to leave (SIGTERM); nil is never

	NewExecutor NewExecutor // nil is DefaultExecutor
	Timing      Timing
	Logger      *slog.Logger // nil discards
}

// HostFile is a file or folder of this machine and where containers find it.
type HostFile struct{ Host, Container string }

// UploadLogs says when the agent pushes the complete log as an artifact of the job.
type UploadLogs string

const (
	UploadNever       UploadLogs = "never"
	UploadAlways      UploadLogs = "always"
	UploadWhenTrimmed UploadLogs = "when-trimmed" // the server refused to take all of it
)

// Timing holds all pauses and limits. Zero values are replaced by the defaults in the comments.
type Timing struct {
	Request time.Duration // limit of one request: 30 s
	Hold    time.Duration // how long the server may hold a sync: 30 s; negative asks for none

	RegisterPause    time.Duration // between attempts: 1 s
	RegisterAttempts int           // 30
	GetJobPause      time.Duration // 3 s
	GetJobAttempts   int           // 10
	DisconnectPause  time.Duration // 1 s
	DisconnectTries  int           // 100

	SyncMin      time.Duration // pause when the server names none, and the first after a failure: 3 s to 6 s
	SyncMax      time.Duration //
	SyncRetryMax time.Duration // the longest pause after failures: 30 s
	UnableToSync time.Duration // an agent without a job gives up after this long without an answer: 10 min

	PushCoalesce time.Duration // how long new output waits for more at least, and up to five times as long where pushes are slow: 50 ms
	PushRetry    time.Duration // first pause after a refused push: 500 ms
	PushRetryMax time.Duration // the longest: 15 s
	LogRefused   time.Duration // when the server answers syncs but has taken no log for this long after the end of the job, the result is reported before the log: 10 min
	FlushAtExit  time.Duration // how long leaving waits for logs that are still being delivered: 60 s

	StopGrace time.Duration // between SIGTERM and SIGKILL for a job's processes: 10 s
}

func (t *Timing) defaults() {
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&t.Request, 30 * time.Second},
		{&t.Hold, 30 * time.Second},
		{&t.RegisterPause, time.Second},
		{&t.GetJobPause, 3 * time.Second},
		{&t.DisconnectPause, time.Second},
		{&t.SyncMin, 3 * time.Second},
		{&t.SyncMax, 6 * time.Second},
		{&t.SyncRetryMax, 30 * time.Second},
		{&t.UnableToSync, 10 * time.Minute},
		{&t.PushCoalesce, 50 * time.Millisecond},
		{&t.PushRetry, 500 * time.Millisecond},
		{&t.PushRetryMax, 15 * time.Second},
		{&t.LogRefused, 10 * time.Minute},
		{&t.FlushAtExit, time.Minute},
		{&t.StopGrace, 10 * time.Second},
	} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	for _, n := range []struct {
		v *int
		d int
	}{{&t.RegisterAttempts, 30}, {&t.GetJobAttempts, 10}, {&t.DisconnectTries, 100}} {
		if *n.v == 0 {
			*n.v = n.d
		}
	}
	t.SyncMax = max(t.SyncMax, t.SyncMin)
}

// ExitReason says why an agent left. It is also what the shutdown hook is told.
type ExitReason string

const (
	ExitIdle         ExitReason = "IDLE"
	ExitJobFinished  ExitReason = "JOB_FINISHED"
	ExitUnableToSync ExitReason = "UNABLE_TO_SYNC"
	ExitRequested    ExitReason = "REQUESTED"
	ExitInterrupted  ExitReason = "INTERRUPTED"
	ExitUnknown      ExitReason = "UNKNOWN"
)

// Agent is one agent. Run it once.
type Agent struct {
	cfg     Config
	log     *slog.Logger
	client  *client
	tracker *tracker
	checker *checker

	dir           string // in StateDir, of this process alone
	wantedName    string // as configured, "" for a random one
	jobUser       *executor.User
	containers    Containers
	interruptOnce sync.Once
	interrupted   chan struct{}
	pushers       sync.WaitGroup
}

// New checks the configuration. Nothing is done before Run.
func New(cfg Config) (*Agent, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Timing.defaults()
	if cfg.Version == "" {
		cfg.Version = "dev"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	wanted := cfg.Name
	if cfg.Name == "" {
		b := make([]byte, 15)
		_, _ = rand.Read(b) // never fails
		cfg.Name = base64.URLEncoding.EncodeToString(b)
	}
	if cfg.RootCAs == nil && cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "The CA file cannot be read: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "The CA file %s holds no certificate in PEM form.", cfg.CAFile)
		}
	}
	a := &Agent{cfg: cfg, log: cfg.Logger, client: newClient(cfg), interrupted: make(chan struct{}), wantedName: wanted}
	a.tracker, a.checker = newTracker(a), &checker{agent: a}
	if cfg.JobUser != "" {
		u, err := executor.LookupUser(cfg.JobUser)
		if err != nil {
			return nil, err
		}
		a.jobUser = u
	}
	return a, nil
}

func (c *Config) check() error {
	bad := func(format string, args ...any) error {
		return signalbox.Errorf(signalbox.CodeInvalid, format, args...)
	}
	switch {
	case c.Endpoint == "":
		return bad("No endpoint was given: the host[:port] of the server, for example ci.example.com.")
	case strings.ContainsAny(c.Endpoint, "/?#@ "):
		return bad("The endpoint %q is not host[:port]: leave out the scheme and the path.", c.Endpoint)
	case c.Token == "":
		return bad("No token was given: the registration token of the agent type, shown when the type was made.")
	case c.Name != "" && !isURL(c.Name) && (len(c.Name) < 8 || len(c.Name) > 80):
		return bad("The name %q has %d characters; it needs 8 to 80.", c.Name, len(c.Name))
	case c.JobID != "" && !c.DisconnectAfterJob:
		return bad("A job id was given, but not that the agent leaves after one job; give both or none.")
	case c.DisconnectAfterIdleTimeout < 0:
		return bad("The idle timeout is %v; it cannot be negative.", c.DisconnectAfterIdleTimeout)
	case c.InterruptionGracePeriod < 0:
		return bad("The interruption grace period is %v; it cannot be negative.", c.InterruptionGracePeriod)
	case c.StateDir == "":
		return bad("No state directory was given: a folder for logs that are not delivered yet.")
	}
	for _, dir := range []*string{&c.StateDir, &c.Workspace} {
		if *dir != "" {
			abs, err := filepath.Abs(*dir)
			if err != nil {
				return bad("The folder %q cannot be found: %w", *dir, err)
			}
			*dir = abs
		}
	}
	return nil
}

func isURL(s string) bool {
	_, err := url.ParseRequestURI(s)
	return err == nil
}

// Interrupt does what closing Config.Interrupt does: the server is told at once and decides. An idle agent leaves, a
// running job may go on for the grace period. It may be called at any time.
func (a *Agent) Interrupt() { a.interruptOnce.Do(func() { close(a.interrupted) }) }

// Run registers and works until the server sends the agent away. The error is nil when it left in an orderly way.
// Canceling ctx stops a running job and leaves without telling more than necessary.
func (a *Agent) Run(ctx context.Context) (ExitReason, error) {
	defer a.client.close()
	lock, err := a.prepareState()
	if err != nil {
		return ExitUnknown, err
	}
	defer lock.Close()
	a.tracker.begin(a.dir, a.spoolDir())
	defer a.tracker.ended()
	ended := make(chan struct{})
	var forward sync.WaitGroup
	forward.Go(func() {
		select {
		case <-a.cfg.Interrupt:
			a.Interrupt()
		case <-ended:
		}
	})
	defer forward.Wait()
	defer close(ended)
	if err := executor.AdoptOrphans(); err != nil {
		a.log.Warn("processes that leave their job may outlive it", "error", err)
	}
	if os.Geteuid() == 0 && a.jobUser == nil && runtime.GOOS != "windows" {
		a.log.Warn("jobs run as root and can read everything on this machine, this agent's tokens too; --job-user runs them as somebody else")
	}
	a.cleanUp(ctx)
	job, err := a.enter(ctx)
	if err != nil {
		if ctx.Err() != nil || isClosed(a.interrupted) {
			return ExitInterrupted, nil
		}
		return ExitUnknown, err
	}
	pushing, stopPushing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopPushing()
	l := &loop{agent: a, pushing: pushing, state: agentapi.StateWaitingForJobs, messages: make(chan progress, 4), interrupt: a.interrupted}
	l.takeUp(ctx, job)
	reason, err := l.run(ctx)

	// Logs first: their tokens die with the agent, and the hook may switch the machine off.
	a.flush(ctx, err)
	stopPushing()
	a.pushers.Wait()
	if gone(err) || a.disconnect(ctx) {
		a.forget()
	}
	a.shutdownHook(ctx, reason)
	return reason, err
}

// enter makes this process an agent: the one that an earlier process was, when the server still knows it, or a new one.
// It returns the job that was cut off.
func (a *Agent) enter(ctx context.Context) (*lastJob, error) {
	if who, job, ok := a.resume(ctx); ok {
		a.client.setToken(who.Token)
		// A sync would be an answer to an offer; this asks nothing but whether the token is known.
		err := a.client.known(ctx)
		if err == nil || !gone(err) {
			a.log.Info("going on as the agent that an earlier process was", "name", who.Name)
			a.tracker.registered(who.Name)
			return job, nil
		}
		a.log.Info("the server no longer knows the agent that an earlier process was", "name", who.Name)
		a.forget()
	}
	name, err := a.register(ctx)
	if err != nil {
		return nil, err
	}
	a.log.Info("registered", "name", name)
	a.tracker.registered(name)
	return nil, nil
}

// gone tells whether the server no longer knows this agent.
func gone(err error) bool {
	s := status(err)
	return s == http.StatusUnauthorized || s == http.StatusNotFound
}

// flush waits for logs that are still being delivered.
func (a *Agent) flush(ctx context.Context, err error) {
	if gone(err) {
		return
	}
	done := make(chan struct{})
	go func() { a.pushers.Wait(); close(done) }()
	limit := time.NewTimer(a.cfg.Timing.FlushAtExit)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		a.log.Warn("leaving with logs that were not delivered; the next agent with this state directory tries again", "dir", a.dir)
	case <-ctx.Done():
	}
}

func (a *Agent) spoolDir() string { return filepath.Join(a.dir, "spool") }

// jobsDir is where the private directories of jobs lie. Another user may not enter the state folder, so theirs are elsewhere.
func (a *Agent) jobsDir() string {
	if a.jobUser == nil {
		return filepath.Join(a.dir, "jobs")
	}
	sum := sha256.Sum256([]byte(a.dir))
	return filepath.Join(os.TempDir(), "signalbox-jobs-"+hex.EncodeToString(sum[:8]))
}

// MaxAgents is how many agents may share a state directory.
const MaxAgents = 256

// prepareState takes the first folder in the state directory that no other agent uses.
func (a *Agent) prepareState() (*os.File, error) {
	for n := 1; n <= MaxAgents; n++ {
		a.dir = filepath.Join(a.cfg.StateDir, strconv.Itoa(n))
		if err := os.MkdirAll(a.dir, 0o700); err != nil {
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "The state directory cannot be made: %w", err)
		}
		lock, err := lockFile(filepath.Join(a.dir, "lock"))
		if errors.Is(err, errLocked) {
			continue
		}
		if err != nil {
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "The state directory cannot be locked: %w", err)
		}
		if err := a.prepareJobsDir(); err != nil {
			lock.Close()
			return nil, err
		}
		return lock, nil
	}
	return nil, signalbox.Errorf(signalbox.CodeConflict, "The state directory %s is in use by %d agents; give this one another.", a.cfg.StateDir, MaxAgents)
}

// prepareJobsDir makes sure that the folder outside of the state folder is ours: others may write beside it.
func (a *Agent) prepareJobsDir() error {
	if a.jobUser == nil {
		return nil
	}
	dir := a.jobsDir()
	if err := os.Mkdir(dir, 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return signalbox.Errorf(signalbox.CodeInvalid, "The folder for jobs cannot be made: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || !ownedByUs(info) {
		return signalbox.Errorf(signalbox.CodeInvalid, "The folder %s, where this agent keeps its jobs, belongs to somebody else. Remove it.", dir)
	}
	return os.Chmod(dir, 0o711)
}

// register asks for a place, again while that can help.
func (a *Agent) register(ctx context.Context) (name string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	defer func() { <-over }()
	defer cancel()
	go func() {
		defer close(over)
		select {
		case <-a.interrupted:
			cancel()
		case <-ctx.Done():
		}
	}()
	host, _ := os.Hostname()
	req := agentapi.RegisterRequest{
		Name: a.cfg.Name, Version: a.cfg.Version, PID: os.Getpid(), OS: osName(), Arch: archName(runtime.GOARCH), Hostname: host,
		SingleJob: a.cfg.DisconnectAfterJob, IdleTimeout: int(a.cfg.DisconnectAfterIdleTimeout / time.Second),
		InterruptionGracePeriod: int(a.cfg.InterruptionGracePeriod / time.Second), JobID: a.cfg.JobID,
		Labels: a.cfg.Labels, Problems: a.checker.look(),
	}
	for try := 1; ; try++ {
		resp, err := a.client.register(ctx, a.cfg.Token, req)
		if err == nil {
			a.client.setToken(resp.Token)
			a.saveAccess(resp.Name, resp.Token)
			return resp.Name, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if !mayRegisterLater(err) {
			return "", &signalbox.Error{Code: signalbox.CodeForbidden, Message: fmt.Sprintf("The server at %s refuses this agent: %v", a.cfg.Endpoint, err), Err: err}
		}
		if try == a.cfg.Timing.RegisterAttempts {
			return "", &signalbox.Error{Code: signalbox.CodeUnavailable, Message: fmt.Sprintf("Registering at %s failed %d times, the last time with: %v", a.cfg.Endpoint, try, err), Err: err}
		}
		a.log.Warn("registering failed, trying again", "attempt", try, "error", err)
		if !sleep(ctx, a.cfg.Timing.RegisterPause) {
			return "", ctx.Err()
		}
	}
}

// mayRegisterLater tells whether the same request can work a second later: the network, the server's own trouble, or a
// dedicated job that has not reached the queue yet.
func mayRegisterLater(err error) bool {
	var e *statusError
	if !errors.As(err, &e) {
		return true
	}
	return e.Status >= 500 || e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout ||
		(e.Status == http.StatusBadRequest && strings.Contains(e.Text, "job not available"))
}

// disconnect says good-bye and tells whether the server has heard it.
func (a *Agent) disconnect(ctx context.Context) bool {
	if ctx.Err() != nil { // in a hurry: once
		once, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err := a.client.disconnect(once)
		if err != nil {
			a.log.Warn("disconnecting failed", "error", err)
		}
		return err == nil || gone(err)
	}
	tries := a.cfg.Timing.DisconnectTries
	if isClosed(a.interrupted) { // somebody waits for the end of this process; the next one goes on as this agent
		tries = min(tries, 3)
	}
	for try := 1; ; try++ {
		err := a.client.disconnect(ctx)
		if err == nil {
			return true
		}
		if gone(err) || try >= tries {
			a.log.Warn("disconnecting failed", "attempts", try, "error", err)
			return gone(err)
		}
		if !sleep(ctx, a.cfg.Timing.DisconnectPause) {
			return false
		}
	}
}

// pause is how long the server wants to hear nothing.
func (t Timing) pause(nextSyncAfter int) time.Duration {
	if nextSyncAfter > 0 {
		return time.Duration(nextSyncAfter) * time.Millisecond
	}
	return t.SyncMin + mathrand.N(t.SyncMax-t.SyncMin+1)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
