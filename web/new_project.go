package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/project"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// newProjectBody is the one page on which a project is made: first the repository is named, then what was found in it is shown
// and the rest is asked.
type newProjectBody struct {
	Steps     *stepsView
	Address   string
	Look      *project.Look // nil before the repository was looked at
	Existing  []string      // projects of the same repository
	Name      string
	Branch    string
	File      string // a pipeline file of the repository, or one to be added: "new"
	Language  project.Language
	AgentType string
	Types     []typeRow
	Languages []project.Language
	Template  string // the file that would be added
	Problems  map[string]string
}

const newFile = "new"

func (w *Web) getNewProject(rw http.ResponseWriter, r *http.Request) error {
	return w.showNewProject(rw, r, http.StatusOK, newProjectBody{Address: r.URL.Query().Get("repository")})
}

func (w *Web) showNewProject(rw http.ResponseWriter, r *http.Request, status int, b newProjectBody) error {
	if w.o.Projects == nil {
		return notFound("page")
	}
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		var err error
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		progress, err := tx.Progress()
		if err != nil {
			return err
		}
		b.Steps = newSteps(progress, 3)
		if b.Types, err = w.knownTypes(tx); err != nil || b.Look == nil {
			return err
		}
		all, err := tx.Projects()
		taken := map[string]bool{}
		b.Existing = nil
		for _, p := range all {
			taken[p.Name] = true
			if p.GitURL == b.Look.Address {
				b.Existing = append(b.Existing, p.Name)
			}
		}
		if b.Name == "" {
			b.Name = project.Free(b.Look.Name, taken)
		}
		return err
	})
	if err != nil {
		return err
	}
	b.Languages = project.Languages()
	if b.AgentType == "" && len(b.Types) > 0 {
		b.AgentType = b.Types[0].Name
		for _, t := range b.Types { // somebody who has just connected an agent means that one
			if t.Idle > 0 {
				b.AgentType = t.Name
				break
			}
		}
	}
	if b.Look != nil {
		if b.Branch == "" {
			b.Branch = b.Look.Branch
		}
		if b.File == "" {
			b.File = b.Look.File
		}
		if b.File == "" {
			b.File = newFile
			if len(b.Look.Files) > 0 {
				b.File = b.Look.Files[0]
			}
		}
		if b.Language == "" {
			b.Language = b.Look.Language
		}
		name := b.AgentType
		if name == "" {
			name = "s1-linux"
		}
		b.Template = string(project.Starter(b.Name, b.Language, name))
	}
	s.Title, s.Section, s.Script = "Add a project", "projects", "page"
	s.Crumbs = []Link{{"Projects", "/projects"}}
	return w.render(rw, status, "new-project", s, b)
}

// knownTypes are the agent types that somebody made, with their counts.
func (w *Web) knownTypes(tx *store.Tx) ([]typeRow, error) {
	rows, err := w.types(tx, tx.Now)
	var out []typeRow
	for _, t := range rows {
		if t.Known {
			out = append(out, t)
		}
	}
	return out, err
}

// makeLimit bounds how long it may take to read a repository elsewhere while somebody waits; the server's limit for writing an
// answer is longer.
const makeLimit = 90 * time.Second

func (w *Web) postNewProject(rw http.ResponseWriter, r *http.Request) error {
	if w.o.Projects == nil {
		return notFound("page")
	}
	r.Body = http.MaxBytesReader(rw, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read")
	}
	field := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	b := newProjectBody{
		Address: field("repository"), Name: field("name"), Branch: field("branch"), File: field("file"), Language: project.Language(field("language")),
		AgentType: field("agent_type"), Problems: map[string]string{},
	}
	ctx, cancel := context.WithTimeout(r.Context(), makeLimit)
	defer cancel()
	var err error
	if b.Look, err = w.o.Projects.Look(ctx, b.Address, b.Branch); err != nil {
		switch {
		case ctx.Err() != nil && r.Context().Err() == nil:
			b.Problems["repository"] = "The repository did not answer in time. Look at the address, and whether the server can reach it."
		case known(err):
			b.Problems["repository"] = signalbox.ErrorMessage(err)
		default:
			return err
		}
		return w.showNewProject(rw, r, http.StatusUnprocessableEntity, b)
	}
	if r.PostForm.Get("step") != "create" {
		return w.showNewProject(rw, r, http.StatusOK, b)
	}
	user := route.ActorFrom(r.Context()).User
	q := project.Request{Name: b.Name, Address: b.Address, Branch: b.Branch, File: b.File, By: user, AgentType: b.AgentType, Language: b.Language, Run: true}
	if b.File == newFile || b.File == "" {
		q.File, q.Commit, q.Run = "", b.Look.Bare, false
	}
	added, err := w.o.Projects.Add(ctx, q, route.ActorFrom(r.Context()).Name())
	if err != nil {
		if !known(err) {
			return err
		}
		at := "name"
		if q.Commit && signalbox.ValidateProjectName(b.Name) == nil && signalbox.ErrorCode(err) != signalbox.CodeConflict {
			at = "agent_type"
		}
		b.Problems[at] = signalbox.ErrorMessage(err)
		status := http.StatusUnprocessableEntity
		if signalbox.ErrorCode(err) == signalbox.CodeConflict {
			status = http.StatusConflict
		}
		return w.showNewProject(rw, r, status, b)
	}
	w.toAdded(rw, r, added)
	return nil
}

// known tells whether an error is about what somebody asked for, so that the form can show it.
func known(err error) bool {
	switch signalbox.ErrorCode(err) {
	case signalbox.CodeInvalid, signalbox.CodeConflict, signalbox.CodeNotFound, signalbox.CodeUnavailable:
		return true
	}
	return false
}

func (w *Web) toAdded(rw http.ResponseWriter, r *http.Request, a *project.Added) {
	to := "/projects/" + url.PathEscape(a.Project.Name) + "?added=1"
	if a.Problem != "" {
		to += "&problem=" + url.QueryEscape(clip(a.Problem, 300))
	}
	http.Redirect(rw, r, to, http.StatusSeeOther)
}

func (w *Web) postDemoProject(rw http.ResponseWriter, r *http.Request) error {
	if w.o.Projects == nil {
		return notFound("page")
	}
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read")
	}
	by := route.ActorFrom(r.Context())
	added, err := w.o.Projects.Demo(r.Context(), r.PostForm.Get("agent_type"), by.User, by.Name())
	if err != nil {
		return err
	}
	w.toAdded(rw, r, added)
	return nil
}
