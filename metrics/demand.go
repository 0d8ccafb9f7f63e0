package metrics

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/queue"
)

// unknownType is the label of jobs that ask for an agent type which does not exist. Names of types begin with "s1-", so
// it is none of them; without it whoever writes pipeline files could make any number of series.
const unknownType = "unknown"

var (
	up       = prometheus.NewDesc("signalbox_store_up", "1 when the store could be read at this scrape, otherwise 0; then there are no figures of jobs and agents.", nil, nil)
	jobs     = prometheus.NewDesc("signalbox_jobs", "Jobs that are not finished, by state: queued, offered to an agent, running.", []string{"agent_type", "state"}, nil)
	oldest   = prometheus.NewDesc("signalbox_queue_oldest_seconds", "How long the first of the queued jobs has waited, 0 when none does.", []string{"agent_type"}, nil)
	agents   = prometheus.NewDesc("signalbox_agents", "Agents by state: idle, busy, draining, disabled, quarantined, suspect, disconnected.", []string{"agent_type", "state"}, nil)
	troubled = prometheus.NewDesc("signalbox_agents_with_problems", "Agents that report a problem of their machine, by the problem.", []string{"agent_type", "problem"}, nil)
	desired  = prometheus.NewDesc("signalbox_agents_desired", "How many agents could work now: running jobs and those that limits let start.", []string{"agent_type"}, nil)
)

// demandCollector reads the jobs and agents that there are when it is asked.
type demandCollector struct {
	read    func(context.Context) ([]queue.Demand, error)
	metrics *Metrics

	mu    sync.Mutex
	known map[string]bool // agent types of the last scrape
}

func (c *demandCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{up, jobs, oldest, agents, troubled, desired} {
		ch <- d
	}
}

func (c *demandCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, n float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, n, labels...)
	}
	all, err := c.read(ctx)
	if err != nil {
		c.metrics.log.Warn("the jobs and agents could not be counted", "error", err)
		gauge(up, 0)
		return
	}
	gauge(up, 1)
	c.forget(all)
	for _, d := range all {
		name := d.AgentType
		if name == "" {
			name = unknownType
		}
		for state, n := range map[string]int{"queued": d.Queued, "offered": d.Offered, "running": d.Running} {
			gauge(jobs, float64(n), name, state)
		}
		gauge(oldest, seconds(d.Oldest), name)
		if d.AgentType == "" {
			continue // nobody can be an agent of a type that does not exist
		}
		for state, n := range map[string]int{
			"idle": d.Agents.Free, "busy": d.Agents.Busy, "draining": d.Agents.Draining, "disabled": d.Agents.Disabled, "quarantined": d.Agents.Aside,
			"suspect":      d.Agents.Suspect,
			"disconnected": d.Left,
		} {
			gauge(agents, float64(n), name, state)
		}
		for problem, n := range known(d.Problems) {
			gauge(troubled, float64(n), name, problem)
		}
		gauge(desired, float64(d.Desired), name)
	}
}

// known counts problems by the words that agents of ours use, and all others as one: an agent must not make series.
func known(problems map[string]int) map[string]int {
	out := map[string]int{signalbox.ProblemDiskLow: 0, signalbox.ProblemClockOff: 0, signalbox.ProblemSpoolFull: 0, signalbox.ProblemEngine: 0, "other": 0}
	for code, n := range problems {
		if _, ok := out[code]; !ok {
			code = "other"
		}
		out[code] += n
	}
	return out
}

// forget drops what was counted for agent types that were deleted since the last scrape.
func (c *demandCollector) forget(all []queue.Demand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := make(map[string]bool, len(all))
	for _, d := range all {
		now[d.AgentType] = true
	}
	for name := range c.known {
		if !now[name] {
			c.metrics.job.forget(name)
			c.metrics.agent.forget(name)
		}
	}
	c.known = now
}
