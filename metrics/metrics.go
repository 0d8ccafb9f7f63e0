// Package metrics shows Prometheus what a server does: how many jobs and agents there are, how long jobs wait and run,
// and how quickly the server and its store answer. What happens is counted where it happens, through small functions
// that the other packages call; what is, is read from the store at every scrape. The only label that is data is the
// name of an agent type that exists, so the number of series is bounded by what administrators make.
package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/signalbox-ci/signalbox/queue"
)

// Registry holds the metrics of one server. There is no global one.
type Registry = prometheus.Registry

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return prometheus.NewRegistry() }

// Options for New. Registry is required.
type Options struct {
	Registry *Registry
	Version  string       // of the program
	Logger   *slog.Logger // default: discard
}

// Metrics counts what a server does. Its methods may be called by many goroutines.
type Metrics struct {
	registry *Registry
	log      *slog.Logger
	job      jobMetrics
	agent    agentMetrics
	logs     logMetrics
	store    storeMetrics
}

// New registers everything that is counted where it happens; Watch adds what is read from the store.
func New(o Options) (*Metrics, error) {
	if o.Registry == nil {
		return nil, errors.New("metrics: a registry is needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Metrics{registry: o.Registry, log: o.Logger, job: newJobMetrics(), agent: newAgentMetrics(), logs: newLogMetrics(), store: newStoreMetrics()}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "signalbox_build_info", Help: "1, with the version of the program and of Go as labels.",
	}, []string{"version", "go_version"})
	build.WithLabelValues(o.Version, runtime.Version()).Set(1)
	all := []prometheus.Collector{build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}
	for _, part := range [][]prometheus.Collector{m.job.collectors(), m.agent.collectors(), m.logs.collectors(), m.store.collectors()} {
		all = append(all, part...)
	}
	for _, c := range all {
		if err := o.Registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Watch adds the jobs and agents that there are. read is called at every scrape.
func (m *Metrics) Watch(read func(context.Context) ([]queue.Demand, error)) error {
	return m.registry.Register(&demandCollector{read: read, metrics: m})
}

const (
	maxScrapes    = 4 // at once; one more is told to come back
	scrapeTimeout = 10 * time.Second
)

// Handler answers scrapes. It asks nobody who they are.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.HTTPErrorOnError, MaxRequestsInFlight: maxScrapes,
		Timeout: scrapeTimeout,
	})
}
