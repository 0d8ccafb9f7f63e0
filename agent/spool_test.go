package agent

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"pgregory.net/rapid"
)

func newTestSpool(t interface{ Fatal(...any) }, dir string, quota int64) *spool {
	sp, err := createSpool(dir, "one", quota, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return sp
}

// all reads the lines of a spool in batches.
func all(t *rapid.T, sp *spool, from int64, events, bytes int) (lines []string, end int64) {
	for {
		b, err := sp.batch(from, events, bytes)
		if err != nil {
			t.Fatal(err)
		}
		if b.n == 0 {
			return lines, from
		}
		got := strings.Split(strings.TrimSuffix(string(b.lines), "\n"), "\n")
		if len(got) != b.n || b.n > events {
			t.Fatalf("a batch of %d events has %d lines", b.n, len(got))
		}
		lines, from = append(lines, got...), b.end
	}
}

// TestSpoolKeepsEventsWhateverIsCutOff: the same records give the same events, however they are read; and a file that a
// crash has cut off or left half written gives the events up to there, and takes more.
func TestSpoolKeepsEventsWhateverIsCutOff(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		sp := newTestSpool(t, filepath.Join(dir, fmt.Sprint(n)), 0)
		at := time.Unix(1700000000, 0)
		for i, out := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 3000), 0, 12).Draw(t, "output") {
			err := sp.Output(t.Context(), at, out)
			if err == nil && i%3 == 0 {
				err = sp.Event(t.Context(), agentapi.Event{Event: agentapi.EventCmdStarted, Timestamp: at.Unix(), Directive: fmt.Sprint(i)})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		want, end := all(t, sp, 0, 1000, 1<<20)
		if size, _ := sp.state(); end != size {
			t.Fatalf("the end is %d, not %d", end, size)
		}
		again, _ := all(t, sp, 0, rapid.IntRange(1, 5).Draw(t, "events"), rapid.IntRange(1, 5000).Draw(t, "bytes"))
		if strings.Join(again, "\n") != strings.Join(want, "\n") {
			t.Fatal("read in other pieces, the events are others")
		}
		if err := sp.saveMeta(spoolMeta{JobID: "j"}); err != nil {
			t.Fatal(err)
		}
		sp.close()

		b, err := os.ReadFile(sp.path)
		if err != nil {
			t.Fatal(err)
		}
		cut := rapid.IntRange(0, len(b)).Draw(t, "cut")
		tail := rapid.SampledFrom([]string{"", strings.Repeat("\x00", 100), "garbage that is longer than the head of a record"}).Draw(t, "tail")
		if err := os.WriteFile(sp.path, append(b[:cut:cut], tail...), 0o600); err != nil {
			t.Fatal(err)
		}
		sp, meta, err := openSpool(sp.path, slog.New(slog.DiscardHandler))
		if err != nil || meta.JobID != "j" {
			t.Fatalf("%+v, %v", meta, err)
		}
		defer sp.close()
		kept, _ := all(t, sp, 0, 1000, 1<<20)
		if len(kept) > len(want) || strings.Join(kept, "\n") != strings.Join(want[:len(kept)], "\n") {
			t.Fatalf("after a cut at %d of %d: %d of %d events, or other ones", cut, len(b), len(kept), len(want))
		}
		if cut == len(b) && len(kept) != len(want) {
			t.Fatalf("nothing was cut off, and %d of %d events are left", len(kept), len(want))
		}
		if err := sp.Output(t.Context(), at, []byte("after")); err != nil {
			t.Fatal(err)
		}
		more, _ := all(t, sp, 0, 1000, 1<<20)
		if len(more) != len(kept)+1 || !strings.Contains(more[len(kept)], `"after"`) {
			t.Fatalf("the next event is %q", more[len(kept):])
		}
	})
}

