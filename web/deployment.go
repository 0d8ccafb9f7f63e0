package web

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// deploymentView is one time that a target was asked.
type deploymentView struct {
	By, Ref, RefIcon string
	Promotion        string
	URL              string // of the pipeline that was started
	FromURL          string
	Refused          string
	Values           []string
	At               *Moment
}

func viewDeployment(x *signalbox.Deployment, tx *store.Tx) deploymentView {
	v := deploymentView{
		By: clip(x.TriggeredBy, 80), Ref: clip(x.RefLabel, 100), RefIcon: map[string]string{"tag": "tagi", "pull-request": "pr"}[x.RefType], Promotion: clip(x.Promotion, 120),
		FromURL: workflowURL(x.WorkflowID, x.PrevPipelineID), Refused: clip(x.Message, 300), At: moment(x.TriggeredAt, tx.Now),
	}
	if v.RefIcon == "" {
		v.RefIcon = "branch"
	}
	if x.Auto {
		v.By = "automatic promotion"
	}
	if x.PipelineID != "" {
		v.URL = workflowURL(x.WorkflowID, x.PipelineID)
	}
	for _, p := range x.Parameters {
		v.Values = append(v.Values, clip(p.Name+"="+p.Value, 120))
	}
	return v
}

type deploymentsBody struct {
	Project      *signalbox.Project
	Target       targetView
	Rows         []deploymentView
	Filter       deploymentFilter
	Narrow       bool // something is filtered out
	Newer, Older string
	Here         string
	MayManage    bool
	There        *thereView
	Since        string // what has come to the branch since then
	Holds        string // what is deleted with the target
	Delete       *deleteProblem
}

// deleteProblem is why a target was not deleted, with what was typed.
type deleteProblem struct{ Typed, Problem string }

// deploymentFilter is what the form of a history holds, and the links beside it.
type deploymentFilter struct {
	Ref, By, Label string
	Bookmarks      []bookmarkFilter
	Kinds, Whose   []deploymentChoice
}

// deploymentChoice is a link that changes one of the filters and keeps the others.
type deploymentChoice struct {
	Name, URL string
	Current   bool
}

type bookmarkFilter struct{ Field, Name, Value string }

// deploymentPage is how many deployments one page has.
const deploymentPage = 10

func (w *Web) getDeployments(rw http.ResponseWriter, r *http.Request) error {
	return w.showDeployments(rw, r, http.StatusOK, nil)
}

func (w *Web) showDeployments(rw http.ResponseWriter, r *http.Request, status int, failed *deleteProblem) error {
	var b deploymentsBody
	var s Shell
	var sha, branch string
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b = deploymentsBody{MayManage: may(r, auth.DeploymentTargetManage), Delete: failed}
		p, d, err := findTarget(tx, r)
		if err != nil {
			return err
		}
		names, err := userNames(tx, []*signalbox.DeploymentTarget{d})
		if err != nil {
			return err
		}
		b.Project, b.Target = p, viewTarget(d, p, names, tx)
		b.Here = b.Target.URL
		last, err := tx.LastDeployments(p.ID)
		if err != nil {
			return err
		}
		if x := last[d.ID]; x != nil {
			if b.There, sha, err = readThere(tx, x); err != nil {
				return err
			}
			if branch = p.DefaultBranch; x.RefType == "branch" {
				branch = x.RefLabel
			}
		}
		if b.MayManage {
			vars, files, err := heldNames(tx, d)
			if err != nil {
				return err
			}
			b.Holds = "Its " + plural(len(vars), "variable", "variables") + " and " + plural(len(files), "file", "files")
		}
		if err := b.read(tx, d, r.URL.Query(), route.ActorFrom(r.Context()).User); err != nil {
			return err
		}
		s, err = w.shell(r, tx)
		return err
	}); err != nil {
		return err
	}
	b.Since = w.since(r.Context(), b.Project, sha, branch)
	s.Title, s.Section = b.Target.Name+" · Deployments · "+b.Project.Name, "projects"
	s.Crumbs = []Link{{b.Project.Name, "/projects/" + b.Project.Name}, {"Deployments", "/projects/" + b.Project.Name + "/deployments"}}
	s.Script = "page"
	if failed == nil { // otherwise the page would be swapped for one without what it says only now
		s.Topics = []string{"project:" + b.Project.ID}
	}
	return w.render(rw, status, "deployments", s, b)
}

