package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/project"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// The sections of a project's settings; each is a form of its own. The names are those of addresses.
const (
	sectionGeneral     = "general"
	sectionRepository  = "repository"
	sectionWorkflow    = "workflow"
	sectionChecks      = "pre_flight_checks"
	sectionPermissions = "permissions"
	sectionDelete      = "delete"
)

// projectSettings are what the fields of a project's settings hold.
type projectSettings struct {
	Name, MaxRunning string
	Address, Branch  string // of the repository, the address without its password
	File             string
	Initialization   initializationForm
	Custom           bool // permissions of its own
	Debug, Attach    []string
}

func newProjectSettings(p *signalbox.Project) projectSettings {
	f := projectSettings{
		Name: p.Name, Address: signalbox.WithoutPassword(p.GitURL), Branch: p.DefaultBranch, File: p.PipelineFile,
		Initialization: newInitializationForm(p.Initialization), Custom: p.CustomPermissions,
	}
	if p.MaxRunningJobs > 0 {
		f.MaxRunning = strconv.Itoa(p.MaxRunningJobs)
	}
	for _, k := range p.DebugPermissions {
		f.Debug = append(f.Debug, string(k))
	}
	for _, k := range p.AttachPermissions {
		f.Attach = append(f.Attach, string(k))
	}
	return f
}

// read takes the fields of one section in.
func (f *projectSettings) read(section string, q url.Values) {
	switch section {
	case sectionGeneral:
		f.Name, f.MaxRunning = strings.TrimSpace(q.Get("name")), strings.TrimSpace(q.Get(fieldMaxRunning))
	case sectionRepository:
		if !q.Has(fieldAddress) {
			return // from the hook's button alone
		}
		f.Address, f.Branch = strings.TrimSpace(q.Get(fieldAddress)), strings.TrimSpace(q.Get(fieldDefaultBranch))
	case sectionWorkflow:
		f.File = strings.TrimSpace(q.Get(fieldFile))
	case sectionChecks:
		f.Initialization = initializationForm{q.Get("machine_type"), q.Get("os_image"), q.Get(fieldCommands), q.Get("secrets")}
	case sectionPermissions:
		f.Custom, f.Debug, f.Attach = q.Get("rule") == "own", q["debug"], q["attach"]
	}
}

// stale tells whether a section was changed by somebody else since its form was shown, and not to what f has now.
func (f projectSettings) stale(section string, stored projectSettings, q url.Values) bool {
	v := stored.version(section)
	return v != q.Get("was") && v != f.version(section)
}

const changedMeanwhile = "Somebody else has changed this meanwhile. Nothing was saved; below is what you wrote, and saving it again replaces what they did."

// version tells versions of a section apart.
func (f projectSettings) version(section string) string {
	only := projectSettings{}
	switch section {
	case sectionGeneral:
		only.Name, only.MaxRunning = f.Name, f.MaxRunning
	case sectionRepository:
		only.Address, only.Branch = f.Address, f.Branch
	case sectionWorkflow:
		only.File = f.File
	case sectionChecks:
		only.Initialization = f.Initialization
	case sectionPermissions:
		only.Custom, only.Debug, only.Attach = f.Custom, f.Debug, f.Attach
	}
	return versionOf(only)
}

// apply writes a section into a project and returns what is wrong with it, by field.
func (f projectSettings) apply(section string, p *signalbox.Project) map[string]string {
	problems := map[string]string{}
	wrong := func(field string, err error) {
		if err != nil {
			problems[field] = clip(signalbox.ErrorMessage(err), 500)
		}
	}
	switch section {
	case sectionGeneral:
		wrong("name", signalbox.ValidateProjectName(f.Name))
		n, err := strconv.Atoi(f.MaxRunning)
		if f.MaxRunning == "" {
			n, err = 0, nil
		}
		if err != nil || signalbox.ValidateJobLimit(n) != nil {
			problems[fieldMaxRunning] = "Give a number from 1 to 1,000,000, or nothing for no limit."
		}
		p.Name, p.MaxRunningJobs = f.Name, n
	case sectionWorkflow:
		if f.File == "" || len(f.File) > 1000 || strings.ContainsFunc(f.File, unicode.IsControl) {
			problems[fieldFile] = "Name a file of the repository by its path from the top, such as " + signalbox.DefaultPipelineFile + "."
		}
		p.PipelineFile = f.File
	case sectionChecks:
		p.Initialization = f.Initialization.read()
		wrong(fieldCommands, signalbox.ValidateInitialization(&p.Initialization))
	case sectionPermissions:
		var err error
		p.CustomPermissions = f.Custom
		p.DebugPermissions, err = signalbox.ParseRefKinds("debug", f.Debug)
		wrong("rule", err)
		if p.AttachPermissions, err = signalbox.ParseRefKinds("attach", f.Attach); err != nil {
			wrong("rule", err)
		}
	}
	return problems
}

