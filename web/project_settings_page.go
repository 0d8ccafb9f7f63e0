package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// projectSettingsBody is the page of a project's settings.
type projectSettingsBody struct {
	projectTabs
	URL        string // that the names of sections are added to
	Form       projectSettings
	Was        map[string]string // by section, the version that its form shows
	Kinds      []kindRow
	Hook       *hookView // nil where the repository is elsewhere
	MayCheck   bool
	Check      []checkItem // what a look at the repository found
	Before     []string    // checks of the organization, which run first
	NoAgent    string      // said when checks have no agent to run on
	Where      string      // files are compiled when the project says nothing
	Types      []permittedType
	RunURL     string
	Goes       string // with the project
	Done, Said string // the section that was saved, and what changed
	Confirm    string
	Problems   map[string]string
}

// hookView tells whether pushes are heard of.
type hookView struct{ Installed, MayInstall bool }

// permittedType is an agent type that may run the project's jobs.
type permittedType struct {
	Name, URL string
	Forks     bool
}

func (w *Web) getProjectSettings(rw http.ResponseWriter, r *http.Request) error {
	return w.showProjectSettings(rw, r, http.StatusOK, "", nil)
}

// showProjectSettings shows what is stored; of the section that was refused, what somebody has written.
func (w *Web) showProjectSettings(rw http.ResponseWriter, r *http.Request, status int, refused string, problems map[string]string) error {
	b := projectSettingsBody{Was: map[string]string{}, Problems: problems}
	var s Shell
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		p, err := tx.FindProject(r.PathValue("name"))
		if err != nil {
			return orNotFound(err, "project")
		}
		b.projectTabs = projectTabs{Project: p, Tab: tabSettings, MayManage: may(r, auth.ProjectManage)}
		if err := w.readProjectSettings(tx, &b, r); err != nil {
			return err
		}
		s, err = w.shell(r, tx)
		return err
	}); err != nil {
		return err
	}
	for _, section := range []string{sectionGeneral, sectionRepository, sectionWorkflow, sectionChecks, sectionPermissions} {
		b.Was[section] = b.Form.version(section)
	}
	if refused != "" {
		stored := b.Form.Address
		b.Form.read(refused, r.PostForm)
		if shown := forgetPassword(b.Form.Address); b.Form.Address != stored && b.Form.Address != shown {
			b.Form.Address = shown
			problems[fieldAddress] = strings.TrimSpace(problems[fieldAddress] + " The password has to be written again: it is not shown here.")
		}
		b.Confirm = clip(r.PostForm.Get("confirm"), 100)
	}
	b.Kinds = b.Form.kinds()
	if b.MayCheck && refused == "" && (r.URL.Query().Get("check") != "" || b.Done == sectionWorkflow) {
		var err error
		if b.Check, err = w.checkRepository(r, b.Project, b.Hook); err != nil {
			return err
		}
	}
	s.Title, s.Section, s.Script, s.Narrow = "Settings · "+b.Project.Name, "projects", "page", true
	s.Crumbs = []Link{{"Projects", "/projects"}, {b.Project.Name, "/projects/" + b.Project.Name}}
	return w.render(rw, status, "project-settings", s, b)
}

func (w *Web) readProjectSettings(tx *store.Tx, b *projectSettingsBody, r *http.Request) error {
	p := b.Project
	b.URL, b.Form, b.MayCheck = settingsURL(p), newProjectSettings(p), w.o.Projects != nil
	if w.mayRun(r) {
		b.RunURL = runURL(p)
	}
	if p.GitDir != "" && w.o.Projects != nil {
		b.Hook = &hookView{Installed: w.o.Projects.Hooked(r.Context(), p), MayInstall: w.o.Projects.Hooks()}
	}
	o, err := tx.Organization()
	if err != nil {
		return err
	}
	b.Where = "the server"
	if i := o.Initialization; i.MachineType != "" {
		b.Where = "agents of the type " + clip(strings.TrimSuffix(i.MachineType+":"+i.OSImage, ":"), 210)
	}
	for _, c := range o.Initialization.Commands {
		b.Before = append(b.Before, clip(c, 200))
	}
	if i := signalbox.InitializationOf(o, p); i.MachineType == "" && len(i.Commands) > 0 {
		b.NoAgent = "There are checks, but no agent type that runs them: no pipeline of the project begins before one is set here, or in the settings of the server."
	}
	types, err := tx.AgentTypes()
	if err != nil {
		return err
	}
	for _, t := range types {
		if t.Permits(p, &signalbox.Workflow{RefType: "branch"}) == nil {
			b.Types = append(b.Types, permittedType{t.Name, typesPath + t.Name, t.Forks})
		}
	}
	if b.Goes, err = goesWith(tx, p); err != nil {
		return err
	}
	return b.readDone(tx, r)
}

