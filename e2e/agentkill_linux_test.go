package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// running is an agent that a test kills and starts again.
type running struct {
	y    *yard
	name string
	args []string
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

func (y *yard) agent(name string, args ...string) *running {
	r := &running{y: y, name: name, args: args, out: &output{}}
	y.Cleanup(func() {
		r.kill()
		if strings.Contains(r.out.String(), "WARNING: DATA RACE") {
			y.Error("the race detector has found something")
		}
		if y.Failed() {
			y.Logf("agent %s:\n%s", name, tail(r.out.String(), 4000))
		}
	})
	r.start()
	return r
}

func (r *running) start() {
	r.y.Helper()
	r.cmd, r.done = r.y.agentCommand(r.name, r.args...), make(chan struct{})
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	if err := r.cmd.Start(); err != nil {
		r.y.Fatal(err)
	}
	go func(cmd *exec.Cmd, done chan struct{}) { _ = cmd.Wait(); close(done) }(r.cmd, r.done)
}

func (r *running) kill() {
	_ = r.cmd.Process.Kill()
	<-r.done
}

// state is the agent's own folder.
func (r *running) state() string { return filepath.Join(r.y.dir, r.name, "1") }

// marked lists the processes of jobs of this test.
func (y *yard) marked() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		y.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, _ := os.ReadFile("/proc/" + e.Name() + "/environ")
		if bytes.Contains(env, []byte("SIGNALBOX_JOB_TREE=")) && bytes.Contains(env, []byte("HOME="+filepath.Join(y.dir, "home"))) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// nothingLeft checks that no process, no folder and no log of a job is left.
func (y *yard) nothingLeft(agents ...*running) {
	y.Helper()
	y.until("the processes of all jobs are gone", 10*time.Second, func() bool { return len(y.marked()) == 0 })
	for _, r := range agents {
		y.until("the agent has delivered everything", 2*time.Minute, func() bool {
			for _, dir := range []string{"jobs", "spool"} {
				if left, _ := os.ReadDir(filepath.Join(r.state(), dir)); len(left) > 0 {
					return false
				}
			}
			return true
		})
	}
	if groups, _ := filepath.Glob("/sys/fs/cgroup/unified/signalbox-*"); len(groups) > 0 && os.Geteuid() == 0 {
		y.Logf("groups of jobs, of this test or of others that run now: %v", groups)
	}
}

// noisy prints numbered lines, with processes in the background that a killed agent leaves behind.
func noisy(lines int) string {
	return fmt.Sprintf("(setsid sleep 300 &) ; sleep 301 & for i in $(seq 1 %d); do echo \"line $i of job\"; [ $((i %% 20)) != 0 ] || sleep 0.01; done", lines)
}

// steady prints numbered lines, some hundred a second.
func steady(lines int) string {
	return fmt.Sprintf("for i in $(seq 1 %d); do echo \"line $i of job\"; [ $((i %% 20)) != 0 ] || sleep 0.04; done", lines)
}

// checkPrefix checks that the log holds lines 1 to n, each once and in order, and returns n.
func checkPrefix(t testing.TB, log string) (n int) {
	t.Helper()
	for line := range strings.Lines(log) {
		var i int
		if c, err := fmt.Sscanf(line, "line %d of job\n", &i); err != nil || c != 1 {
			continue
		}
		if n++; i != n {
			t.Errorf("after line %d came line %d", n-1, i)
			return n
		}
	}
	return n
}

// TestKilledAgentLosesNothing kills three agents without warning, fifty times at random moments of noisy jobs. Each comes
// back as the same agent; every job gets a result, passed or failed as agent_restarted; every log holds what was printed
// up to a point, each line once and in order, and says why it ends; nothing is left running or lying around.
func TestKilledAgentLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute; not with -short")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // moments to kill at
	y := newYard(t)
	const kills, lines = 50, 600
	var agents []*running
	for i := range 3 {
		agents = append(agents, y.agent(fmt.Sprintf("killed-agent-%d", i+1)))
	}
	var ids []string
	open := func() (n int) {
		for _, id := range ids[max(0, len(ids)-8):] {
			if y.job(id).State != signalbox.JobFinished {
				n++
			}
		}
		return n
	}
	for killed := 0; killed < kills; killed++ {
		for open() < 4 {
			ids = append(ids, y.queue(noisy(lines)))
		}
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		r := agents[random.IntN(len(agents))]
		r.kill()
		r.start()
	}
	passed, restarted, cut := 0, 0, 0
	for _, id := range ids {
		j := y.finish(id, time.Minute)
		log := y.text(id)
		n := checkPrefix(t, log)
		switch {
		case j.Result == signalbox.JobPassed && j.Reason == "":
			passed++
			if n != lines {
				t.Errorf("a job has passed, and its log ends after line %d", n)
			}
		case j.Result == signalbox.JobFailed && j.Reason == signalbox.ReasonAgentRestarted:
			restarted++
			if !strings.Contains(log, "The agent was killed while this job ran") {
				t.Errorf("the log does not say why it ends after line %d: ...%s", n, tail(log, 300))
			}
			if n > 0 && n < lines {
				cut++
			}
		default:
			t.Errorf("job %s: %s %s\n%s", id, j.Result, j.Reason, tail(log, 500))
		}
	}
	t.Logf("%d jobs: %d passed, %d cut off by a kill, %d of them while they printed", len(ids), passed, restarted, cut)
	if restarted < 5 || cut == 0 {
		t.Errorf("only %d jobs were cut off: the kills missed", restarted)
	}
	y.nothingLeft(agents...)
}

