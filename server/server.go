// Package server puts the control plane together: it opens the store, the keys and the certificate, turns the route
// lists of the pages, the public API and the agent protocol into one handler, and starts and stops what runs in the
// background. It decides nothing about pipelines or agents. A start after a crash is the same as any other start.
package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signalbox-ci/signalbox/artifact"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/cert"
	"github.com/signalbox-ci/signalbox/dispatch"
	"github.com/signalbox-ci/signalbox/download"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/logline"
	"github.com/signalbox-ci/signalbox/metrics"
	"github.com/signalbox-ci/signalbox/people"
	"github.com/signalbox-ci/signalbox/project"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/secret"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/trigger"
)

// Options of a server. Dir is required.
type Options struct {
	Dir            string         // data folder: database, keys, certificate, mirrors
	DatabaseURL    string         // postgres://... instead of SQLite in Dir
	Listen         string         // host:port; port 0 takes any free one
	PublicURL      string         // scheme://host[:port] that agents and people use; default: as they asked
	Insecure       bool           // plain HTTP, behind a proxy that speaks TLS
	TrustedProxies []netip.Prefix // who may say X-Forwarded-Proto, -Host and -For
	HookCommand    []string       // what a repository's hook runs to tell us; "DIR" and the project id are appended
	Timing         dispatch.Timing
	LogQuota       int64
	ArtifactDir    string         // folder for the files that jobs push; default: artifacts in Dir
	DistDir        string         // folder with builds for other systems, offered for download
	ArtifactLimit  int64          // bytes that one such file may have; 0 is no limit
	MetricsListen  string         // host:port that shows metrics to anybody over plain HTTP; "" is none
	Version        string         // of the program, for its metrics
	SetupCode      string         // the one-time code of the first set-up; default: one is made and printed
	Admin          *setup.Request // makes the first administrator without a page, when nobody can sign in; default: nobody
	Out            io.Writer      // what a person sees at start; default: discard
	Logger         *slog.Logger   // default: discard
	Now            func() time.Time
}

// Server is an open control plane.
type Server struct {
	o        Options
	store    *store.Store
	keys     *auth.Keyring
	secrets  *secret.Secrets
	engine   *engine.Engine
	logs     *joblog.Log
	lines    *logline.Lines
	hub      *dispatch.Hub
	files    *artifact.Artifacts
	builds   *download.Downloads
	trigger  *trigger.Trigger
	schedule *schedule.Scheduler
	projects *project.Projects
	fleet    *fleet.Fleet
	certs    *cert.Manager
	metrics  *metrics.Metrics
	parking  *parking     // nil before Run
	scrapes  net.Listener // nil without Options.MetricsListen
	listener net.Listener
	handler  http.Handler
	routes   []route.Route
	url      string
	org      string

	setup     *setup.Setup
	people    *people.People
	setupCode string                 // "" when there is nothing to set up
	address   atomic.Pointer[string] // the public address that the organization has
}

// New opens everything a server needs and binds its address, but answers nothing before Run.
func New(ctx context.Context, o Options) (s *Server, err error) {
	if o.Dir == "" {
		return nil, errors.New("server: a data folder is needed")
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	opening := &Server{o: o}
	s = opening
	defer func() {
		if err != nil {
			err = errors.Join(err, opening.Close()) // s is nil by now
		}
	}()
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	if s.listener, err = net.Listen("tcp", o.Listen); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.Listen, err)
	}
	if err := s.secure(ctx); err != nil {
		return nil, err
	}
	if err := s.listenForScrapes(); err != nil {
		return nil, err
	}
	if err := s.wire(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) error {
	var err error
	s.metrics, err = metrics.New(metrics.Options{Registry: metrics.NewRegistry(), Version: s.o.Version, Logger: s.o.Logger})
	if err != nil {
		return err
	}
	so := store.Options{Dir: s.o.Dir, Now: s.o.Now, Logger: s.o.Logger, OnJob: s.metrics.Job, OnTransaction: s.metrics.Transaction}
	if s.o.DatabaseURL != "" {
		so.Dir, so.URL = "", s.o.DatabaseURL
	}
	if s.store, err = store.Open(ctx, so); err != nil {
		return err
	}
	if s.keys, err = auth.OpenKeyring(s.o.Dir); err != nil {
		return err
	}
	if err := localToken(ctx, s.store, s.o.Dir); err != nil {
		return fmt.Errorf("write the token of the local command line: %w", err)
	}
	if s.org, err = organizationID(ctx, s.store); err != nil {
		return err
	}
	if s.secrets, err = secret.New(secret.Options{Store: s.store, Keys: s.keys}); err != nil {
		return err
	}
	s.engine = engine.New(engine.Options{Store: s.store, Logger: s.o.Logger})
	s.logs = joblog.New(joblog.Options{
		Store: s.store, Quota: s.o.LogQuota, Secrets: s.secrets, Keys: s.keys, OnAppend: s.metrics.Log,
		OnClose: func(attemptID string) { s.lines.Closed(attemptID) },
	})
	if s.lines, err = logline.New(logline.Options{Store: s.store, Log: s.logs, Logger: s.o.Logger}); err != nil {
		return err
	}
	if s.fleet, err = fleet.New(fleet.Options{Store: s.store, Engine: s.engine, Log: s.logs, Logger: s.o.Logger}); err != nil {
		return err
	}
	s.hub, err = dispatch.New(dispatch.Options{
		Store: s.store, Engine: s.engine, Log: s.logs, Keys: s.keys, Secrets: s.secrets, OrganizationID: s.org, PublicURL: s.publicURL, ClientIP: s.clientIP,
		Timing: s.o.Timing, Now: s.o.Now, Logger: s.o.Logger, Park: s.park,
		OnSync: s.metrics.Sync, OnRegistered: s.metrics.Registered, OnRefused: s.metrics.Refused,
	})
	if err != nil {
		return err
	}
	if err := s.openSetup(ctx); err != nil {
		return err
	}
	return s.metrics.Watch(s.hub.Demands)
}

