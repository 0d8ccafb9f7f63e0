package api

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/project"
	"github.com/signalbox-ci/signalbox/store"
)

type projectBody struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		ID          string `json:"id"`
		Name        string `json:"name"`
		Description string `json:"description"`
		OrgID       string `json:"org_id"`
		OwnerID     string `json:"owner_id"`
	} `json:"metadata"`
	Spec projectSpec `json:"spec"`
}

type projectSpec struct {
	Visibility        string         `json:"visibility"`
	Repository        repositoryBody `json:"repository"`
	Schedulers        []any          `json:"schedulers"`
	Tasks             []any          `json:"tasks"`
	CustomPermissions bool           `json:"custom_permissions"`
	DebugPermissions  []string       `json:"debug_permissions"`
	AttachPermissions []string       `json:"attach_permissions"`
	MaxRunningJobs    int            `json:"max_running_jobs,omitempty"`
}

type repositoryBody struct {
	Name            string        `json:"name"`
	Owner           string        `json:"owner"`
	URL             string        `json:"url"`
	Forked          forkedBody    `json:"forked_pull_requests"`
	RunOn           []string      `json:"run_on"`
	PipelineFile    string        `json:"pipeline_file"`
	Status          statusBody    `json:"status"`
	Whitelist       whitelistBody `json:"whitelist"`
	IntegrationType string        `json:"integration_type"`
	DefaultBranch   string        `json:"default_branch,omitempty"`
}

// Settings that this version does not have are shown as they are when nobody has set them.
type (
	forkedBody struct {
		AllowedSecrets      []string `json:"allowed_secrets"`
		AllowedContributors []string `json:"allowed_contributors"`
	}
	whitelistBody struct {
		Branches []string `json:"branches"`
		Tags     []string `json:"tags"`
	}
	statusBody struct {
		PipelineFiles []statusFile `json:"pipeline_files"`
	}
	statusFile struct {
		Path  string `json:"path"`
		Level string `json:"level"`
	}
)

func (a *API) project(p *signalbox.Project, tasks []*signalbox.Task) projectBody {
	b := projectBody{APIVersion: "v1alpha", Kind: "Project"}
	b.Metadata.ID, b.Metadata.Name, b.Metadata.OrgID = p.ID, p.Name, a.OrganizationID
	url := strings.TrimSuffix(strings.TrimRight(signalbox.WithoutPassword(p.GitURL), "/"), ".git")
	b.Spec = projectSpec{
		Visibility: "private", Schedulers: []any{}, Tasks: projectTasks(tasks), CustomPermissions: p.CustomPermissions,
		DebugPermissions: kindNames(p.DebugPermissions), AttachPermissions: kindNames(p.AttachPermissions), MaxRunningJobs: p.MaxRunningJobs,
		Repository: repositoryBody{
			Name: filepath.Base(url), Owner: filepath.Base(filepath.Dir(url)), URL: signalbox.WithoutPassword(p.GitURL), RunOn: []string{"branches", "tags"},
			PipelineFile: p.PipelineFile, IntegrationType: "git", DefaultBranch: p.DefaultBranch,
			Forked:    forkedBody{AllowedSecrets: []string{}, AllowedContributors: []string{}},
			Whitelist: whitelistBody{Branches: []string{}, Tags: []string{}}, Status: statusBody{PipelineFiles: []statusFile{}},
		},
	}
	return b
}

func (a *API) listProjects(w http.ResponseWriter, r *http.Request) error {
	out := []projectBody{}
	if err := a.read(r, func(tx *store.Tx) error {
		all, err := tx.Projects()
		for _, p := range all {
			tasks, err := tasksOf(tx, p.ID)
			if err != nil {
				return err
			}
			out = append(out, a.project(p, tasks))
		}
		return err
	}); err != nil {
		return err
	}
	w.Header().Set("X-Page", "1")
	w.Header().Set("X-Has-More", "false")
	return write(w, out)
}

func (a *API) showProject(w http.ResponseWriter, r *http.Request) error {
	var p *signalbox.Project
	var tasks []*signalbox.Task
	if err := a.read(r, func(tx *store.Tx) (err error) {
		if p, err = tx.FindProject(r.PathValue("project")); err != nil {
			return err
		}
		tasks, err = tasksOf(tx, p.ID)
		return err
	}); err != nil {
		return err
	}
	return write(w, a.project(p, tasks))
}

