package agent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// Status is what one agent does, for people and programs on its machine. It holds no secrets.
type Status struct {
	Name    string       `json:"name"`
	Server  string       `json:"server"`
	Version string       `json:"version"`
	PID     int          `json:"pid"`
	Dir     string       `json:"dir"`     // of its state
	Running bool         `json:"running"` // there is a process; else the rest is what was true when it ended
	State   string       `json:"state"`   // registering, a state of the protocol such as running-job, leaving, ended
	Job     *StatusJob   `json:"job"`     // nil when there is none
	Sync    *StatusSync  `json:"last_sync"`
	Spool   StatusSpool  `json:"spool"`
	Jobs    StatusCounts `json:"jobs"`

	AnsweredAt   time.Time `json:"answered_at,omitzero"` // last sync that the server has answered
	PushesFailed int64     `json:"pushes_failed"`        // requests with parts of logs
	StartedAt    time.Time `json:"started_at"`
	UpdatedAt    time.Time `json:"updated_at"`
	Problem      string    `json:"problem,omitempty"` // why the status cannot be read
}

// StatusJob is the job that an agent has.
type StatusJob struct {
	ID    string    `json:"id"`
	Since time.Time `json:"since"`
}

// StatusSync is the last report to the server.
type StatusSync struct {
	At    time.Time `json:"at"`
	Error string    `json:"error,omitempty"` // "" when it was answered
}

// StatusSpool is what waits on disk for delivery.
type StatusSpool struct {
	Bytes int64 `json:"bytes"`
	Logs  int   `json:"logs"`
}

// StatusCounts are jobs since the start of the process, by result.
type StatusCounts struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Stopped int `json:"stopped"`
}

// States beside those of the protocol.
const (
	StatusRegistering = "registering"
	StatusLeaving     = "leaving"
	StatusEnded       = "ended"
)

const statusFile = "status.json"

// tracker keeps the status of one running agent: in memory, and in a file that is written when something changes and at
// each sync.
type tracker struct {
	observe func(Status) // may be nil
	spool   string       // directory of logs that wait
	pushes  func() int64 // requests with parts of logs that failed
	log     *slog.Logger
	request time.Duration // limit of one sync
	slack   time.Duration // beyond the limits of requests and pauses

	mu      sync.Mutex
	status  Status
	promise time.Time // until when the conversation must have made its next step; zero: nothing is promised
	failed  bool      // writing the file failed, and that was logged
}

func newTracker(a *Agent) *tracker {
	return &tracker{
		observe: a.cfg.Observe, pushes: a.client.pushesFailed.Load, log: a.log,
		request: a.client.limit(a.cfg.Timing.Hold), slack: a.cfg.Timing.Request,
		status: Status{
			Name: a.cfg.Name, Server: a.cfg.Endpoint, Version: a.cfg.Version, PID: os.Getpid(), Running: true,
			State: StatusRegistering, StartedAt: time.Now().UTC(),
		},
	}
}

// Status returns what the agent does now.
func (a *Agent) Status() Status {
	a.tracker.mu.Lock()
	defer a.tracker.mu.Unlock()
	return a.tracker.status
}

// Wedged tells whether the conversation with the server has not made its next step in time. A server that does not
// answer is no reason: each request and each pause has a limit of its own.
func (a *Agent) Wedged(now time.Time) bool {
	a.tracker.mu.Lock()
	defer a.tracker.mu.Unlock()
	return !a.tracker.promise.IsZero() && now.After(a.tracker.promise)
}

// begin says where the status is kept.
func (t *tracker) begin(dir, spool string) {
	t.spool = spool
	t.change(func(s *Status) { s.Dir = dir })
}

func (t *tracker) registered(name string) {
	t.change(func(s *Status) { s.Name, s.State = name, string(agentapi.StateWaitingForJobs) })
}

// expect promises that the conversation makes its next step within d and some slack; less than nothing promises nothing.
func (t *tracker) expect(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.promise = time.Time{}
	if d >= 0 {
		t.promise = time.Now().Add(d + t.slack)
	}
}