// link makes the choices of kinds of refs, and of everyone's or one's own.
func (v *deploymentFilter) link(here string, f store.DeploymentFilter, me *signalbox.User) {
	choice := func(name, key, value, now string) deploymentChoice {
		to := here
		if q := deploymentQuery(f, key, value); q != "" {
			to += "?" + q
		}
		return deploymentChoice{name, to, value == now}
	}
	for _, k := range [][2]string{{"Everything", ""}, {"Branches", "branch"}, {"Tags", "tag"}, {"Pull requests", "pull-request"}} {
		v.Kinds = append(v.Kinds, choice(k[0], "ref", k[1], f.RefType))
	}
	v.Whose = append(v.Whose, choice("Everyone", "by", "", f.TriggeredBy))
	if me != nil {
		v.Whose = append(v.Whose, choice("Mine", "by", me.Name, f.TriggeredBy))
	}
}

// deploymentQuery is the query of a history that a filter narrows, with one thing more or changed.
func deploymentQuery(f store.DeploymentFilter, key, value string) string {
	all := map[string]string{"ref": f.RefType, "label": f.RefLabel, "by": f.TriggeredBy, "b1": f.Bookmarks[0], "b2": f.Bookmarks[1], "b3": f.Bookmarks[2]}
	all[key] = value
	q := url.Values{}
	for k, v := range all {
		if v != "" {
			q.Set(k, v)
		}
	}
	return q.Encode()
}

// Commits tells what is known of a project's repository without asking another machine.
type Commits interface {
	// CommitsSince counts the commits of a branch that a commit does not have, up to most; CodeNotFound is that it is not known.
	CommitsSince(ctx context.Context, p *signalbox.Project, sha, branch string, most int) (int, error)
}

const (
	manyCommits  = 100             // that are counted
	commitsPause = 2 * time.Second // for which a page waits for them
)

// since says how far a branch has gone on since a commit, "" where that is not known.
func (w *Web) since(ctx context.Context, p *signalbox.Project, sha, branch string) string {
	if w.o.Commits == nil || sha == "" || branch == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, commitsPause)
	defer cancel()
	n, err := w.o.Commits.CommitsSince(ctx, p, sha, branch, manyCommits+1)
	name := clip(branch, 100)
	switch {
	case known(err):
		return ""
	case err != nil: // the page has the rest
		return "How far " + name + " has gone on since then cannot be read just now."
	case n == 0:
		return "Nothing has come to " + name + " since then."
	case n > manyCommits:
		return "More than " + plural(manyCommits, "commit has", "commits have") + " come to " + name + " since then."
	}
	return plural(n, "commit has", "commits have") + " come to " + name + " since then."
}

// read fills in the page of the history that a query asks for. What it does not know is no filter.
func (b *deploymentsBody) read(tx *store.Tx, d *signalbox.DeploymentTarget, q url.Values, me *signalbox.User) error {
	field := func(key string) string { return clip(strings.TrimSpace(q.Get(key)), 200) }
	f := store.DeploymentFilter{TargetID: d.ID, RefLabel: field("label"), TriggeredBy: field("by"), Limit: deploymentPage + 1}
	if ref := q.Get("ref"); ref == "branch" || ref == "tag" || ref == "pull-request" {
		f.RefType = ref
	}
	b.Filter = deploymentFilter{Ref: f.RefType, By: f.TriggeredBy, Label: f.RefLabel}
	for i, name := range d.Bookmarks {
		if name == "" {
			continue
		}
		key := "b" + strconv.Itoa(i+1)
		f.Bookmarks[i] = field(key)
		b.Filter.Bookmarks = append(b.Filter.Bookmarks, bookmarkFilter{key, clip(name, 80), f.Bookmarks[i]})
	}
	b.Narrow = f.RefType+f.RefLabel+f.TriggeredBy+strings.Join(f.Bookmarks[:], "") != ""
	b.Filter.link(b.Here, f, me)
	f.Before, _ = strconv.ParseInt(q.Get("before"), 10, 64)
	f.After, _ = strconv.ParseInt(q.Get("after"), 10, 64)
	if f.After > 0 {
		f.Before = 0
	}
	all, err := tx.Deployments(f)
	if err != nil {
		return err
	}
	more := len(all) > deploymentPage
	older, newer := more || f.After > 0, more && f.After > 0 || f.Before > 0
	if more && f.After > 0 {
		all = all[1:]
	} else if more {
		all = all[:deploymentPage]
	}
	at := func(key string, order int64) string {
		return "?" + deploymentQuery(f, key, strconv.FormatInt(order, 10))
	}
	if len(all) > 0 && older {
		b.Older = at("before", all[len(all)-1].Order)
	}
	if len(all) > 0 && newer {
		b.Newer = at("after", all[0].Order)
	}
	for _, x := range all {
		b.Rows = append(b.Rows, viewDeployment(x, tx))
	}
	return nil
}