// projectInput is a project as clients write it.
type projectInput struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Repository struct {
			URL           string `json:"url"`
			PipelineFile  string `json:"pipeline_file"`
			DefaultBranch string `json:"default_branch"`
		} `json:"repository"`
		CustomPermissions bool     `json:"custom_permissions"`
		DebugPermissions  []string `json:"debug_permissions"`
		AttachPermissions []string `json:"attach_permissions"`
		MaxRunningJobs    *int     `json:"max_running_jobs"`
		taskLists
	} `json:"spec"`
}

func (a *API) createProject(w http.ResponseWriter, r *http.Request) error {
	var b projectInput
	if err := read(w, r, &b); err != nil {
		return err
	}
	p := &signalbox.Project{
		ID: signalbox.NewID(), Name: b.Metadata.Name, GitURL: b.Spec.Repository.URL, PipelineFile: b.Spec.Repository.PipelineFile,
		DefaultBranch: b.Spec.Repository.DefaultBranch,
	}
	if err := signalbox.ValidateProjectName(p.Name); err != nil {
		return err
	}
	p.CustomPermissions = b.Spec.CustomPermissions
	if err := setPermissions(p, &b.Spec.DebugPermissions, &b.Spec.AttachPermissions); err != nil {
		return err
	}
	if err := setLimit(&p.MaxRunningJobs, b.Spec.MaxRunningJobs); err != nil {
		return err
	}
	if p.GitURL == "" || strings.HasPrefix(p.GitURL, "-") {
		return signalbox.Errorf(signalbox.CodeInvalid, "spec.repository.url must be a git URL or the absolute path of a repository on the server's machine")
	}
	var tasks []*signalbox.Task
	if err := a.Projects.Create(r.Context(), p, func(tx *store.Tx) (err error) {
		if err := b.Spec.taskLists.apply(tx, r, p); err != nil {
			return err
		}
		tasks, err = tasksOf(tx, p.ID)
		return err
	}, actor(r)); err != nil {
		return err
	}
	return write(w, a.project(p, tasks))
}

func kindNames(kinds []signalbox.RefKind) []string {
	out := []string{}
	for _, k := range kinds {
		out = append(out, string(k))
	}
	return out
}

// setPermissions puts lists into a project; nil leaves one as it is.
func setPermissions(p *signalbox.Project, debug, attach *[]string) (err error) {
	if debug != nil {
		if p.DebugPermissions, err = signalbox.ParseRefKinds("debug", *debug); err != nil {
			return err
		}
	}
	if attach != nil {
		p.AttachPermissions, err = signalbox.ParseRefKinds("attach", *attach)
	}
	return err
}

