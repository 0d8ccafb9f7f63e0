package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/signalbox-ci/signalbox/store"
)

type storeMetrics struct {
	took [2][2]prometheus.Observer // by database and kind, so that no transaction looks anything up
	vec  *prometheus.HistogramVec
}

func newStoreMetrics() storeMetrics {
	s := storeMetrics{vec: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "signalbox_store_transaction_seconds", Help: "Time of a transaction, waiting for others and for the disk included.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"database", "kind"})}
	for i, database := range []string{"main", "log"} {
		for j, kind := range []string{"read", "write"} {
			s.took[i][j] = s.vec.WithLabelValues(database, kind)
		}
	}
	return s
}

func (s storeMetrics) collectors() []prometheus.Collector { return []prometheus.Collector{s.vec} }

// Transaction notes a transaction of the store.
func (m *Metrics) Transaction(t store.Transaction) {
	at := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	m.store.took[at(t.Log)][at(t.Write)].Observe(seconds(t.Took))
}