// readDone says what a form that was just saved has changed, in the words of the history.
func (b *projectSettingsBody) readDone(tx *store.Tx, r *http.Request) error {
	switch done := r.URL.Query().Get("done"); done {
	case sectionGeneral, sectionRepository, sectionWorkflow, sectionChecks, sectionPermissions:
		b.Done = done
	default:
		return nil
	}
	events, err := tx.Events("project", b.Project.ID)
	if n := len(events); n > 0 && events[n-1].Reason == "changed" {
		b.Said = clip(events[n-1].Detail, 400)
	}
	return err
}

// mostCounted bounds what is counted of things that may be many.
const mostCounted = 1000

// goesWith says what is deleted with a project.
func goesWith(tx *store.Tx, p *signalbox.Project) (string, error) {
	tasks, err := tx.CountTasks(store.TaskFilter{ProjectID: p.ID})
	if err != nil {
		return "", err
	}
	targets, err := tx.DeploymentTargets(p.ID)
	if err != nil {
		return "", err
	}
	secrets, err := tx.Secrets(p.ID, false, mostCounted, 0)
	if err != nil {
		return "", err
	}
	workflows, err := tx.CountWorkflows(p.ID, mostCounted)
	if err != nil {
		return "", err
	}
	active, err := tx.ActivePipelines(mostCounted)
	if err != nil {
		return "", err
	}
	active = slices.DeleteFunc(active, func(a *store.ActivePipeline) bool { return a.Project != p.Name })
	many := plural(workflows, "workflow", "workflows")
	if workflows == mostCounted {
		many += " or more"
	}
	said := fmt.Sprintf("With it go %s, %s and %s of its own, and the pages of %s with their jobs and logs.", plural(tasks, "task", "tasks"),
		plural(len(targets), "deployment target", "deployment targets"), plural(len(secrets), "secret", "secrets"), many)
	if n := len(active); n > 0 {
		said += " " + plural(n, "pipeline has", "pipelines have") + " not ended and would go on where nobody sees it: stop what runs before."
	}
	return said, nil
}

// checkRepository reads what a push to the default branch would start.
func (w *Web) checkRepository(r *http.Request, p *signalbox.Project, hook *hookView) ([]checkItem, error) {
	f := newRunForm(p, nil)
	v, err := w.preview(r, f, readLimit)
	if err != nil {
		return nil, err
	}
	bad := Lamp{"failed", "Failed"}
	switch {
	case f.Problem != "":
		return []checkItem{{bad, "The repository cannot be read", f.Problem}}, nil
	case v == nil || v.SHA == "":
		return []checkItem{{bad, "The default branch is not there", f.Problems[fieldReference]}}, nil
	}
	out := []checkItem{{lampPassed, "The repository can be read", clip(f.Ref, 100) + " is at " + f.Commit + ": " + f.Title}}
	if problem := f.Problems[fieldFile]; problem != "" {
		out = append(out, checkItem{bad, "The pipeline file cannot run", problem})
	} else {
		out = append(out, checkItem{lampPassed, "The pipeline file is there and can be read", clip(v.PipelineFile, 300)})
	}
	switch {
	case hook == nil:
	case hook.Installed:
		out = append(out, checkItem{lampPassed, "The hook is installed", "A push starts a workflow."})
	default:
		out = append(out, checkItem{bad, "The hook is missing", "The server is not told of pushes before it is installed."})
	}
	return out, nil
}
