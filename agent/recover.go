package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent/executor"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// access is who this agent is for the server. It lies in the state folder, so that a process that was killed is followed
// by the same agent.
type access struct {
	Name        string `json:"name"`
	Token       string `json:"token"`
	Fingerprint string `json:"fingerprint"` // of the settings that the server was told
}

// phase is how far a job has come on this machine.
type phase string

const (
	phaseAssigned phase = "assigned" // nothing of it has run
	phaseStarted  phase = "started"  // some of it may have run
	phaseFinished phase = "finished" // the result is known and must be reported
)

// lastJob is the job that this agent has, until the server has taken its result.
type lastJob struct {
	JobID   string              `json:"job_id"`
	Attempt string              `json:"attempt,omitempty"` // which try of it
	Phase   phase               `json:"phase"`
	Spool   string              `json:"spool,omitempty"` // name of its log, from phaseStarted on
	Result  signalbox.JobResult `json:"result,omitempty"`
	Reason  signalbox.Reason    `json:"reason,omitempty"`
	Lease   time.Duration       `json:"lease,omitempty"` // after how long without an answer it ends
	Boot    string              `json:"boot,omitempty"`  // which start of the machine it was begun in
}

func (a *Agent) accessFile() string { return filepath.Join(a.dir, "access.json") }
func (a *Agent) jobFile() string    { return filepath.Join(a.dir, "job.json") }

// fingerprint changes with everything that only registering can tell the server.
func (a *Agent) fingerprint() string {
	c := a.cfg
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %v %v %v %q", c.Endpoint, c.Token, a.wantedName, c.DisconnectAfterJob,
		c.DisconnectAfterIdleTimeout, c.InterruptionGracePeriod, c.JobID))
	return hex.EncodeToString(sum[:])
}

func (a *Agent) saveAccess(name, token string) {
	if err := writeJSON(a.accessFile(), access{Name: name, Token: token, Fingerprint: a.fingerprint()}, false); err != nil {
		a.log.Warn("after a crash this agent will have to register again", "error", err)
	}
}

// forget removes who this agent was: it has left, or the server does not know it.
func (a *Agent) forget() {
	for _, path := range []string{a.accessFile(), a.jobFile()} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			a.log.Warn("the agent's state cannot be removed", "error", err)
		}
	}
}

// saveJob notes what becomes of the job. From phaseStarted on it survives a power loss, so that no job is begun twice.
func (a *Agent) saveJob(j lastJob) error {
	j.Boot = bootID()
	if err := writeJSON(a.jobFile(), j, j.Phase != phaseAssigned); err != nil {
		return fmt.Errorf("the state of the job cannot be saved: %w", err)
	}
	return nil
}

func (a *Agent) forgetJob() {
	if err := os.Remove(a.jobFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		a.log.Warn("the state of a job cannot be removed", "error", err)
	}
}

// loadJSON reads a file of the state folder; one that is not there or makes no sense is as good as none.
func loadJSON[T any](path string) (v T, ok bool) {
	b, err := os.ReadFile(path)
	return v, err == nil && json.Unmarshal(b, &v) == nil
}

// cleanUp ends what an earlier process with this state folder left running, and removes what lies around.
func (a *Agent) cleanUp(ctx context.Context) {
	if err := removeLeftEnvironments(a.jobsDir()); err != nil {
		a.log.Warn("the environment files of earlier debug sessions cannot be removed", "error", err)
	}
	entries, err := os.ReadDir(a.jobsDir())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		a.log.Warn("the directories of earlier jobs cannot be read", "error", err)
	}
	for _, e := range entries {
		a.log.Info("cleaning up after a job that was cut off", "dir", e.Name())
		if err := executor.CleanUp(filepath.Join(a.jobsDir(), e.Name()), a.log); err != nil {
			a.log.Warn("cleaning up after an earlier job failed", "error", err)
		}
	}
	// What a kill left half written: texts of uploads, and files that were about to replace others.
	for _, pattern := range []string{"spool/*" + spoolSuffix + ".txt*", "spool/*.new", "*.new"} {
		left, _ := filepath.Glob(filepath.Join(a.dir, filepath.FromSlash(pattern)))
		for _, path := range left {
			if err := os.Remove(path); err != nil {
				a.log.Warn("a file that was left half written cannot be removed", "error", err)
			}
		}
	}
	metas, _ := filepath.Glob(filepath.Join(a.spoolDir(), "*"+spoolSuffix+".meta"))
	for _, path := range metas {
		if _, err := os.Stat(strings.TrimSuffix(path, ".meta")); errors.Is(err, os.ErrNotExist) {
			_ = os.Remove(path)
		}
	}
	a.cleanContainers(ctx)
}

// closeLog ends the log of a job that was cut off with what is known about it.
func (a *Agent) closeLog(ctx context.Context, sp *spool, j lastJob) {
	why := "The agent was killed while this job ran, and has started again."
	if j.Boot != "" && j.Boot != bootID() {
		why = "The machine was restarted while this job ran."
	}
	now := time.Now()
	last, open := sp.lastDirective()
	if last.Event == agentapi.EventJobFinished {
		return
	}
	text := "\n[" + why + " The job's processes were ended. What it printed in the last moments may be missing.]\n"
	if err := sp.Output(ctx, now, []byte(text)); err != nil {
		a.log.Warn("the log of an earlier job cannot be completed", "error", err)
		return
	}
	if open != nil {
		code, at := 1, now.Unix()
		_ = sp.Event(ctx, agentapi.Event{Event: agentapi.EventCmdFinished, Timestamp: at, Directive: open.Directive, ExitCode: &code, StartedAt: &open.Timestamp, FinishedAt: &at})
	}
	_ = sp.Event(ctx, agentapi.Event{Event: agentapi.EventJobFinished, Timestamp: now.Unix(), Result: string(j.Result)})
}