// URL is where the server answers, as far as it knows itself.
func (s *Server) URL() string { return s.url }

// Store is the server's store, for tests and benchmarks that look inside.
func (s *Server) Store() *store.Store { return s.store }

// Hub is the server's dispatcher, for tests and benchmarks.
func (s *Server) Hub() *dispatch.Hub { return s.hub }

// Secrets returns what jobs are handed.
func (s *Server) Secrets() *secret.Secrets { return s.secrets }

// Trigger starts workflows.
func (s *Server) Trigger() *trigger.Trigger { return s.trigger }

// Log returns the logs of all jobs.
func (s *Server) Log() *joblog.Log { return s.logs }

// Routes is everything the server answers.
func (s *Server) Routes() []route.Route { return s.routes }

// CAFile is the certificate of the local CA, "" when the server does not use one.
func (s *Server) CAFile() string {
	if s.certs == nil {
		return ""
	}
	return filepath.Join(s.o.Dir, "ca.crt")
}

// publicURL returns how whoever sent r can reach us.
func (s *Server) publicURL(r *http.Request) string {
	if s.o.PublicURL != "" {
		return strings.TrimRight(s.o.PublicURL, "/")
	}
	if a := s.address.Load(); a != nil && *a != "" {
		return *a
	}
	return s.askedURL(r)
}

// askedURL is the address by which r itself reached us.
func (s *Server) askedURL(r *http.Request) string {
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if s.trusted(r.RemoteAddr) {
		if p := r.Header.Get("X-Forwarded-Proto"); p == "http" || p == "https" {
			scheme = p
		}
		if h := r.Header.Get("X-Forwarded-Host"); h != "" && !strings.ContainsAny(h, "/\\ ,") {
			host = h
		}
	}
	return scheme + "://" + host
}

func (s *Server) trusted(remote string) bool {
	ap, err := netip.ParseAddrPort(remote)
	return err == nil && s.trustedAddr(ap.Addr())
}

func (s *Server) trustedAddr(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range s.o.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// clientIP returns the address of whoever sent r. Each proxy appends the address that it saw, so the list is read from its
// end for as long as proxies of ours wrote it; what stands before is what a client may have made up.
func (s *Server) clientIP(r *http.Request) string {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip := ap.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.trustedAddr(ip); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		ip = next.Unmap()
	}
	return ip.WithZone("").String()
}

// secure finds the URL and, unless told not to, the certificate.
func (s *Server) secure(ctx context.Context) error {
	host, port, err := net.SplitHostPort(s.listener.Addr().String())
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil || host == "" {
			host = "localhost"
		}
	}
	scheme := "https"
	if s.o.Insecure {
		scheme = "http"
	}
	s.url = scheme + "://" + net.JoinHostPort(host, port)
	hosts := []string{host}
	if s.o.PublicURL != "" {
		u, err := url.Parse(s.o.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("the public URL %q must look like https://ci.example.com", s.o.PublicURL)
		}
		s.url = strings.TrimRight(s.o.PublicURL, "/")
		hosts = append(hosts, u.Hostname())
	}
	if a := s.address.Load(); a != nil && *a != "" && s.o.PublicURL == "" {
		u, err := url.Parse(*a)
		if err != nil {
			return fmt.Errorf("the organization's public address %q: %w", *a, err)
		}
		s.url = *a
		hosts = append(hosts, u.Hostname())
	}
	if s.o.Insecure {
		return nil
	}
	s.certs, err = cert.Ensure(ctx, cert.Options{Dir: s.o.Dir, Keys: s.keys, Blobs: s.store, Hosts: hosts, Now: s.o.Now})
	if err != nil {
		return fmt.Errorf("prepare the certificate: %w", err)
	}
	s.listener = tls.NewListener(s.listener, s.certs.TLSConfig())
	return nil
}

