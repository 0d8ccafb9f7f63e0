package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestALeaseThatEnds: four agents with a job do not reach their server for as long as their lease allows, and more. One is cut off
// until its job runs elsewhere, one is back as soon as it has ended its job, and two are stopped. Each job runs again, and only when
// nothing of its first run is left; what comes back late changes nothing.
func TestALeaseThatEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("takes four minutes; not with -short")
	}
	t.Parallel()
	databases(t, leaseEnds)
}

// leased is a job and the agent that had it first.
type leased struct {
	world *world
	job   string
	agent *process
	proxy *proxy
	first run
}

// Each job writes who runs it into a file of its own, again and again until that run may go on, and then that it does.
const leasePipeline = `version: v1.0
agent: {machine: {type: s1-lease}}
blocks:
  - task:
      jobs:
        - name: write
          parallelism: %d
          retry: {on: [agent_lost, lease_ended]}
          commands:
            - 'until [ -e %[2]s/go-$$ ]; do echo "$WHO $$" >> %[2]s/$SEMAPHORE_JOB_ID; sleep 0.3; done'
            - 'echo "$WHO $$ goes on" >> %[2]s/$SEMAPHORE_JOB_ID'
`

func leaseEnds(t *testing.T, database string) {
	w := emptyWorld(t, database)
	w.serve(program)
	var typ struct {
		Token string `json:"registration_token"`
	}
	w.json(&typ, "agent-type", "create", "s1-lease", "--lease", "2m")
	agent := func(name, endpoint string) *process {
		return startProgram(t, program, []string{"WHO=" + name}, "agent", "start", "--endpoint", endpoint, "--no-https", "--token", typ.Token, "--name", name,
			"--state", filepath.Join(w.dir, name), "--job-workspace", filepath.Join(w.dir, "jobs"), "--log-level", "info")
	}
	const jobs = 4
	had := map[string]*leased{}
	for i := range jobs {
		l := &leased{world: w, proxy: newProxy(t, w.listen)}
		name := fmt.Sprintf("first-agent-%d", i+1)
		l.agent, had[name] = agent(name, l.proxy.address()), l
	}
	runs := filepath.Join(w.dir, "runs")
	if err := os.Mkdir(runs, 0o755); err != nil {
		t.Fatal(err)
	}
	bare, _ := w.repository("leases", fmt.Sprintf(leasePipeline, jobs, runs))
	w.run("project", "create", "leases", "--git", bare)
	id := w.startWorkflow("leases")
	var all []*leased
	w.until("all jobs run", func() bool {
		all = nil
		found, _ := os.ReadDir(runs)
		for _, f := range found {
			if now := w.runsOf(f.Name()); len(now) == 1 {
				l := had[now[0].agent]
				l.job, l.first = f.Name(), now[0]
				all = append(all, l)
			}
		}
		return len(all) == jobs
	})
	w.until("the leases are confirmed", func() bool { // only then does the server count on them
		for _, l := range all {
			if !strings.Contains(l.agent.out.String(), "job assigned") || w.attempts(l.job)[0].State != "running" {
				return false
			}
		}
		return true
	})
	for i := range jobs {
		agent(fmt.Sprintf("second-agent-%d", i+1), w.listen)
	}

	cut, back, stopped := all[0], all[1], all[2:]
	cut.proxy.sever()
	back.proxy.sever()
	for _, l := range stopped {
		if err := l.agent.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		l.goOn(l.first) // its command ends while nobody looks
	}
	begin := time.Now()
	w.until("the job of the one that will be back is over", func() bool { return !alive(back.first) })
	if over := time.Since(begin); over > 2*time.Minute {
		t.Errorf("the job ran for %v without the server, its lease is two minutes", over)
	}
	back.proxy.heal()
	for _, l := range all {
		l.until("the job runs again", 2*time.Minute, func() bool { return len(w.runsOf(l.job)) > 1 })
		if alive(l.first) && (l == cut || l == back) {
			t.Errorf("job %s runs again while %s still runs it", l.job, l.first)
		}
	}
	t.Logf("all jobs run again after %v", time.Since(begin).Round(time.Second))
	cut.proxy.heal()
	for _, l := range stopped {
		if err := l.agent.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range all {
		if l != back {
			l.until("the first agent has told its end", time.Minute, func() bool { return w.attempts(l.job)[0].Late != "" })
		}
		now := w.runsOf(l.job)
		l.goOn(now[len(now)-1])
	}
	if d := w.follow(id); d.Pipeline.Result != "passed" {
		t.Errorf("the pipeline has %s (%s)", d.Pipeline.Result, d.Pipeline.Reason)
	}
	for _, l := range all {
		now := w.runsOf(l.job)
		if len(now) != 2 || now[0] != l.first {
			t.Errorf("job %s was run by %v", l.job, now)
		}
		text := read(t, filepath.Join(runs, l.job))
		if strings.Count(text, "goes on") != 1 || !strings.HasSuffix(text, fmt.Sprintf("%v goes on\n", now[len(now)-1])) {
			t.Errorf("job %s, first run by %s, went on elsewhere than in its last run:\n%s", l.job, l.first, tail(text, 500))
		}
		a, reason, late := w.attempts(l.job), "agent_lost", "failed"
		if l == back {
			reason, late = "lease_ended", ""
		}
		if len(a) != 2 || a[0].Agent != l.first.agent || a[0].Result != "failed" || a[0].Reason != reason || a[0].Late != late ||
			a[1].Result != "passed" || a[1].Agent != now[len(now)-1].agent || l != back && a[1].Agent == a[0].Agent {
			t.Errorf("want failed (%s) and passed: %+v", reason, a)
		}
	}
	w.verified("")
}

// run is one run of a job: the agent and the process of its shell.
type run struct{ agent, shell string }

func (r run) String() string { return r.agent + " " + r.shell }

func alive(r run) bool {
	status, err := os.ReadFile("/proc/" + r.shell + "/status")
	return err == nil && !strings.Contains(string(status), "State:\tZ")
}

// runsOf lists the runs of a job in the order in which they wrote. One that writes after another counts again.
func (w *world) runsOf(job string) (runs []run) {
	w.Helper()
	for line := range strings.Lines(read(w.T, filepath.Join(w.dir, "runs", job))) {
		if f := strings.Fields(line); len(runs) == 0 || runs[len(runs)-1] != (run{f[0], f[1]}) {
			runs = append(runs, run{f[0], f[1]})
		}
	}
	return runs
}

// goOn lets a run come to its second command.
func (l *leased) goOn(r run) {
	if err := os.WriteFile(filepath.Join(l.world.dir, "runs", "go-"+r.shell), nil, 0o600); err != nil {
		l.world.Fatal(err)
	}
}

func (l *leased) until(what string, limit time.Duration, ok func() bool) {
	l.world.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			l.world.Fatalf("job %s, first run by %s: waited %v until %s: %+v", l.job, l.first, limit, what, l.world.attempts(l.job))
		}
	}
}