// loggedResult returns the result with which the log of a job ends, "" when it was cut off before.
func (a *Agent) loggedResult(name string) signalbox.JobResult {
	if name == "" {
		return ""
	}
	sp, _, err := openSpool(filepath.Join(a.spoolDir(), name+spoolSuffix), a.log)
	if err != nil {
		return "" // whoever delivers the log says so
	}
	defer sp.close()
	last, _ := sp.lastDirective()
	if last.Event != agentapi.EventJobFinished {
		return ""
	}
	return signalbox.JobResult(last.Result)
}

// lastDirective returns the last event that is not output, and the command that was not finished, if any.
func (s *spool) lastDirective() (last agentapi.Event, open *agentapi.Event) {
	_ = s.records(s.freed, 1<<62, func(r record) bool {
		var e agentapi.Event
		if r.kind != kindEvent || json.Unmarshal(r.payload, &e) != nil {
			return true
		}
		last = e
		switch e.Event {
		case agentapi.EventCmdStarted:
			open = &e
		case agentapi.EventCmdFinished:
			open = nil
		}
		return true
	})
	return last, open
}

// resume takes up what an earlier process was: the same agent, with the job that it had. It returns false when this
// process has to register.
func (a *Agent) resume(ctx context.Context) (access, *lastJob, bool) {
	who, ok := loadJSON[access](a.accessFile())
	if !ok || who.Token == "" {
		a.forget()
		return who, nil, false
	}
	job, hasJob := loadJSON[lastJob](a.jobFile())
	if hasJob && job.Phase == phaseStarted {
		job.Phase, job.Result, job.Reason = phaseFinished, signalbox.JobFailed, signalbox.ReasonAgentRestarted
		// Killed between the end of its log and this note of its end, the job did end. Why one failed stands nowhere.
		if r := a.loggedResult(job.Spool); r == signalbox.JobPassed || r == signalbox.JobStopped {
			job.Result, job.Reason = r, signalbox.ReasonNone
		}
	}
	if who.Fingerprint != a.fingerprint() {
		// Other settings are another agent; but the old one's job needs its end first.
		a.client.setToken(who.Token)
		if hasJob && job.Phase == phaseFinished { // one of which nothing has run goes back when the agent leaves
			a.settle(ctx, job)
		}
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_ = a.client.disconnect(once)
		a.forget()
		return access{}, nil, false
	}
	if !hasJob {
		return who, nil, true
	}
	return who, &job, true
}

// settle delivers log and result of the job of an agent that will not go on, while the server listens.
func (a *Agent) settle(ctx context.Context, j lastJob) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timing.FlushAtExit)
	defer cancel()
	if p := a.openLog(ctx, j); p != nil {
		p.run(ctx)
	}
	retry := backoff{first: a.cfg.Timing.SyncMin, limit: a.cfg.Timing.SyncRetryMax}
	for ctx.Err() == nil {
		_, err := a.client.sync(ctx, agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: j.JobID, JobResult: string(j.Result), JobReason: string(j.Reason), Attempt: j.Attempt})
		if err == nil || gone(err) {
			return
		}
		sleep(ctx, retry.next())
	}
}

// openLog returns the delivery of the log of a job that was cut off, completed; nil when there is none.
func (a *Agent) openLog(ctx context.Context, j lastJob) *pusher {
	if j.Spool == "" {
		return nil
	}
	path := filepath.Join(a.spoolDir(), j.Spool+spoolSuffix)
	sp, meta, err := openSpool(path, a.log)
	if errors.Is(err, os.ErrNotExist) { // it was delivered, and about to be removed
		_ = os.Remove(path)
		return nil
	}
	if err != nil {
		a.log.Warn("the log of an earlier job cannot be read", "job", j.JobID, "error", err)
		return nil
	}
	a.closeLog(ctx, sp, j)
	sp.finish()
	return &pusher{spool: sp, client: a.client, timing: a.cfg.Timing, log: a.log, meta: meta}
}

// deliverLeftovers goes on with logs of jobs whose result was reported already.
func (a *Agent) deliverLeftovers(ctx context.Context, except string) {
	for _, path := range leftSpools(a.spoolDir()) {
		if strings.TrimSuffix(filepath.Base(path), spoolSuffix) == except {
			continue
		}
		sp, meta, err := openSpool(path, a.log)
		if errors.Is(err, os.ErrNotExist) { // it was made, and nobody had noted yet where it goes: nothing is in it
			err = os.Remove(path)
			if err == nil {
				continue
			}
		}
		if err != nil {
			a.log.Warn("a log spool of an earlier run cannot be read", "path", path, "error", err)
			continue
		}
		sp.finish()
		a.log.Info("delivering the log of an earlier job", "job", meta.JobID, "events", meta.Index)
		p := &pusher{spool: sp, client: a.client, timing: a.cfg.Timing, log: a.log, meta: meta, old: true}
		a.pushers.Go(func() { p.run(ctx) })
	}
}
