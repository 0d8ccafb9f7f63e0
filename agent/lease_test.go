package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent/executor"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// finished is the last report of a job's end.
func (h *hub) finished() (last agentapi.SyncRequest) {
	h.do(func() {
		for _, s := range h.seen {
			if s.State == agentapi.StateFinishedJob {
				last = s
			}
		}
	})
	return last
}

// The server is away for longer than the lease: the job is over while nobody can hear of it, and its end is told later.
func TestTheJobEndsWithItsLease(t *testing.T) {
	t.Parallel()
	died := filepath.Join(t.TempDir(), "died")
	h := newHub(t, "trap 'date > "+died+"; exit 1' TERM HUP; exec 9<> <(:); echo begun; for i in {1..600}; do read -rt 0.1 -u 9; done")
	h.lease = 2
	backAfter := 6 * time.Second
	h.trigger, h.reached = "begun", func() {
		h.down = true
		time.AfterFunc(backAfter, func() {
			if _, err := os.Stat(died); err != nil {
				t.Errorf("the job was still there when the server came back: %v", err)
			}
			h.do(func() { h.down = false })
		})
	}
	if reason, err := h.run(h.config()); reason != ExitRequested || err != nil {
		t.Fatalf("%s, %v", reason, err)
	}
	if s := h.finished(); s.JobResult != "failed" || s.JobReason != string(signalbox.ReasonLeaseEnded) {
		t.Errorf("%+v", s)
	}
}

func TestALeaseThatIsRenewedEndsNothing(t *testing.T) {
	t.Parallel()
	h := newHub(t, "exec 9<> <(:); for i in {1..35}; do read -rt 0.1 -u 9; done; true")
	h.lease = 2
	if reason, err := h.run(h.config()); reason != ExitRequested || err != nil {
		t.Fatalf("%s, %v", reason, err)
	}
	if s := h.finished(); s.JobResult != "passed" {
		t.Errorf("%+v, log %v", s, h.delivered())
	}
	h.do(func() {
		for _, s := range h.seen {
			if want := map[bool]int{true: 2}[s.State != agentapi.StateWaitingForJobs]; s.Lease != want {
				t.Fatalf("in %s it says that it keeps a lease of %d s, want %d", s.State, s.Lease, want)
			}
		}
	})
}

// A process that was killed before anything of the job ran goes on with the job, and with its lease.
func TestALeaseSurvivesARestart(t *testing.T) {
	t.Parallel()
	h := newHub(t, "true")
	cfg := h.config()
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := a.prepareState()
	if err != nil {
		t.Fatal(err)
	}
	a.saveAccess("test-agent", "agent-token")
	if err := a.saveJob(lastJob{JobID: "job-1", Phase: phaseAssigned, Lease: 7 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	lock.Close()
	if reason, err := h.run(cfg); reason != ExitRequested || err != nil {
		t.Fatalf("%s, %v", reason, err)
	}
	if s := h.finished(); s.JobResult != "passed" || s.Lease != 7*60 {
		t.Errorf("%+v", s)
	}
}

// A process that was stopped finds two things when it goes on: the end of a command, and that its lease is over. Whatever it sees
// first, it begins no other command.
func TestNoCommandBeginsAfterTheLease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	as := &assignment{agent: &Agent{log: slog.New(slog.DiscardHandler)}}
	as.keep(time.Hour, now())
	defer as.release()
	o := JobOptions{Shell: executor.ShellOptions{Dir: filepath.Join(dir, "job")}, Over: func() bool {
		if _, err := os.Stat(filepath.Join(dir, "first")); err == nil {
			as.mu.Lock()
			as.lease.from.machine -= 2 * time.Hour // and the timer has not noticed
			as.mu.Unlock()
		}
		return as.leaseOver()
	}}
	as.job = NewJob(&agentapi.JobPayload{Commands: commands("touch "+dir+"/first", "touch "+dir+"/second"), EpilogueAlways: commands("touch " + dir + "/third")}, o)
	result, err := as.job.Run(t.Context(), Sink(func(agentapi.Event) error { return nil }))
	if err != nil {
		t.Fatal(err)
	}
	as.leaseEnded() // the timer notices
	if result, reason := as.outcome(result, as.job.Reason()); result != signalbox.JobFailed || reason != signalbox.ReasonLeaseEnded {
		t.Errorf("%s %s", result, reason)
	}
	for name, want := range map[string]bool{"first": true, "second": false, "third": false} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("the %s command: %v", name, err)
		}
	}
}

// While a machine is suspended one clock stands still and the other goes on.
func TestTheLeaseOfASuspendedMachineEnds(t *testing.T) {
	t.Parallel()
	begin := now()
	for _, c := range []struct {
		name           string
		awake, machine time.Duration
		want           time.Duration
	}{
		{"both go on", time.Minute, time.Minute, time.Minute},
		{"it was suspended", time.Minute, time.Hour, time.Hour},
		{"a clock was set back", time.Minute, -time.Hour, time.Minute},
	} {
		if got := begin.until(instant{begin.at.Add(c.awake), begin.machine + c.machine}); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}

	h := newHub(t, "true")
	a, err := New(h.config())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	as := &assignment{agent: a, id: "job-1", fetching: func() { close(ended) }}
	as.keep(time.Hour, now())
	defer as.release()
	select {
	case <-ended:
		t.Fatal("a lease of an hour ends at once")
	case <-time.After(3 * leaseLook / 2):
	}
	as.mu.Lock()
	as.lease.from.machine -= time.Hour // the machine was suspended for that long
	as.mu.Unlock()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody has noticed that the lease is over")
	}
}

// What a job gets for its end is over with its lease, however much the agent allows otherwise.
func TestTheGracePeriodFitsIntoTheLease(t *testing.T) {
	t.Parallel()
	h := newHub(t, "true")
	cfg := h.config()
	for _, c := range []struct{ grace, lease, want time.Duration }{
		{10 * time.Second, 0, 10 * time.Second},
		{10 * time.Minute, 0, 10 * time.Minute},
		{10 * time.Second, 2 * time.Minute, 10 * time.Second},
		{10 * time.Minute, 2 * time.Minute, 30 * time.Second},
	} {
		cfg.Timing.StopGrace = c.grace
		a, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		as := &assignment{agent: a, fetching: func() {}}
		as.keep(c.lease, now())
		if got := as.options("x").Shell.Grace; got != c.want {
			t.Errorf("grace of %s with a lease of %s: %s, want %s", c.grace, c.lease, got, c.want)
		}
		if l := &as.lease; c.lease > 0 && l.length+as.grace()+reapTime > c.lease {
			t.Errorf("a lease of %s ends the job after %s, which may take %s more", c.lease, l.length, as.grace())
		}
		as.release()
	}
}
