package web

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/project"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// The fields of a project's repository.
const (
	fieldAddress       = "address"
	fieldDefaultBranch = "default_branch"
)

// place is where a repository shall be by what the form says, nil when it stays as it is; a problem is one of the address. The page shows
// no password, so an address as the page shows it is the one that is stored.
func (f projectSettings) place(p *signalbox.Project) (to *project.Place, problem string) {
	to = &project.Place{Address: f.Address, Branch: f.Branch, Head: f.Branch == ""}
	switch {
	case f.Address == "":
		return nil, "Give a git URL, or the absolute path of a repository on the server's machine."
	case p.SameAddress(f.Address):
		to.Address = ""
		if f.Branch == p.DefaultBranch {
			return nil, ""
		}
	case signalbox.CheckAddress(f.Address) != nil:
		return nil, "The password that is stored is for the address that is stored."
	}
	return to, ""
}

// forgetPassword takes the password out of an address that is shown again, so that it does not stand in a page, and nothing does in its
// place that would look like the one that is stored.
func forgetPassword(address string) string {
	shown := strings.Replace(signalbox.WithoutPassword(address), ":"+signalbox.HiddenPassword+"@", "@", 1)
	return strings.Replace(shown, "//"+signalbox.HiddenPassword+"@", "//", 1)
}

// postProjectRepository moves a project to another repository or default branch. The repository is looked at before anything is stored.
func (w *Web) postProjectRepository(rw http.ResponseWriter, r *http.Request) error {
	if err := parseForm(rw, r); err != nil {
		return err
	}
	p, err := w.namedProject(r)
	if err != nil {
		return err
	}
	stored := newProjectSettings(p)
	f := stored
	f.read(sectionRepository, r.PostForm)
	conflict := func() error {
		return w.showProjectSettings(rw, r, http.StatusConflict, sectionRepository, map[string]string{sectionRepository: changedMeanwhile})
	}
	if f.stale(sectionRepository, stored, r.PostForm) {
		return conflict()
	}
	move, problems, err := w.prepareMove(r, p, f)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return w.showProjectSettings(rw, r, http.StatusUnprocessableEntity, sectionRepository, problems)
	}
	err = w.o.Store.Write(r.Context(), func(tx *store.Tx) error {
		_, err := project.Update(tx, p.ID, route.ActorFrom(r.Context()).Name(), func(p *signalbox.Project) error {
			if f.stale(sectionRepository, newProjectSettings(p), r.PostForm) {
				return errRefused
			}
			return move.Apply(tx, p)
		})
		return err
	})
	// What goes wrong after the project has moved is seen by the check that the page shows next.
	_ = w.o.Projects.FinishMove(r.Context(), move)
	switch {
	case err == nil:
		http.Redirect(rw, r, settingsURL(p)+sectionGeneral+"?done="+sectionRepository+"&check=1#"+sectionRepository, http.StatusSeeOther)
		return nil
	case errors.Is(err, errRefused), signalbox.ErrorCode(err) == signalbox.CodeConflict:
		return conflict()
	}
	return orNotFound(err, "project")
}

// prepareMove looks at the repository that the form names and returns what is wrong with it, by field.
func (w *Web) prepareMove(r *http.Request, p *signalbox.Project, f projectSettings) (*project.Move, map[string]string, error) {
	to, problem := f.place(p)
	if problem != "" {
		return nil, map[string]string{fieldAddress: problem}, nil
	}
	if to == nil {
		return nil, nil, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), makeLimit)
	defer cancel()
	m, err := w.o.Projects.PrepareMove(ctx, p, *to)
	var branch *project.WrongBranch
	switch {
	case err == nil:
		return m, nil, nil
	case !known(err):
		return nil, nil, err
	case errors.As(err, &branch):
		return nil, map[string]string{fieldDefaultBranch: clip(signalbox.ErrorMessage(err), 700)}, nil
	}
	return nil, map[string]string{fieldAddress: clip(signalbox.ErrorMessage(err), 700)}, nil
}

// postProjectHook puts the hook of a repository of this machine into its place again.
func (w *Web) postProjectHook(rw http.ResponseWriter, r *http.Request) error {
	if err := parseForm(rw, r); err != nil {
		return err
	}
	p, err := w.namedProject(r)
	if err != nil {
		return err
	}
	if p.GitDir == "" || !w.o.Projects.Hooks() {
		return signalbox.Errorf(signalbox.CodeInvalid, "The repository of %s is not on the server's machine, so no hook can be installed in it", p.Name)
	}
	if err := w.o.Projects.InstallHook(r.Context(), p); err != nil {
		problem := signalbox.ErrorMessage(signalbox.Errorf(signalbox.CodeInvalid, "The hook could not be installed: %w", err))
		return w.showProjectSettings(rw, r, http.StatusUnprocessableEntity, sectionRepository, map[string]string{sectionRepository: clip(problem, 500)})
	}
	http.Redirect(rw, r, settingsURL(p)+sectionGeneral+"?check=1#"+sectionRepository, http.StatusSeeOther)
	return nil
}