// Run answers until ctx ends, then releases held requests, lets the others end and stops.
func (s *Server) Run(ctx context.Context) error {
	if err := s.announce(); err != nil {
		return err
	}
	defer os.Remove(filepath.Join(s.o.Dir, InfoFile))

	// Background work and open streams outlive ctx until held requests have been released.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	conns := newConnections()
	base := withStopping(context.WithoutCancel(ctx), work)
	s.parking = newParking(base, s.listener, conns, s.handler)
	hs := &http.Server{
		ConnState: conns.note, ConnContext: s.parking.context,
		Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute,
		WriteTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
	g, gctx := errgroup.WithContext(work)
	g.Go(func() error { return s.store.Run(gctx) })
	g.Go(func() error { return s.serveScrapes(gctx) })
	g.Go(func() error { return s.watchAddress(gctx) })
	g.Go(func() error { return s.hub.Run(gctx) })
	g.Go(func() error { return s.lines.Run(gctx) })
	g.Go(func() error { return s.files.Run(gctx) })
	g.Go(func() error { return s.trigger.Run(gctx) })
	g.Go(func() error { return s.schedule.Run(gctx) })
	g.Go(func() error { s.resume(gctx); return nil })
	g.Go(func() error {
		if err := s.trigger.CatchUp(gctx); err != nil && gctx.Err() == nil {
			s.o.Logger.Error("could not look for missed pushes", "error", err)
		}
		return nil
	})
	served := make(chan struct{})
	g.Go(func() error {
		defer close(served)
		if err := hs.Serve(s.parking); !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		select {
		case <-ctx.Done():
		case <-gctx.Done():
		}
		s.parking.end()
		s.hub.Release()
		hs.SetKeepAlivesEnabled(false)
		_ = s.listener.Close()
		<-served
		// Answers that are due get a moment; streams have no end of their own.
		if conns.quiet(ctx, 700*time.Millisecond) != nil {
			stop()
			if err := conns.quiet(ctx, 10*time.Second); err != nil {
				return errors.Join(fmt.Errorf("requests did not end: %w", err), hs.Close())
			}
		}
		stop()
		return hs.Close()
	})
	return g.Wait()
}

// resume takes the steps that a server which ended in the middle of something left, while agents and people are answered: with ten
// thousand open pipelines it takes half a minute. It tries again until all went well.
func (s *Server) resume(ctx context.Context) {
	for pause := time.Second; ; pause = min(2*pause, 10*time.Minute) {
		err := s.engine.Resume(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		s.o.Logger.Error("could not resume what was under way; trying again", "in", pause, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// announce tells people and the command line on this host where the server is.
func (s *Server) announce() error {
	b, err := json.Marshal(map[string]string{"url": s.localURL(), "public_url": s.url, "ca_file": s.CAFile()})
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(s.o.Dir, InfoFile), string(b)+"\n"); err != nil {
		return fmt.Errorf("write %s: %w", InfoFile, err)
	}
	fmt.Fprintf(s.o.Out, "Signalbox answers at %s\n", s.url)
	if s.certs != nil {
		fmt.Fprintf(s.o.Out, "Its certificate comes from its own CA. To trust it:\n  %s\n", s.certs.TrustHint())
	}
	if s.scrapes != nil {
		fmt.Fprintf(s.o.Out, "Metrics are shown to anybody who reaches %s\n", s.MetricsURL())
	}
	return s.announceSetup()
}

// localURL reaches the server from its own host, whatever its public name is.
func (s *Server) localURL() string {
	scheme := "https"
	if s.certs == nil {
		scheme = "http"
	}
	host, port, err := net.SplitHostPort(s.listener.Addr().String())
	if err != nil {
		return s.url
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// Close closes what New opened. Run must have returned.
func (s *Server) Close() error {
	var errs []error
	if s.listener != nil {
		if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.scrapes != nil {
		if err := s.scrapes.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.builds != nil {
		errs = append(errs, s.builds.Close())
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	return errors.Join(errs...)
}
