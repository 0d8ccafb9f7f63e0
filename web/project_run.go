package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// runForm is the form in which somebody starts a workflow by hand, with what was typed.
type runForm struct {
	Project       *signalbox.Project
	Action        string
	Refs          []string // branches and tags that the server has seen, to choose from
	Kind, Ref     string   // BRANCH, TAG or PR, and the short name
	SHA, File     string
	Values        []runValue // that the file asks for
	Rows          []runRow   // whatever else is given
	Focus         int        // the row that was added, -1 for none
	Token         string     // the same form sent twice is one workflow
	Commit, Title string     // what would run
	Read, Refused bool       // the file was read; somebody wanted to start it
	Problem       string     // that belongs to no field
	Problems      map[string]string
}

// runValue is a parameter that the templates of the file ask for.
type runValue struct {
	Name, Value, Problem string
	Optional             bool
}

// runRow is a parameter that somebody names.
type runRow struct {
	N                    int
	Name, Value, Problem string
}

// Fields of the form, in the names of the API.
const (
	fieldReference = "reference"
	fieldCommit    = "commit_sha"
	fieldFile      = "pipeline_file"
)

// What an address fills in begins with it: ?param.NAME=VALUE.
const addressPrefix = "param."

// readLimit bounds how long a page waits for a repository that it only shows something of.
const readLimit = 15 * time.Second

func runURL(p *signalbox.Project) string { return "/projects/" + url.PathEscape(p.Name) + "/run" }

// mayRun tells whether to offer the form.
func (w *Web) mayRun(r *http.Request) bool { return w.o.Projects != nil && may(r, auth.WorkflowRun) }

// newRunForm is the form as an address fills it in. Nothing is started by that.
func newRunForm(p *signalbox.Project, q url.Values) *runForm {
	f := &runForm{
		Project: p, Kind: strings.ToUpper(clip(q.Get("kind"), 10)), Ref: clip(q.Get(fieldReference), 400), SHA: clip(q.Get(fieldCommit), 64),
		File: clip(q.Get(fieldFile), 1000), Token: signalbox.NewID(), Focus: -1, Problems: map[string]string{},
	}
	if f.Ref == "" {
		f.Ref = p.DefaultBranch
	}
	if strings.HasPrefix(f.Ref, "refs/") {
		f.Kind, f.Ref = signalbox.RefParts(f.Ref)
	}
	if f.Kind == "" {
		f.Kind = "BRANCH"
	}
	if f.File == "" {
		f.File = p.PipelineFile
	}
	f.give(q, addressPrefix)
	return f
}

// readRun takes a form in.
func readRun(p *signalbox.Project, q url.Values) *runForm {
	field := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	f := &runForm{
		Project: p, Kind: field("kind"), Ref: field(fieldReference), SHA: strings.ToLower(field(fieldCommit)), File: field(fieldFile), Token: field("token"), Focus: -1,
		Problems: map[string]string{},
	}
	if f.Kind == "" {
		f.Kind = "BRANCH"
	}
	if !signalbox.IsID(f.Token) { // no form of ours has it
		f.Token = signalbox.NewID()
	}
	f.give(q, parameterPrefix)
	n, _ := strconv.Atoi(q.Get("rows"))
	for i := range min(max(n, 0), mostRows) {
		at := "row." + strconv.Itoa(i) + "."
		if row := (runRow{Name: field(at + "name"), Value: text(q, at+"value")}); row.Name+row.Value != "" {
			f.Rows = append(f.Rows, row)
		}
	}
	return f
}

// text is what was typed into a field of several lines.
func text(q url.Values, name string) string { return strings.ReplaceAll(q.Get(name), "\r\n", "\n") }

