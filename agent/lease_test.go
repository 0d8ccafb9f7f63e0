package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
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
