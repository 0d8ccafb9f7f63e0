package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox/store/storetest"
)

// TestALeaseThatEnds: four agents with a job do not reach their server for as long as their lease allows, and more. One is cut off
// until its job runs elsewhere, one is back as soon as it has ended its job, and two are stopped. Each job runs again, and only when
// nothing of its first run is left; what comes back late changes nothing. Both databases at once, because it is about time that passes.
func TestALeaseThatEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("takes four minutes; not with -short")
	}
	t.Parallel()
	all := []*leases{newLeases(t, "")}
	if os.Getenv("SIGNALBOX_TEST_POSTGRES")+os.Getenv("SIGNALBOX_TEST_REQUIRE") == "" {
		t.Log("without PostgreSQL: SIGNALBOX_TEST_POSTGRES is not set")
	} else {
		all = append(all, newLeases(t, storetest.PostgresURL(t)))
	}
	for _, l := range all {
		l.begin()
	}
	for _, l := range all {
		l.trouble()
	}
	for _, l := range all {
		l.comeBack()
	}
	for _, l := range all {
		l.runAgain()
	}
	for _, l := range all {
		l.check()
	}
}

// leases is a server with agents that keep one, of two minutes.
type leases struct {
	*world
	token    string
	runs     string // a file for each job
	workflow string
	away     time.Time // since when nobody reaches the server

	had     map[string]*leased // by the agent that had the job first
	all     []*leased
	cut     *leased
	back    *leased
	stopped []*leased
}