// updateProject changes what the body names and leaves the rest. custom_permissions decides over its two lists: where it
// is named, a list that is not named is empty, because the official command line leaves empty lists out.
func (a *API) updateProject(w http.ResponseWriter, r *http.Request) error {
	var b struct {
		Metadata struct {
			ID   string  `json:"id"`
			Name *string `json:"name"`
		} `json:"metadata"`
		Spec struct {
			Repository struct {
				URL           string  `json:"url"`
				DefaultBranch string  `json:"default_branch"`
				PipelineFile  *string `json:"pipeline_file"`
			} `json:"repository"`
			Custom *bool     `json:"custom_permissions"`
			Debug  *[]string `json:"debug_permissions"`
			Attach *[]string `json:"attach_permissions"`
			Limit  *int      `json:"max_running_jobs"`
			taskLists
		} `json:"spec"`
	}
	if err := read(w, r, &b); err != nil {
		return err
	}
	if b.Spec.Custom != nil {
		if b.Spec.Debug == nil {
			b.Spec.Debug = &[]string{}
		}
		if b.Spec.Attach == nil {
			b.Spec.Attach = &[]string{}
		}
	}
	move, err := a.prepareMove(r, b.Metadata.ID, project.Place{Address: b.Spec.Repository.URL, Branch: b.Spec.Repository.DefaultBranch})
	if err != nil {
		return err
	}
	var p *signalbox.Project
	var tasks []*signalbox.Task
	err = a.Store.Write(r.Context(), func(tx *store.Tx) (err error) {
		if p, err = project.Update(tx, r.PathValue("project"), actor(r), func(p *signalbox.Project) error {
			if err := namesProject(b.Metadata.ID, p); err != nil {
				return err
			}
			if u := b.Spec.Repository.URL; move == nil && u != "" && !p.SameAddress(u) {
				return signalbox.Errorf(signalbox.CodeConflict, "somebody else has moved project %s to another repository meanwhile; nothing was changed, look where it is and try again", p.Name)
			}
			if err := move.Apply(tx, p); err != nil {
				return err
			}
			if n := b.Metadata.Name; n != nil {
				p.Name = *n
			}
			if f := b.Spec.Repository.PipelineFile; f != nil && *f != "" {
				p.PipelineFile = *f
			}
			if b.Spec.Custom != nil {
				p.CustomPermissions = *b.Spec.Custom
			}
			if err := setPermissions(p, b.Spec.Debug, b.Spec.Attach); err != nil {
				return err
			}
			return setLimit(&p.MaxRunningJobs, b.Spec.Limit)
		}); err != nil {
			return err
		}
		if err := b.Spec.taskLists.apply(tx, r, p); err != nil {
			return err
		}
		tasks, err = tasksOf(tx, p.ID)
		return err
	})
	finished := a.Projects.FinishMove(r.Context(), move)
	if err != nil {
		return err
	}
	if finished != nil {
		return finished
	}
	return write(w, a.project(p, tasks))
}

// prepareMove looks at the repository or branch that a project shall have; nil when both are those that it has.
func (a *API) prepareMove(r *http.Request, id string, to project.Place) (*project.Move, error) {
	if to.Address == "" && to.Branch == "" {
		return nil, nil
	}
	var p *signalbox.Project
	if err := a.read(r, func(tx *store.Tx) (err error) { p, err = tx.FindProject(r.PathValue("project")); return err }); err != nil {
		return nil, err
	}
	if err := namesProject(id, p); err != nil {
		return nil, err
	}
	if (to.Address == "" || p.SameAddress(to.Address)) && (to.Branch == "" || to.Branch == p.DefaultBranch) {
		return nil, nil
	}
	m, err := a.Projects.PrepareMove(r.Context(), p, to)
	var branch *project.WrongBranch
	switch {
	case err == nil:
		return m, nil
	case errors.As(err, &branch):
		return nil, signalbox.Errorf(signalbox.ErrorCode(err), "spec.repository.default_branch: %s", signalbox.ErrorMessage(err))
	case signalbox.ErrorCode(err) == signalbox.CodeInternal:
		return nil, err
	}
	return nil, signalbox.Errorf(signalbox.ErrorCode(err), "spec.repository.url: %s", signalbox.ErrorMessage(err))
}

// namesProject checks the id that a body may have.
func namesProject(id string, p *signalbox.Project) error {
	if id != "" && id != p.ID {
		return signalbox.Errorf(signalbox.CodeInvalid, "metadata.id is %.60q, but the project in the path is %q", id, p.ID)
	}
	return nil
}

func (a *API) deleteProject(w http.ResponseWriter, r *http.Request) error {
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		p, err := tx.FindProject(r.PathValue("project"))
		if err != nil {
			return err
		}
		return tx.DeleteProject(p.ID, actor(r))
	}); err != nil {
		return err
	}
	return write(w, struct{}{})
}

// maxDelivery bounds how long looking for pushes may take.
const maxDelivery = 2 * time.Minute

// hook is told by a repository's hook that something was pushed; what was pushed is read from the repository.
func (a *API) hook(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("project")
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if a.CheckHook == nil || !a.CheckHook(id, token) {
		return signalbox.Errorf(signalbox.CodeUnauthorized, "this is not the token of that project's hook")
	}
	var p *signalbox.Project
	if err := a.read(r, func(tx *store.Tx) (err error) { p, err = tx.FindProject(id); return err }); err != nil {
		return err
	}
	// Whoever pushed does not wait for this; what was begun is brought to its end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), maxDelivery)
	defer cancel()
	if err := a.Trigger.Deliver(ctx, p); err != nil {
		return err
	}
	return write(w, struct{}{})
}
