package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signalbox-ci/signalbox"
)

type agentMetrics struct {
	sync       prometheus.Histogram
	registered *prometheus.CounterVec
	refused    *prometheus.CounterVec
}

func newAgentMetrics() agentMetrics {
	a := agentMetrics{
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "signalbox_sync_seconds", Help: "Time it took to answer a sync of an agent, without the time for which it was held on purpose.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
		registered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalbox_registrations_total", Help: "Agents that registered.",
		}, []string{"agent_type"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signalbox_registrations_refused_total", Help: "Registrations that were turned away, by the kind of reason.",
		}, []string{"reason"}),
	}
	for _, why := range signalbox.Refusals { // a counter that is there from the start shows its first increase
		a.refused.WithLabelValues(string(why))
	}
	return a
}

func (a agentMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{a.sync, a.registered, a.refused}
}

// forget drops the series of an agent type that does not exist any more.
func (a agentMetrics) forget(agentType string) {
	a.registered.DeletePartialMatch(prometheus.Labels{"agent_type": agentType})
}

// Sync notes how long the answer to a sync took.
func (m *Metrics) Sync(took time.Duration) { m.agent.sync.Observe(seconds(took)) }

// Registered notes that an agent registered.
func (m *Metrics) Registered(agentType string) { m.agent.registered.WithLabelValues(agentType).Inc() }

// Refused notes that a registration was turned away.
func (m *Metrics) Refused(why signalbox.Refusal) {
	m.agent.refused.WithLabelValues(string(why)).Inc()
}