// TestMachineRestarts: all processes are gone at once, the disk is kept, and the end of the spool is only half written.
func TestMachineRestarts(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	r := y.agent("restarted-agent")
	id := y.queue(steady(1000000))
	y.until("the job prints", time.Minute, func() bool { return checkPrefix(t, y.text(id)) > 50 })
	y.proxy.sever()
	size := func() (n int64) {
		spools, _ := filepath.Glob(filepath.Join(r.state(), "spool", "*.log"))
		for _, s := range spools {
			if info, err := os.Stat(s); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	before := size()
	y.until("there is something that the server does not have", time.Minute, func() bool { return size() > before })
	r.kill()
	for _, pid := range y.marked() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	spools, err := filepath.Glob(filepath.Join(r.state(), "spool", "*.log"))
	if err != nil || len(spools) != 1 {
		t.Fatalf("%v, %v", spools, err)
	}
	b, err := os.ReadFile(spools[0])
	if err == nil {
		err = os.WriteFile(spools[0], append(b[:len(b)-7], make([]byte, 4096)...), 0o600)
	}
	// What the state folder says of the machine is that it was started another time.
	state := filepath.Join(r.state(), "job.json")
	j, err2 := os.ReadFile(state)
	if err == nil && err2 == nil {
		boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
		err = os.WriteFile(state, bytes.ReplaceAll(j, bytes.TrimSpace(boot), []byte("another")), 0o600)
	}
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	y.proxy.heal()
	r.start()
	job := y.finish(id, time.Minute)
	log := y.text(id)
	if n := checkPrefix(t, log); n < 50 {
		t.Errorf("%d lines", n)
	}
	if job.Result != signalbox.JobFailed || job.Reason != signalbox.ReasonAgentRestarted || !strings.Contains(log, "The machine was restarted while this job ran") {
		t.Errorf("%s %s, %s", job.Result, job.Reason, tail(log, 300))
	}
	y.nothingLeft(r)
}

// TestNetworkTrouble: while a job prints, the network is cut, frozen or slow. The job goes on; then its whole log and its
// result arrive.
func TestNetworkTrouble(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(p *proxy, over <-chan struct{}){
		"cut":    func(p *proxy, over <-chan struct{}) { p.sever(); <-over; p.heal() },
		"frozen": func(p *proxy, over <-chan struct{}) { p.freeze(); <-over; p.heal() },
		"slow":   func(p *proxy, over <-chan struct{}) { p.slow(20000); <-over; p.heal() },
		"flapping": func(p *proxy, over <-chan struct{}) {
			for {
				select {
				case <-over:
					p.heal()
					return
				case <-time.After(150 * time.Millisecond):
					p.sever()
					time.Sleep(50 * time.Millisecond)
					p.heal()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			r := y.agent("trouble-" + name)
			const lines = 2000
			ended := filepath.Join(y.dir, "ended")
			id := y.queue(steady(lines) + "; touch " + ended)
			y.until("the job prints", time.Minute, func() bool { return checkPrefix(t, y.text(id)) > 10 })
			over := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() { trouble(y.proxy, over) })
			y.until("the commands have ended", time.Minute, func() bool { _, err := os.Stat(ended); return err == nil })
			time.Sleep(time.Second)
			close(over)
			wg.Wait()
			j := y.finish(id, 2*time.Minute)
			if n := checkPrefix(t, y.text(id)); n != lines || j.Result != signalbox.JobPassed {
				t.Errorf("%s %s with %d of %d lines", j.Result, j.Reason, n, lines)
			}
			y.nothingLeft(r)
		})
	}
}
