package server

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/api"
	"github.com/signalbox-ci/signalbox/artifact"
	"github.com/signalbox-ci/signalbox/download"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/people"
	"github.com/signalbox-ci/signalbox/project"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/trigger"
)

// hookPurpose separates the tokens of repository hooks from everything else the key ring signs.
const hookPurpose = "git-hook"

// wire builds the faces over the parts and their one handler.
func (s *Server) wire() error {
	if err := s.artifacts(); err != nil {
		return err
	}
	var err error
	s.trigger, err = trigger.New(trigger.Options{
		Store: s.store, Engine: s.engine, MirrorDir: filepath.Join(s.o.Dir, "mirrors"), Artifacts: s.files, Logger: s.o.Logger,
	})
	if err != nil {
		return err
	}
	if s.schedule, err = schedule.New(schedule.Options{Store: s.store, Starter: s.trigger, Logger: s.o.Logger}); err != nil {
		return err
	}
	if s.people, err = people.New(people.Options{Store: s.store, Now: s.o.Now}); err != nil {
		return err
	}
	if s.projects, err = project.New(project.Options{Store: s.store, Trigger: s.trigger, InstallHook: s.installHook, Dir: filepath.Join(s.o.Dir, "demo")}); err != nil {
		return err
	}
	public, err := api.New(api.Options{
		Store: s.store, Engine: s.engine, Trigger: s.trigger, Schedule: s.schedule, Fleet: s.fleet, Log: s.logs, Secrets: s.secrets, OrganizationID: s.org,
		Started: s.o.Now(), Projects: s.projects, CheckHook: s.checkHook, PublicURL: s.publicURL, Setup: s.setup, People: s.people,
	})
	if err != nil {
		return err
	}
	if s.builds, err = download.New(download.Options{Dir: s.o.DistDir, CAFile: s.CAFile()}); err != nil {
		return err
	}
	s.routes = slices.Concat(s.hub.Routes(), public.Routes(), s.files.Routes(), s.builds.Routes(), s.scrapeRoutes(), s.setupRoutes())
	return s.pages()
}

// artifacts opens the place for the files that jobs push.
func (s *Server) artifacts() error {
	dir := s.o.ArtifactDir
	if dir == "" {
		dir = filepath.Join(s.o.Dir, "artifacts")
	}
	blobs, err := artifact.OpenFolder(dir, s.org)
	if err != nil {
		return err
	}
	s.files, err = artifact.New(artifact.Options{
		Store: s.store, Keys: s.keys, Blobs: blobs, PublicURL: s.publicURL, MaxSize: s.o.ArtifactLimit, Now: s.o.Now, Logger: s.o.Logger,
	})
	return err
}

// installHook makes a repository of this machine call us after a push, with a token that can do nothing else.
func (s *Server) installHook(ctx context.Context, p *signalbox.Project) error {
	if len(s.o.HookCommand) == 0 {
		return nil
	}
	command := append([]string{"SIGNALBOX_HOOK_TOKEN=" + s.keys.Sign(hookPurpose, p.ID)}, s.o.HookCommand...)
	return forge.InstallHook(ctx, p.GitDir, append(command, "--project", p.ID))
}

func (s *Server) checkHook(projectID, token string) bool {
	return s.keys.Verify(hookPurpose, projectID, token)
}
