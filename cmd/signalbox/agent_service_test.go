//go:build unix

package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox/agent"
)

// manager is what systemd is to a service: a socket for its messages.
type manager struct {
	*testing.T
	address string
	lines   chan string
}

func newManager(t *testing.T) *manager {
	dir, err := os.MkdirTemp("", "sb") // the name of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &manager{T: t, address: filepath.Join(dir, "notify"), lines: make(chan string, 1000)}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			for _, l := range strings.Split(string(buf[:n]), "\n") {
				m.lines <- l
			}
		}
	}()
	return m
}

func (m *manager) hears(want string) {
	m.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case l := <-m.lines:
			if strings.HasPrefix(l, want) {
				return
			}
		case <-limit:
			m.Fatalf("the service manager has not heard %q", want)
		}
	}
}

func TestAnAgentAsAService(t *testing.T) {
	s := newStation(t)
	options, token := s.agentType("s1-service")
	state := t.TempDir()
	m := newManager(t)
	p := start(t, []string{"NOTIFY_SOCKET=" + m.address, "WATCHDOG_USEC=200000", "SEMAPHORE_AGENT_TOKEN=" + token},
		append(options, "--state", state, "--name=service-agent", "--spawn=2", "--health-listen=127.0.0.1:0", "--log-format=json")...)
	m.hears("STATUS=2 agents, 0 with a job")
	m.hears("READY=1")
	for range 3 { // it goes on
		m.hears("WATCHDOG=1")
	}
	p.says(`"name":"service-agent-1"`)
	p.says(`"name":"service-agent-2"`)
	address := regexp.MustCompile(`"health endpoint","address":"([^"]+)"`).FindStringSubmatch(p.text())
	if address == nil {
		t.Fatal("it does not say where it answers")
	}
	body := ""
	for i := 0; !strings.Contains(body, "ok\n"); i++ {
		if i == 200 {
			t.Fatalf("it is not healthy: %s", body)
		}
		_, body = fetch(t, "http://"+address[1]+"/healthz")
		time.Sleep(20 * time.Millisecond)
	}
	if _, body = fetch(t, "http://"+address[1]+"/metrics"); !strings.Contains(body, `signalbox_agent_job_running{agent="service-agent-2"} 0`) {
		t.Errorf("metrics: %s", body)
	}
	var all []agent.Status
	s.ok(&all, "agent", "status", "--state", state)
	if len(all) != 2 || !all[0].Running || !all[1].Running || all[0].PID != p.cmd.Process.Pid {
		t.Errorf("status: %+v", all)
	}
	s.expect(0, `service-agent-\d at 127.0.0.1:\d+: waiting-for-jobs\n  process  \d+.*job      none\n  sync     (answered|none yet).*spool    0 bytes`, "agent", "status", "--state", state)

	p.signal(syscall.SIGTERM)
	m.hears("STOPPING=1")
	if code := p.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.expect(0, "not running, ended in an orderly way", "agent", "status", "--state", state)
	s.expect(2, "no agent has used", "agent", "status", "--state", filepath.Join(state, "nowhere"))
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// A signal before the agent is registered ends it at once, with one process and no waiting for attempts.
func TestASignalBeforeRegistration(t *testing.T) {
	noEnvironment(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 1)
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			asked <- struct{}{}
			open.Go(func() { _, _ = io.Copy(io.Discard, conn); conn.Close() })
		}
	})
	p := start(t, []string{"SEMAPHORE_AGENT_TOKEN=x"}, "agent", "start", "--endpoint", l.Addr().String(), "--no-https", "--state", t.TempDir())
	<-asked
	begin := time.Now()
	p.signal(syscall.SIGTERM)
	if code := p.ends(); code != 0 || time.Since(begin) > 5*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(begin))
	}
	l.Close()
	open.Wait()
}

// An agent that was killed is seen as gone, with the job that it had.
func TestStatusOfAKilledAgent(t *testing.T) {
	s := newStation(t)
	options, token := s.agentType("s1-killed")
	state := t.TempDir()
	p := start(t, []string{"SEMAPHORE_AGENT_TOKEN=" + token}, append(options, "--state", state)...)
	p.says("registered")
	p.signal(syscall.SIGKILL)
	<-p.done
	file := filepath.Join(state, "1", "status.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var st agent.Status
	if err := json.Unmarshal(b, &st); err != nil || !st.Running {
		t.Fatalf("it says %s, %v", b, err)
	}
	s.expect(0, "not running, vanished while it was (waiting-for-jobs|registering)", "agent", "status", "--state", state)
	st.State, st.Job = "running-job", &agent.StatusJob{ID: "6a4b", Since: time.Now()}
	if b, err = json.Marshal(st); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.expect(0, "not running, vanished while it was running-job\n.*job      was running 6a4b", "agent", "status", "--state", state)
}
