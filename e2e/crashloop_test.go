package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"
)

// TestAgentCrashLoop kills agents again and again: right after their start, when they have a job, in the job, and while they report.
// One comes back to its state folder each time, the others never do. Nothing is left of them: no job, no name, no open attempt.
func TestAgentCrashLoop(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute; not with -short")
	}
	databasesAtOnce(t, func(t *testing.T, database string) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // moments to kill at
		w := newWorld(t, database)
		var typ struct {
			Token    string `json:"registration_token"`
			Endpoint string `json:"endpoint"`
		}
		w.json(&typ, "agent-type", "create", "s1-kill", "--lost-after", "1m")
		agent := func(name, state string) *process {
			return start(t, "agent", "start", "--endpoint", typ.Endpoint, "--ca-file", filepath.Join(w.data(), "ca.crt"), "--token", typ.Token, "--name", name,
				"--state", filepath.Join(w.dir, state), "--job-workspace", filepath.Join(w.dir, "jobs"), "--log-level", "warn")
		}
		const jobs = 30
		bare, _ := w.repository("numbers", numbersPipeline(1, jobs, 20))
		w.run("project", "create", "numbers", "--git", bare)
		id := w.startWorkflow("numbers")
		for i := range 30 {
			name, state := "returning-agent", "returning"
			if i%5 == 4 {
				name = fmt.Sprintf("vanishing-agent-%d", i)
				state = name
			}
			p := agent(name, state)
			time.Sleep(time.Duration(dice.IntN(1200)) * time.Millisecond)
			p.kill()
		}
		agent("healthy-agent", "healthy")
		d := w.followThrough(id)
		ended := 0
		for _, b := range d.Blocks {
			for _, j := range b.Jobs {
				if j.Result != "" {
					ended++
				}
			}
		}
		if ended != jobs {
			t.Errorf("%d of %d jobs have ended", ended, jobs)
		}
		agent("returning-agent", "returning") // it reports what became of its job, and goes on
		// The last of those that vanished without a job is forgotten three minutes after its last sync; that is what a minute and the
		// default are about. Until then it may hold its name, but nothing else.
		w.until("no agent holds a job", func() bool {
			var all []struct {
				Name  string `json:"name"`
				JobID string `json:"job_id"`
			}
			out, _, code := w.try("--output", "json", "agent", "list")
			if code != 0 || json.Unmarshal([]byte(out), &all) != nil {
				return false
			}
			if len(all) > 8 {
				t.Errorf("%d agents are known of the 8 that there were", len(all))
			}
			for _, a := range all {
				if a.JobID != "" {
					return false
				}
			}
			return true
		})
		w.verified("")
	})
}

// TestReconnectStorm: the server is killed while a thousand agents of the official kind wait and three hundred of them run a job. Its
// next start finds all of them back within half a minute, answers none with an error, and no job is lost.
func TestReconnectStorm(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute; not with -short")
	}
	databases(t, func(t *testing.T, database string) {
		const agents, jobs = 1000, 300
		s := newServerProcess(t, database, true, jobs)
		l := s.load(t, map[string]any{"agents": agents, "hold": true})
		l.await("registered")
		l.order("serve", nil)
		held := map[string]bool{}
		for len(held) < jobs {
			held[l.await("job").Job] = true
		}
		s.kill()
		time.Sleep(500 * time.Millisecond)
		l.order("measure", nil)
		s.start(t)
		begin := time.Now()
		var r loadEvent
		for r.Back < agents && time.Since(begin) < time.Minute {
			time.Sleep(200 * time.Millisecond)
			r = l.report()
		}
		took := time.Since(begin)
		if r.Back < agents || took > 30*time.Second {
			t.Errorf("%d of %d agents are back after %v", r.Back, agents, took)
		}
		if r.Refused > 0 {
			t.Errorf("%d were answered with an error", r.Refused)
		}
		if mb := stateNumber(t, s.cmd.Process.Pid, "VmHWM"); !raceEnabled && mb > 200 {
			t.Errorf("the server took %.0f MB", mb)
		}
		// Who ran a job still has it, and nobody else was given it.
		again := 0
		for drained := false; !drained; {
			select {
			case e := <-l.events:
				if e.Event == "job" {
					again++
				}
			default:
				drained = true
			}
		}
		if again > 0 {
			t.Errorf("%d jobs were given out again", again)
		}
		if r := l.report(); r.Refused > 0 {
			t.Errorf("%d were answered with an error", r.Refused)
		}
		t.Logf("all back after %v", took.Round(10*time.Millisecond))
	})
}