// leased is a job and the agent that had it first.
type leased struct {
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

const leasedJobs = 4

func newLeases(t *testing.T, database string) *leases {
	l := &leases{world: emptyWorld(t, database), had: map[string]*leased{}}
	l.serve(program)
	l.runs = filepath.Join(l.dir, "runs")
	if err := os.Mkdir(l.runs, 0o755); err != nil {
		t.Fatal(err)
	}
	var typ struct {
		Token string `json:"registration_token"`
	}
	l.json(&typ, "agent-type", "create", "s1-lease", "--lease", "2m")
	l.token = typ.Token
	return l
}

func (l *leases) agent(name, endpoint string) *process {
	return startProgram(l.T, program, []string{"WHO=" + name}, "agent", "start", "--endpoint", endpoint, "--no-https", "--token", l.token, "--name", name,
		"--state", filepath.Join(l.dir, name), "--job-workspace", filepath.Join(l.dir, "jobs"), "--log-level", "info")
}

// begin runs a job on each of the first agents, and has others wait.
func (l *leases) begin() {
	l.Helper()
	for i := range leasedJobs {
		j := &leased{proxy: newProxy(l, l.listen)}
		name := fmt.Sprintf("first-agent-%d", i+1)
		j.agent, l.had[name] = l.agent(name, j.proxy.address()), j
	}
	bare, _ := l.repository("leases", fmt.Sprintf(leasePipeline, leasedJobs, l.runs))
	l.run("project", "create", "leases", "--git", bare)
	l.workflow = l.startWorkflow("leases")
	l.until("all jobs run", func() bool {
		l.all = nil
		found, _ := os.ReadDir(l.runs)
		for _, f := range found {
			if now := l.runsOf(f.Name()); len(now) == 1 {
				j := l.had[now[0].agent]
				j.job, j.first = f.Name(), now[0]
				l.all = append(l.all, j)
			}
		}
		return len(l.all) == leasedJobs
	})
	for _, j := range l.all { // only then does the server count on the lease
		l.until("the lease is confirmed", func() bool { return l.attempts(j.job)[0].State == "running" })
	}
	for i := range leasedJobs {
		l.agent(fmt.Sprintf("second-agent-%d", i+1), l.listen)
	}
	l.cut, l.back, l.stopped = l.all[0], l.all[1], l.all[2:]
}

func (l *leases) trouble() {
	l.Helper()
	l.away = time.Now()
	l.cut.proxy.sever()
	l.back.proxy.sever()
	for _, j := range l.stopped {
		l.signal(j, syscall.SIGSTOP)
		l.goOn(j.first) // its command ends while nobody looks
	}
}

// comeBack ends the trouble of one agent, which has ended its job by itself.
func (l *leases) comeBack() {
	l.Helper()
	l.until("the job of the one that will be back is over", func() bool { return !alive(l.back.first) })
	if over := time.Since(l.away); over > 2*time.Minute {
		l.Errorf("the job ran for %v without the server, its lease is two minutes", over)
	}
	l.back.proxy.heal()
}

// runAgain waits for the second runs, and then ends all trouble.
func (l *leases) runAgain() {
	l.Helper()
	for _, j := range l.all {
		l.until("job "+j.job+" runs again", func() bool { return len(l.runsOf(j.job)) > 1 })
		if alive(j.first) && (j == l.cut || j == l.back) {
			l.Errorf("job %s runs again while %s still runs it", j.job, j.first)
		}
	}
	l.Logf("all jobs run again after %v", time.Since(l.away).Round(time.Second))
	l.cut.proxy.heal()
	for _, j := range l.stopped {
		l.signal(j, syscall.SIGCONT)
	}
}

func (l *leases) check() {
	l.Helper()
	for _, j := range l.all {
		if j != l.back { // the server has given it up
			l.until(j.first.agent+" has ended", func() bool {
				select {
				case <-j.agent.done:
					return true
				default:
					return false
				}
			})
		}
		now := l.runsOf(j.job)
		l.goOn(now[len(now)-1])
	}
	if d := l.follow(l.workflow); d.Pipeline.Result != "passed" {
		l.Errorf("the pipeline has %s (%s)", d.Pipeline.Result, d.Pipeline.Reason)
	}
	for _, j := range l.all {
		now := l.runsOf(j.job)
		if len(now) != 2 || now[0] != j.first {
			l.Errorf("job %s was run by %v", j.job, now)
		}
		text := read(l.T, filepath.Join(l.runs, j.job))
		if strings.Count(text, "goes on") != 1 || !strings.HasSuffix(text, fmt.Sprintf("%v goes on\n", now[len(now)-1])) {
			l.Errorf("job %s, first run by %s, went on elsewhere than in its last run:\n%s", j.job, j.first, tail(text, 500))
		}
		a, reason := l.attempts(j.job), "agent_lost"
		if j == l.back {
			reason = "lease_ended"
		}
		if len(a) != 2 || a[0].Agent != j.first.agent || a[0].Result != "failed" || a[0].Reason != reason ||
			a[1].Result != "passed" || a[1].Agent != now[len(now)-1].agent || j != l.back && a[1].Agent == a[0].Agent {
			l.Errorf("want failed (%s) and passed: %+v", reason, a)
		}
	}
	l.verified("")
}

func (l *leases) signal(j *leased, s os.Signal) {
	l.Helper()
	if err := j.agent.cmd.Process.Signal(s); err != nil {
		l.Fatal(err)
	}
}

// goOn lets a run come to its second command.
func (l *leases) goOn(r run) {
	l.Helper()
	if err := os.WriteFile(filepath.Join(l.runs, "go-"+r.shell), nil, 0o600); err != nil {
		l.Fatal(err)
	}
}

// run is one run of a job: the agent and the process of its shell.
type run struct{ agent, shell string }

func (r run) String() string { return r.agent + " " + r.shell }

func alive(r run) bool {
	status, err := os.ReadFile("/proc/" + r.shell + "/status")
	return err == nil && !strings.Contains(string(status), "State:\tZ")
}

// runsOf lists the runs of a job in the order in which they wrote. One that writes after another counts again.
func (l *leases) runsOf(job string) (runs []run) {
	l.Helper()
	for line := range strings.Lines(read(l.T, filepath.Join(l.runs, job))) {
		if f := strings.Fields(line); len(runs) == 0 || runs[len(runs)-1] != (run{f[0], f[1]}) {
			runs = append(runs, run{f[0], f[1]})
		}
	}
	return runs
}