// give makes rows of the values whose names begin with prefix; show makes those into values that the file asks for.
func (f *runForm) give(q url.Values, prefix string) {
	var names []string
	for name := range q {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	for _, name := range names[:min(len(names), mostRows)] {
		if value := text(q, prefix+name); value != "" {
			f.Rows = append(f.Rows, runRow{Name: name, Value: value})
		}
	}
}

// show takes in what the repository has: the values that the file asks for stand before the others.
func (f *runForm) show(v *signalbox.RunPreview) {
	if v.SHA != "" {
		f.Commit, f.Title = shortSHA(v.SHA), titleOf(v.Message)
	}
	for _, p := range v.Parameters {
		value := runValue{Name: p.Name, Optional: p.Optional}
		f.Rows = slices.DeleteFunc(f.Rows, func(row runRow) bool {
			if row.Name == p.Name {
				value.Value = row.Value
			}
			return row.Name == p.Name
		})
		f.Values = append(f.Values, value)
	}
	f.Read = v.SHA != "" && len(v.Problems) == 0
	for _, x := range v.Problems {
		f.wrong(x.Field, signalbox.ErrorMessage(x.Err))
	}
}

func (f *runForm) wrong(field, problem string) {
	if f.Problems[field] == "" {
		f.Problems[field] = clip(problem, 1000)
	}
}

// check finds what is wrong with the values; a field that was left empty was not filled in.
func (f *runForm) check() {
	for i, v := range f.Values {
		if v.Value == "" && !v.Optional {
			f.Values[i].Problem = "The pipeline file asks for " + clip(v.Name, 60) + "; give it a value."
			f.wrong("parameters", f.Values[i].Problem)
		}
	}
	seen := map[string]bool{}
	for i := range f.Rows {
		row := &f.Rows[i]
		if err := signalbox.ValidateParameterName(row.Name); err != nil {
			row.Problem = clip(signalbox.ErrorMessage(err), 500)
		} else if seen[row.Name] {
			row.Problem = clip(row.Name, 60) + " is given twice; leave one of them empty."
		}
		if seen[row.Name] = true; row.Problem != "" {
			f.wrong("parameters", row.Problem)
		}
	}
}

func (f *runForm) parameters() (out []signalbox.EnvVar) {
	for _, v := range f.Values {
		if v.Value != "" {
			out = append(out, signalbox.EnvVar{Name: v.Name, Value: v.Value})
		}
	}
	for _, row := range f.Rows {
		out = append(out, signalbox.EnvVar{Name: row.Name, Value: row.Value})
	}
	return out
}

// request is what the form asks for.
func (f *runForm) request() (q signalbox.RunRequest, err error) {
	q = signalbox.RunRequest{SHA: f.SHA, PipelineFile: f.File, Token: "run:" + f.Token}
	if f.Ref != "" {
		q.Ref, err = signalbox.RefOf(f.Kind, f.Ref)
	}
	return q, err
}

// preview reads what would run. What cannot be read is said in the form; an error is a fault of ours.
func (w *Web) preview(r *http.Request, f *runForm, limit time.Duration) (*signalbox.RunPreview, error) {
	q, err := f.request()
	if err != nil {
		f.wrong(fieldReference, signalbox.ErrorMessage(err))
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	v, err := w.o.Projects.Preview(ctx, f.Project, q)
	switch {
	case err == nil:
		f.show(v)
	case ctx.Err() != nil && r.Context().Err() == nil:
		f.Problem = "The repository did not answer in time. Look whether the server can reach it, and try again."
	case known(err):
		f.Problem = clip(signalbox.ErrorMessage(err), 500)
	default:
		return nil, err
	}
	return v, nil
}

// namedProject is the project of a path, where repositories can be read.
func (w *Web) namedProject(r *http.Request) (p *signalbox.Project, err error) {
	if w.o.Projects == nil {
		return nil, notFound("page")
	}
	err = w.o.Store.Read(r.Context(), func(tx *store.Tx) (err error) { p, err = tx.FindProject(r.PathValue("name")); return err })
	return p, orNotFound(err, "project")
}

func (w *Web) getProjectRun(rw http.ResponseWriter, r *http.Request) error {
	p, err := w.namedProject(r)
	if err != nil {
		return err
	}
	f := newRunForm(p, r.URL.Query())
	if _, err := w.preview(r, f, readLimit); err != nil {
		return err
	}
	return w.showRun(rw, r, http.StatusOK, f)
}

func (w *Web) showRun(rw http.ResponseWriter, r *http.Request, status int, f *runForm) error {
	var s Shell
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		refs, err := tx.GitRefs(f.Project.ID)
		if err != nil {
			return err
		}
		f.Refs = nil
		for ref := range refs {
			_, name := signalbox.RefParts(ref)
			f.Refs = append(f.Refs, clip(name, 400))
		}
		s, err = w.shell(r, tx)
		return err
	}); err != nil {
		return err
	}
	slices.Sort(f.Refs)
	f.Refs = slices.Compact(f.Refs)
	f.Refs = f.Refs[:min(len(f.Refs), branchesShown)]
	if len(f.Rows) == 0 {
		f.Rows = []runRow{{}}
	}
	for i := range f.Rows {
		f.Rows[i].N = i
	}
	f.Action = runURL(f.Project)
	s.Title, s.Section, s.Script, s.Narrow = "Run a workflow · "+f.Project.Name, "projects", "page", true
	s.Crumbs = []Link{{"Projects", "/projects"}, {f.Project.Name, "/projects/" + f.Project.Name}}
	return w.render(rw, status, "project-run", s, f)
}

func (w *Web) postProjectRun(rw http.ResponseWriter, r *http.Request) error {
	if err := readTaskForm(rw, r); err != nil {
		return err
	}
	p, err := w.namedProject(r)
	if err != nil {
		return err
	}
	f := readRun(p, r.PostForm)
	v, err := w.preview(r, f, makeLimit)
	if err != nil {
		return err
	}
	switch r.PostForm.Get("step") {
	case "add":
		if f.Focus = len(f.Rows); f.Focus < mostRows {
			f.Rows = append(f.Rows, runRow{})
		}
		return w.showRun(rw, r, http.StatusOK, f)
	case "read":
		return w.showRun(rw, r, http.StatusOK, f)
	}
	f.check()
	f.Refused = true
	if f.Problem != "" || len(f.Problems) > 0 {
		return w.showRun(rw, r, http.StatusUnprocessableEntity, f)
	}
	who := route.ActorFrom(r.Context())
	// The commit that was looked at is the one that runs.
	wf, err := w.o.Projects.Run(r.Context(), p, signalbox.RunRequest{
		Ref: v.Ref, SHA: v.SHA, PipelineFile: v.PipelineFile, Parameters: f.parameters(), Token: "run:" + f.Token, Requester: who.User.Name, Actor: who.Name(),
	})
	switch {
	case err == nil:
		http.Redirect(rw, r, "/workflows/"+url.PathEscape(wf.ID), http.StatusSeeOther)
		return nil
	case known(err):
		f.Problem = clip(signalbox.ErrorMessage(err), 500)
		return w.showRun(rw, r, http.StatusUnprocessableEntity, f)
	}
	return err
}
