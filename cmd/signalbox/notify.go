package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox/agent"
)

// serviceManager is systemd, when it started this process and wants to hear from it (Type=notify); nil is nobody.
type serviceManager struct {
	address  string
	watchdog time.Duration // how long it waits between signs of life; 0 is for ever

	mu      sync.Mutex
	said    string
	ready   bool
	leaving bool
}

// findServiceManager reads and removes the variables that name it: they are not for jobs, whose messages would be taken
// for ours.
func findServiceManager() *serviceManager {
	m := &serviceManager{address: os.Getenv("NOTIFY_SOCKET")}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if pid := os.Getenv("WATCHDOG_PID"); err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		m.watchdog = time.Duration(usec) * time.Microsecond
	}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		_ = os.Unsetenv(name)
	}
	if m.address == "" {
		return nil
	}
	return m
}

// send sends one datagram of NAME=VALUE lines. Nobody is told of a failure: the manager misses the message and acts.
func (m *serviceManager) send(lines ...string) {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.address, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte(strings.Join(lines, "\n")))
}

// tell sends what has changed: that the first agent is registered, what the agents do, that the last one leaves.
func (m *serviceManager) tell(all []agent.Status) {
	if m == nil {
		return
	}
	text, ready, leaving := summary(all)
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	if ready && !m.ready {
		m.ready = true
		lines = append(lines, "READY=1")
	}
	if leaving && !m.leaving {
		m.leaving = true
		lines = append(lines, "STOPPING=1")
	}
	if text != m.said {
		m.said = text
		lines = append(lines, "STATUS="+text)
	}
	if len(lines) > 0 {
		m.send(lines...)
	}
}

// summary is one line about the agents of this process, and whether one is registered and none is left to work.
func summary(all []agent.Status) (text string, ready, leaving bool) {
	leaving = len(all) > 0
	busy := 0
	for _, s := range all {
		ready = ready || s.State != agent.StatusRegistering && s.State != agent.StatusEnded && s.State != agent.StatusLeaving
		leaving = leaving && (s.State == agent.StatusLeaving || s.State == agent.StatusEnded)
		if s.Job != nil {
			busy++
		}
	}
	if len(all) == 1 {
		s := all[0]
		if s.Job != nil {
			return fmt.Sprintf("%s at %s: %s %s", s.Name, s.Server, s.State, s.Job.ID), ready, leaving
		}
		return fmt.Sprintf("%s at %s: %s", s.Name, s.Server, s.State), ready, leaving
	}
	return fmt.Sprintf("%d agents, %d with a job", len(all), busy), ready, leaving
}

// feed gives signs of life, until stop is closed, while no agent's conversation is stuck. A process that is stuck is
// then ended and started again by the service manager.
func (m *serviceManager) feed(stop <-chan struct{}, wedged func(time.Time) string, log *slog.Logger) {
	if m == nil || m.watchdog == 0 {
		return
	}
	tick := time.NewTicker(m.watchdog / 2)
	defer tick.Stop()
	m.send("WATCHDOG=1")
	said := false
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			if name := wedged(now); name != "" {
				if !said {
					log.Error("the conversation with the server is stuck; the service manager will restart this process", "agent", name)
				}
				said = true
				continue
			}
			said = false
			m.send("WATCHDOG=1")
		}
	}
}
