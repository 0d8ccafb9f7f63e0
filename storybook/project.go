package storybook

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/storybook/scene"
)

// Projects whose repositories can be read: what the form for a run and the check of the settings show is in them.
const (
	withRepository    = "label-service"
	lostRepository    = "old-depot"
	hostileRepository = "hostile-repository"
)

// repository stores a project of a repository in the world's own folder that has these files on main.
func (w *world) repository(name, message string, files map[string]string) {
	bare, err := publish(w.Context, filepath.Join(w.dir, "repositories"), name, message, files)
	w.Write(func(tx *store.Tx) error {
		if err != nil {
			return err
		}
		p := &signalbox.Project{Name: name, GitURL: bare, GitDir: bare, DefaultBranch: "main", PipelineFile: signalbox.DefaultPipelineFile}
		if err := tx.CreateProject(p, "user:ana"); err != nil {
			return err
		}
		return tx.SetGitRef(p.ID, "refs/heads/main", strings.Repeat("9f3c2ab0", 5))
	})
}

func publish(ctx context.Context, dir, name, message string, files map[string]string) (bare string, err error) {
	work, bare := filepath.Join(dir, name), filepath.Join(dir, name+".git")
	for file, text := range files {
		path := filepath.Join(work, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	if err := forge.Publish(ctx, work, bare, message); err != nil {
		return "", err
	}
	return bare, forge.Push(ctx, work)
}

// repositories are those of the small team: one that is there, and one that was moved away.
func (w *world) repositories() {
	w.repository(withRepository, "Print labels in colour", map[string]string{
		signalbox.DefaultPipelineFile: "version: v1.0\nname: Release ${{parameters.VERSION}}\nagent: {machine: {type: '%{{parameters.TYPE | default \"s1-linux\"}}'}}\n" +
			"blocks: [{name: Print, task: {jobs: [{name: print, commands: [make]}]}}]\n",
		".semaphore/broken.yml": "version: v1.0\nagent: {machine: {type: s1-linux}}\nblocks:\n  - task: {jobs: [{name: a, comands: [make]}]}\n",
	})
	w.Write(func(tx *store.Tx) error {
		gone := "/srv/git/" + lostRepository + ".git"
		p := &signalbox.Project{
			Name: lostRepository, GitURL: gone, GitDir: gone, DefaultBranch: "main", PipelineFile: signalbox.DefaultPipelineFile, MaxRunningJobs: 4, CustomPermissions: true,
			DebugPermissions: []signalbox.RefKind{signalbox.RefOtherBranch, signalbox.RefPullRequest}, AttachPermissions: []signalbox.RefKind{signalbox.RefOtherBranch},
			Initialization: signalbox.Initialization{MachineType: "s1-linux", OSImage: "ubuntu2404", Commands: []string{"checkout", "./ci/licences.sh"}, Secrets: []string{"licence-server"}},
		}
		return tx.CreateProject(p, "user:ana")
	})
}

// hostileProject is a repository full of what people should not write.
func (w *world) hostileProject() {
	text := strings.ReplaceAll(scene.Hostile, "\x00", "")
	w.repository(hostileRepository, text, map[string]string{signalbox.DefaultPipelineFile: "version: v1.0\nname: '${{parameters.A_PARAMETER_WITH_A_VERY_LONG_NAME_" + strings.Repeat("X", 200) + "}}'\nblocks: <script>alert(1)</script>\n"})
}

func tellProjectForms() []*story {
	run := func(p, more string) string { return "/projects/" + p + "/run" + more }
	settings := func(p, more string) string { return "/projects/" + p + "/settings/" + more }
	return []*story{
		{View: "Run", State: "asks for parameters", World: worldNormal, Role: member, Path: run(withRepository, ""), Says: []string{"VERSION", "Print labels in colour"}},
		{View: "Run", State: "filled in by its address", World: worldNormal, Role: member, Path: run(withRepository, "?reference=main&param.VERSION=2.4&param.NOTE=none")},
		{View: "Run", State: "of a branch that is not there", World: worldNormal, Role: member, Path: run(withRepository, "?reference=nowhere"), Says: []string{"no branch, tag or commit"}},
		{View: "Run", State: "of a file that is not right", World: worldNormal, Role: member, Path: run(withRepository, "?pipeline_file=.semaphore/broken.yml"), Says: []string{"did you mean"}},
		{View: "Run", State: "of a repository that is gone", World: worldNormal, Role: member, Path: run(lostRepository, ""), Says: []string{"is not there any more"}},
		{View: "Run", State: "refused", World: worldNormal, Role: member, Path: run(withRepository, ""), Status: 422, Says: []string{"Nothing was started."}, Form: url.Values{"step": {"run"}, "reference": {"main"}, "rows": {"1"}, "row.0.name": {"A=B"}, "row.0.value": {"x"}}},
		{View: "Run", State: "for somebody who may not", World: worldNormal, Role: viewer, Path: run(withRepository, ""), Status: 403},
		{View: "Run", State: "hostile text", World: worldExtreme, Role: admin, Path: run(hostileRepository, "?param.NOTE="+url.QueryEscape(scene.Hostile[:190])+"&pipeline_file="+url.QueryEscape(scene.Hostile[:190]))},
		{View: "Run", State: "hostile text in the file", World: worldExtreme, Role: admin, Path: run(hostileRepository, "")},
		{View: "Project settings", State: "as they are made", World: worldNormal, Role: admin, Path: settings("parcel-api", "general")},
		{View: "Project settings", State: "all set", World: worldNormal, Role: admin, Path: settings(lostRepository, "general")},
		{View: "Project settings", State: "repository checked", World: worldNormal, Role: admin, Path: settings(withRepository, "general?check=1"), Says: []string{"The repository can be read"}},
		{View: "Project settings", State: "repository that is gone", World: worldNormal, Role: admin, Path: settings(lostRepository, "general?check=1"), Says: []string{"The repository cannot be read"}},
		{View: "Project settings", State: "saved", World: worldNormal, Role: admin, Path: settings("parcel-api", "general?done=general")},
		{View: "Project settings", State: "with mistakes, and changed meanwhile", World: worldNormal, Role: admin, Path: settings("parcel-api", "general"), Status: 409, Form: url.Values{"name": {"a b"}, "max_running_jobs": {"many"}, "was": {"older"}}},
		{View: "Project settings", State: "moved meanwhile", World: worldNormal, Role: admin, Path: settings(withRepository, "repository"), Status: 409, Says: []string{"Somebody else has changed this"}, Form: url.Values{"address": {"https://git.example/labels.git"}, "default_branch": {"trunk"}, "was": {"older"}}},
		{View: "Project settings", State: "deleted with the wrong name", World: worldNormal, Role: admin, Path: settings("parcel-api", "delete"), Status: 422, Form: url.Values{"confirm": {"parcel"}}},
		{View: "Project settings", State: "for somebody who may not", World: worldNormal, Role: member, Path: settings("parcel-api", "general"), Status: 403},
		{View: "Project settings", State: "hostile text", World: worldExtreme, Role: admin, Path: settings(hostileRepository, "general?check=1")},
	}
}
