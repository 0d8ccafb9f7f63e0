package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/web"
)

// pages adds the web pages and makes the handler of everything.
func (s *Server) pages() error {
	w, err := web.New(web.Options{
		Store: s.store, Stopper: s, Starter: s, Debugger: s.trigger, Deployer: s.secrets, Tasks: s.schedule, Lines: s.lines, Fleet: s.fleet, PublicURL: s.publicURL, Now: s.o.Now, Started: s.o.Now(),
		Setup: s.setup, People: s.people, Projects: s.projects, Commits: s.trigger, AskedURL: s.askedURL, FixedURL: s.o.PublicURL, ClientIP: s.clientIP, Builds: s.builds, Version: s.o.Version,
		Secure: func(r *http.Request) bool { return strings.HasPrefix(s.publicURL(r), "https://") },
	})
	if err != nil {
		return err
	}
	s.routes = append(s.routes, w.Routes()...)
	m, err := newMux(s.store, s.o.Logger, w.SessionCookie, w.ErrorPage, s.routes)
	if err != nil {
		return err
	}
	m.unfinished = s.setup.Needed
	s.handler = m
	return nil
}

// StopPipeline stops a pipeline for somebody.
func (s *Server) StopPipeline(ctx context.Context, id, actor string) error {
	return s.store.Write(ctx, func(tx *store.Tx) error { return s.engine.StopPipeline(tx, id, actor, signalbox.ReasonUser) })
}

// StopJob stops a job for somebody.
func (s *Server) StopJob(ctx context.Context, id, actor string) error {
	return s.store.Write(ctx, func(tx *store.Tx) error { return s.engine.StopJob(tx, id, actor, signalbox.ReasonUser) })
}

// Promote, RerunPipeline and RerunWorkflow start what somebody asked for on a page.
func (s *Server) Promote(ctx context.Context, pipelineID, name string, parameters []signalbox.EnvVar, override bool, by, actor string) (created string, err error) {
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		p, err := s.engine.Promote(tx, pipelineID, engine.PromoteRequest{Name: name, Parameters: parameters, Override: override, By: by}, actor)
		if err == nil {
			created = p.CreatedPipelineID
		}
		return err
	})
	return created, err
}

func (s *Server) RerunPipeline(ctx context.Context, pipelineID, by, actor string) (created string, err error) {
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		p, err := s.engine.Rerun(tx, pipelineID, signalbox.NewID(), by, actor)
		if err == nil {
			created = p.ID
		}
		return err
	})
	return created, err
}

func (s *Server) RerunWorkflow(ctx context.Context, workflowID, by, actor string) (string, error) {
	w, _, err := s.trigger.Rerun(ctx, workflowID, signalbox.NewID(), by, actor)
	if err != nil {
		return "", err
	}
	return w.ID, nil
}

func (s *Server) RerunJob(ctx context.Context, jobID, by, actor string) (workflow, created string, err error) {
	err = s.store.Write(ctx, func(tx *store.Tx) error {
		p, err := s.engine.RerunJob(tx, jobID, signalbox.NewID(), by, actor)
		if err == nil {
			workflow, created = p.WorkflowID, p.ID
		}
		return err
	})
	return workflow, created, err
}