// report takes note of what a sync is about to tell.
func (t *tracker) report(state agentapi.AgentState, jobID string, result signalbox.JobResult) {
	t.expect(t.request)
	t.mu.Lock()
	had := t.status.Job
	same := t.status.State == string(state) && (had == nil) == (jobID == "") && (had == nil || had.ID == jobID)
	t.mu.Unlock()
	if same {
		return
	}
	t.change(func(s *Status) {
		if state == agentapi.StateFinishedJob && s.State != string(state) {
			switch result {
			case signalbox.JobPassed:
				s.Jobs.Passed++
			case signalbox.JobStopped:
				s.Jobs.Stopped++
			default:
				s.Jobs.Failed++
			}
		}
		s.State = string(state)
		switch {
		case jobID == "":
			s.Job = nil
		case s.Job == nil || s.Job.ID != jobID:
			s.Job = &StatusJob{ID: jobID, Since: time.Now().UTC()}
		}
	})
}

// synced takes note of how a sync went. One that was dropped because there is news says nothing about the server.
func (t *tracker) synced(dropped bool, err error) {
	if dropped {
		return
	}
	t.change(func(s *Status) {
		s.Sync = &StatusSync{At: time.Now().UTC()}
		if err != nil {
			s.Sync.Error = err.Error()
		} else {
			s.AnsweredAt = s.Sync.At
		}
	})
}

func (t *tracker) leaving() {
	t.expect(-1)
	t.change(func(s *Status) { s.State = StatusLeaving })
}

func (t *tracker) ended() {
	t.expect(-1)
	t.change(func(s *Status) { s.State, s.Running = StatusEnded, false })
}

// change changes the status, saves it and tells the observer.
func (t *tracker) change(f func(*Status)) {
	spool := spoolSize(t.spool)
	t.mu.Lock()
	f(&t.status)
	t.status.Spool, t.status.PushesFailed, t.status.UpdatedAt = spool, t.pushes(), time.Now().UTC()
	s := t.status
	err := writeStatus(s)
	say := err != nil && !t.failed
	t.failed = err != nil
	t.mu.Unlock()
	if say {
		t.log.Warn("the status of the agent cannot be saved; `agent status` will not know it", "error", err)
	}
	if t.observe != nil {
		t.observe(s)
	}
}

// writeStatus saves a status in one step, for the agent's own user.
func writeStatus(s Status) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(s.Dir, statusFile)
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// spoolSize counts what lies in a spool and was not delivered, as far as its files tell.
func spoolSize(dir string) (s StatusSpool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return s // not made yet
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasSuffix(e.Name(), spoolSuffix) {
			continue
		}
		s.Logs++
		s.Bytes += info.Size()
		if meta, ok := loadJSON[spoolMeta](filepath.Join(dir, e.Name()+".meta")); ok {
			s.Bytes -= min(meta.Bytes, info.Size())
		}
	}
	return s
}

// ReadStatus reads what the agents with a state directory have last told, in the order of their folders. There is none
// when no agent has used it.
func ReadStatus(stateDir string) ([]Status, error) {
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "The state directory cannot be read; the agent's own user and root can: %w", err)
	}
	var out []Status
	var order []int
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil || !e.IsDir() {
			continue
		}
		dir := filepath.Join(stateDir, e.Name())
		s, err := readStatus(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			s = Status{Problem: fmt.Sprintf("its status cannot be read: %v", err)}
		}
		s.Dir = dir
		out, order = append(out, s), append(order, n)
	}
	index := map[string]int{}
	for i, s := range out {
		index[s.Dir] = order[i]
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(index[a.Dir], index[b.Dir]) })
	return out, nil
}

func readStatus(dir string) (s Status, err error) {
	b, err := os.ReadFile(filepath.Join(dir, statusFile))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, err
	}
	s.Running = s.Running && isLocked(dir, s.PID)
	return s, nil
}

// isLocked tells whether an agent works in a folder. The lock is only tried when the process seems to be there, so that
// looking never takes the lock from an agent that starts.
func isLocked(dir string, pid int) bool {
	if !processExists(pid) {
		return false
	}
	f, err := lockFile(filepath.Join(dir, "lock"))
	if err == nil {
		f.Close()
		return false
	}
	return errors.Is(err, errLocked)
}