// kindRow is a kind of ref in the table of permissions.
type kindRow struct {
	Kind, Words   string
	Debug, Attach bool
	Empty         bool // there is nothing to attach to
}

func (f projectSettings) kinds() (out []kindRow) {
	for _, k := range []struct {
		kind  signalbox.RefKind
		words string
	}{
		{signalbox.RefDefaultBranch, "Default branch"},
		{signalbox.RefOtherBranch, "Other branches"},
		{signalbox.RefTag, "Tags"},
		{signalbox.RefPullRequest, "Pull requests"},
		{signalbox.RefForkedPullRequest, "Pull requests of forks"},
		{signalbox.RefEmpty, "Sessions without a job"},
	} {
		out = append(out, kindRow{string(k.kind), k.words, slices.Contains(f.Debug, string(k.kind)), slices.Contains(f.Attach, string(k.kind)), k.kind == signalbox.RefEmpty})
	}
	return out
}

func settingsURL(p *signalbox.Project) string {
	return "/projects/" + url.PathEscape(p.Name) + "/settings/"
}

// toProjectSettings leads to a section of the page.
func toProjectSettings(section string) func(*http.Request) string {
	return func(r *http.Request) string {
		return "/projects/" + url.PathEscape(r.PathValue("name")) + "/settings/" + sectionGeneral + section
	}
}

// errRefused ends a transaction that writes nothing, because the form is shown again.
var errRefused = errors.New("the form is shown again")

// postProjectSettings saves one section.
func (w *Web) postProjectSettings(section string) route.Handler {
	return func(rw http.ResponseWriter, r *http.Request) error {
		r.Body = http.MaxBytesReader(rw, r.Body, 1<<20)
		if err := r.ParseForm(); err != nil {
			return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read; go back and try again")
		}
		var problems map[string]string
		var status int
		var saved *signalbox.Project
		err := w.o.Store.Write(r.Context(), func(tx *store.Tx) (err error) {
			saved, err = project.Update(tx, r.PathValue("name"), route.ActorFrom(r.Context()).Name(), func(p *signalbox.Project) error {
				stored := newProjectSettings(p)
				f := stored
				f.read(section, r.PostForm)
				status, problems = http.StatusUnprocessableEntity, f.apply(section, p)
				if f.stale(section, stored, r.PostForm) {
					status, problems[section] = http.StatusConflict, changedMeanwhile
				}
				if len(problems) > 0 {
					return errRefused
				}
				return nil
			})
			return err
		})
		switch {
		case err == nil:
			http.Redirect(rw, r, settingsURL(saved)+sectionGeneral+"?done="+section+"#"+section, http.StatusSeeOther)
			return nil
		case errors.Is(err, errRefused):
		case signalbox.ErrorCode(err) == signalbox.CodeConflict:
			problems, status = map[string]string{"name": clip(signalbox.ErrorMessage(err), 500)}, http.StatusConflict
		default:
			return orNotFound(err, "project")
		}
		return w.showProjectSettings(rw, r, status, section, problems)
	}
}

func (w *Web) postProjectDelete(rw http.ResponseWriter, r *http.Request) error {
	if err := parseForm(rw, r); err != nil {
		return err
	}
	err := w.o.Store.Write(r.Context(), func(tx *store.Tx) error {
		p, err := tx.FindProject(r.PathValue("name"))
		if err != nil {
			return err
		}
		if strings.TrimSpace(r.PostForm.Get("confirm")) != p.Name {
			return errRefused
		}
		return tx.DeleteProject(p.ID, route.ActorFrom(r.Context()).Name())
	})
	switch {
	case err == nil:
		http.Redirect(rw, r, "/projects", http.StatusSeeOther)
		return nil
	case errors.Is(err, errRefused):
		return w.showProjectSettings(rw, r, http.StatusUnprocessableEntity, sectionDelete, map[string]string{"confirm": "That is not the name of the project. Nothing was deleted."})
	}
	return orNotFound(err, "project")
}
