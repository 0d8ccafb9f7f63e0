package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
)

// scrapeRoutes shows the metrics to whoever may see the agents: names of agent types and how busy a server is are
// nothing for strangers.
func (s *Server) scrapeRoutes() []route.Route {
	h := s.metrics.Handler()
	return []route.Route{{
		Pattern: "GET /metrics", Access: route.Needs(string(auth.AgentView)), Style: route.JSON,
		Handler: func(w http.ResponseWriter, r *http.Request) error {
			h.ServeHTTP(w, r)
			return nil
		},
	}}
}

// listenForScrapes binds the address on which metrics are shown to anybody.
func (s *Server) listenForScrapes() (err error) {
	if s.o.MetricsListen == "" {
		return nil
	}
	if s.scrapes, err = net.Listen("tcp", s.o.MetricsListen); err != nil {
		return fmt.Errorf("listen on %s for metrics: %w", s.o.MetricsListen, err)
	}
	return nil
}

// MetricsURL is where the metrics are shown to anybody, "" when they are not.
func (s *Server) MetricsURL() string {
	if s.scrapes == nil {
		return ""
	}
	return "http://" + s.scrapes.Addr().String() + "/metrics"
}

// serveScrapes answers on the address of its own until ctx ends. Nothing else is answered there.
func (s *Server) serveScrapes(ctx context.Context) error {
	if s.scrapes == nil {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	hs := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = hs.Close() })
	defer stop()
	if err := hs.Serve(s.scrapes); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}