// TestSpoolQuota: output over the quota is dropped, and the log says how much; everything else is kept; when the server
// has taken enough, output is kept again.
func TestSpoolQuota(t *testing.T) {
	sp := newTestSpool(t, t.TempDir(), 40<<20)
	defer sp.close()
	at := time.Unix(1700000000, 0)
	line := []byte(strings.Repeat("x", 16<<10))
	kept := 0
	for i := range 4000 { // 62 MiB
		if err := sp.Output(t.Context(), at, line); err != nil {
			t.Fatal(err)
		}
		if size, _ := sp.state(); size > 40<<20 {
			t.Fatalf("record %d: the spool has %d bytes", i, size)
		}
	}
	b := batch{}
	for {
		next, err := sp.batch(b.end, 2000, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if next.n == 0 {
			break
		}
		kept += next.n
		b = next
	}
	if err := sp.Event(t.Context(), agentapi.Event{Event: agentapi.EventCmdFinished, Timestamp: at.Unix()}); err != nil {
		t.Fatal(err)
	}
	rest, err := sp.batch(b.end, 10, 1<<20)
	if err != nil || rest.n != 2 {
		t.Fatalf("%d events, %v", rest.n, err)
	}
	var gap agentapi.Event
	first, _, _ := strings.Cut(string(rest.lines), "\n")
	if err := json.Unmarshal([]byte(first), &gap); err != nil {
		t.Fatal(err)
	}
	missing := (4000 - kept) * len(line)
	if want := fmt.Sprintf("%d bytes of output are missing here", missing); !strings.Contains(gap.Output, want) {
		t.Errorf("%q does not say %q", gap.Output, want)
	}
	if !sp.canFree(rest.end) {
		t.Fatal("nothing can be given back to the disk")
	}
	sp.free(rest.end)
	if err := sp.Output(t.Context(), at, []byte("again")); err != nil {
		t.Fatal(err)
	}
	last, err := sp.batch(rest.end, 10, 1<<20)
	if err != nil || last.n != 1 || !strings.Contains(string(last.lines), "again") {
		t.Errorf("%d events, %v, %.100s", last.n, err, last.lines)
	}
}

// TestCompleteLogGetsNoSecondEnd: an agent that was killed after the whole log was delivered and before its spool was
// removed adds nothing; one that was killed in a command ends that command, also when its start was delivered.
func TestCompleteLogGetsNoSecondEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		last string
		want int // events that are added
	}{"complete": {agentapi.EventJobFinished, 0}, "in a command": {agentapi.EventCmdStarted, 3}} {
		sp := newTestSpool(t, t.TempDir(), 0)
		for _, e := range []string{agentapi.EventJobStarted, tt.last} {
			if err := sp.Event(t.Context(), agentapi.Event{Event: e, Timestamp: 1, Directive: "make"}); err != nil {
				t.Fatal(err)
			}
		}
		size, _ := sp.state()
		if err := sp.saveMeta(spoolMeta{JobID: "j", Index: 2, Bytes: size}); err != nil {
			t.Fatal(err)
		}
		sp.close()
		log := slog.New(slog.DiscardHandler)
		sp, _, err := openSpool(sp.path, log)
		if err != nil {
			t.Fatal(err)
		}
		defer sp.close()
		(&Agent{log: log}).closeLog(t.Context(), sp, lastJob{JobID: "j", Result: "failed"})
		if b, err := sp.batch(size, 100, 1<<20); err != nil || b.n != tt.want {
			t.Errorf("%s: %d events were added, want %d (%v)\n%s", name, b.n, tt.want, err, b.lines)
		}
	}
}

// TestResultInTheLog: an agent that was killed after the last event of a log was written and before it noted the result
// reports what the log says; without that event, or when only the log would know why the job failed, the job was cut off.
func TestResultInTheLog(t *testing.T) {
	for name, tt := range map[string]struct {
		last   agentapi.Event
		result signalbox.JobResult
		reason signalbox.Reason
	}{
		"passed":  {agentapi.Event{Event: agentapi.EventJobFinished, Result: "passed"}, signalbox.JobPassed, signalbox.ReasonNone},
		"stopped": {agentapi.Event{Event: agentapi.EventJobFinished, Result: "stopped"}, signalbox.JobStopped, signalbox.ReasonNone},
		"failed":  {agentapi.Event{Event: agentapi.EventJobFinished, Result: "failed"}, signalbox.JobFailed, signalbox.ReasonAgentRestarted},
		"cut off": {agentapi.Event{Event: agentapi.EventCmdStarted, Directive: "make"}, signalbox.JobFailed, signalbox.ReasonAgentRestarted},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := New(newHub(t, "true").config())
			if err != nil {
				t.Fatal(err)
			}
			a.dir = t.TempDir()
			a.saveAccess("test-agent", "token")
			sp, err := createSpool(a.spoolDir(), "log", 0, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range []agentapi.Event{{Event: agentapi.EventJobStarted}, tt.last} {
				if err := sp.Event(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			if err := sp.saveMeta(spoolMeta{JobID: "j"}); err != nil {
				t.Fatal(err)
			}
			sp.close()
			if err := a.saveJob(lastJob{JobID: "j", Phase: phaseStarted, Spool: "log"}); err != nil {
				t.Fatal(err)
			}
			_, j, ok := a.resume(t.Context())
			if !ok || j == nil || j.Phase != phaseFinished || j.Result != tt.result || j.Reason != tt.reason {
				t.Errorf("%v %+v", ok, j)
			}
		})
	}
}

// TestSpoolIsRemovedInTwoSteps: whatever a kill leaves of a spool that was being removed is gone after the next start.
func TestSpoolIsRemovedInTwoSteps(t *testing.T) {
	for name, left := range map[string]string{"only the records": ".meta", "only where they go": ""} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, "true")
			c := h.config()
			dir := filepath.Join(c.StateDir, "1", "spool")
			for _, job := range []string{"last", "earlier"} {
				sp, err := createSpool(dir, job, 0, slog.New(slog.DiscardHandler))
				if err == nil {
					err = sp.saveMeta(spoolMeta{JobID: job})
				}
				if err == nil {
					err = os.Remove(sp.path + left)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			a, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			a.dir = filepath.Dir(dir)
			a.saveAccess("test-agent", "token")
			if err := a.saveJob(lastJob{JobID: "job-1", Phase: phaseFinished, Spool: "last", Result: signalbox.JobPassed}); err != nil {
				t.Fatal(err)
			}
			if reason, err := h.run(c); reason != ExitRequested || err != nil || h.result != "passed" {
				t.Errorf("%s, %v, %q", reason, err, h.result)
			}
			if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
				t.Errorf("%v, %v", files, err)
			}
		})
	}
}
