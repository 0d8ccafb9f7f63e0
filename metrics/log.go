package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signalbox-ci/signalbox/joblog"
)

type logMetrics struct {
	bytes   prometheus.Counter
	events  prometheus.Counter
	refused prometheus.Counter
}

func newLogMetrics() logMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return logMetrics{
		bytes:   counter("signalbox_log_bytes_total", "Bytes of job logs that were stored, as lines of JSON before compression."),
		events:  counter("signalbox_log_events_total", "Events of job logs that were stored; repeats are not counted."),
		refused: counter("signalbox_log_events_refused_total", "Events of job logs that were acknowledged and not stored: over the quota, too large, or withheld because of secrets."),
	}
}

func (l logMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{l.bytes, l.events, l.refused}
}

// Log notes what became of a push of log events.
func (m *Metrics) Log(out joblog.Outcome, stored int64) {
	m.logs.bytes.Add(float64(stored))
	m.logs.events.Add(float64(out.Stored))
	m.logs.refused.Add(float64(out.Refused))
}
