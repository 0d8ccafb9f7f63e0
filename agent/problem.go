package agent

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// DefaultLowDisk is how little room is reported when nothing else is set.
const DefaultLowDisk = 1 << 30

const (
	problemsFor = time.Minute      // how long an answer to what is wrong is good
	clockOff    = 30 * time.Second // a clock that is off by more is reported
)

// checker finds what is wrong with the machine. It only reports: no problem keeps the agent from asking for jobs, because
// an agent that asks for none looks idle, and nobody would look for the reason.
type checker struct {
	agent *Agent

	mu    sync.Mutex
	found []agentapi.Problem
	at    time.Time // when they were looked for
	looks bool      // somebody does
}

// problems are all that were found when somebody last looked, which is a minute ago at most. A disk that does not answer
// must not hold the conversation up.
func (c *checker) problems() []agentapi.Problem {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.looks && time.Since(c.at) >= problemsFor {
		c.looks = true
		go c.look()
	}
	return c.found
}

// look looks for problems now.
func (c *checker) look() []agentapi.Problem {
	found := slices.Concat(c.disk(), clockProblem(time.Duration(c.agent.client.clockOff.Load())), c.spool(), c.engine())
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.EqualFunc(found, c.found, func(a, b agentapi.Problem) bool { return a.Code == b.Code }) {
		for _, p := range found {
			c.agent.log.Warn("this machine has a problem", "problem", p.Code, "detail", p.Detail)
		}
		if len(found) == 0 {
			c.agent.log.Info("this machine has no problems any more")
		}
	}
	c.found, c.at, c.looks = found, time.Now(), false
	return found
}

// disk looks at the folders where jobs and logs are kept.
func (c *checker) disk() []agentapi.Problem {
	cfg := &c.agent.cfg
	low := cfg.LowDisk
	if low == 0 {
		low = DefaultLowDisk
	}
	for _, dir := range []string{c.agent.dir, cfg.Workspace} {
		if _, err := os.Stat(dir); dir == "" || err != nil {
			continue // the workspace is made with the first job
		}
		free, err := freeSpace(dir)
		if err != nil || low < 0 || free >= low {
			continue
		}
		return []agentapi.Problem{{Code: signalbox.ProblemDiskLow, Detail: fmt.Sprintf("%s is free in %s, less than %s", roughBytes(free), dir, roughBytes(low))}}
	}
	return nil
}

// clockProblem reports a clock that is ahead of the server's by so much, or behind.
func clockProblem(off time.Duration) []agentapi.Problem {
	way := "ahead of"
	if off < 0 {
		off, way = -off, "behind"
	}
	if off <= clockOff {
		return nil
	}
	return []agentapi.Problem{{Code: signalbox.ProblemClockOff, Detail: fmt.Sprintf("the clock is %s %s the server's", off.Round(10*time.Second), way)}}
}

// spool reports logs that wait for delivery and take as much room as one log may.
func (c *checker) spool() []agentapi.Problem {
	quota := c.agent.cfg.SpoolQuota
	if s := spoolSize(c.agent.spoolDir()); quota > 0 && s.Bytes >= quota*9/10 {
		return []agentapi.Problem{{Code: signalbox.ProblemSpoolFull, Detail: fmt.Sprintf("logs of %s wait for delivery; output of a job beyond %s is dropped", roughBytes(s.Bytes), roughBytes(quota))}}
	}
	return nil
}

// engine reports that the container engine that was set does not answer. Where none was set, jobs may need none.
func (c *checker) engine() []agentapi.Problem {
	host := c.agent.cfg.DockerHost
	network, address := "tcp", ""
	switch u, err := url.Parse(host); {
	case host == "" || err != nil:
		return nil
	case u.Scheme == "unix":
		network, address = "unix", u.Path
	case u.Scheme == "tcp":
		address = u.Host
	default:
		return nil
	}
	conn, err := net.DialTimeout(network, address, 2*time.Second)
	if err != nil {
		return []agentapi.Problem{{Code: signalbox.ProblemEngine, Detail: "the container engine at " + host + " does not answer"}}
	}
	conn.Close()
	return nil
}

// roughBytes is a size in two digits, so that it does not change all the time.
func roughBytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, u := float64(n), 0
	for v >= 1024 && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	return fmt.Sprintf("%.2g %s", v, units[u])
}
