package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

type jobMetrics struct {
	wait *prometheus.HistogramVec
	run  *prometheus.HistogramVec
}

func newJobMetrics() jobMetrics {
	return jobMetrics{
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "signalbox_job_wait_seconds", Help: "From the moment a job was queued to its first start on an agent.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400},
		}, []string{"agent_type"}),
		run: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "signalbox_job_run_seconds", Help: "From a job's start on an agent to its end.",
			Buckets: []float64{1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400},
		}, []string{"agent_type", "result"}),
	}
}

func (j jobMetrics) collectors() []prometheus.Collector { return []prometheus.Collector{j.wait, j.run} }

// forget drops the series of agent types that are not among those that exist.
func (j jobMetrics) forget(agentType string) {
	j.wait.DeletePartialMatch(prometheus.Labels{"agent_type": agentType})
	j.run.DeletePartialMatch(prometheus.Labels{"agent_type": agentType})
}

// Job notes a change of a job's state. All times come from the job's row, so a server that has just been started, and
// one that did not see the job begin, count what really was.
func (m *Metrics) Job(c store.JobChange) {
	switch {
	case c.From == signalbox.JobOffered && c.To == signalbox.JobRunning:
		// A job that is run again after its agent was lost keeps its place in the queue: it did not wait all that time.
		if c.Retries == 0 && !c.QueuedAt.IsZero() {
			m.job.wait.WithLabelValues(c.AgentType).Observe(seconds(c.StartedAt.Sub(c.QueuedAt)))
		}
	case c.From == signalbox.JobRunning && c.To == signalbox.JobFinished && !c.StartedAt.IsZero():
		m.job.run.WithLabelValues(c.AgentType, string(c.Result)).Observe(seconds(c.FinishedAt.Sub(c.StartedAt)))
	}
}

// seconds is a duration as Prometheus wants it; a clock that was set back makes no negative ones.
func seconds(d time.Duration) float64 { return max(d, 0).Seconds() }
