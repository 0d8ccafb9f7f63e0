package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// Deployer makes and changes deployment targets, closes them and opens them again. by is a user's name, actor who it is written down as.
type Deployer interface {
	// CreateTarget makes one; a token that made one before gives that one again.
	CreateTarget(ctx context.Context, d *signalbox.DeploymentTarget, vars []signalbox.SecretVar, files []signalbox.SecretFile, token, actor string) error
	// ChangeTarget makes one what d says, if its version is that of d.
	ChangeTarget(ctx context.Context, d *signalbox.DeploymentTarget, vars []signalbox.SecretVar, files []signalbox.SecretFile, by, actor string) error
	CordonTarget(ctx context.Context, id string, cordoned bool, by, actor string) error
}

type targetsBody struct {
	Project   *signalbox.Project
	Tabs      projectTabs
	Targets   []targetView
	NewURL    string
	MayManage bool
}

// targetView is one deployment target in words.
type targetView struct {
	Name, Description, Site string
	URL                     string // of its history
	Cordoned                bool
	Who, From               []string
	Last                    *deploymentView
	Changed                 *Moment
	ChangedBy               string
}

func targetsURL(p *signalbox.Project) string {
	return "/projects/" + url.PathEscape(p.Name) + "/deployments"
}

// targetURL names a target by its name, or by its id where the name would lead elsewhere.
func targetURL(p *signalbox.Project, d *signalbox.DeploymentTarget) string {
	switch d.Name {
	case "new", ".", "..":
		return targetsURL(p) + "/" + d.ID
	}
	return targetsURL(p) + "/" + url.PathEscape(d.Name)
}

func viewTarget(d *signalbox.DeploymentTarget, p *signalbox.Project, names map[string]string, tx *store.Tx) targetView {
	v := targetView{
		Name: d.Name, Description: clip(d.Description, 300), Site: clip(d.URL, 200), URL: targetURL(p, d), Cordoned: d.Cordoned,
		Changed: moment(d.UpdatedAt, tx.Now), ChangedBy: clip(d.UpdatedBy, 80),
	}
	for _, r := range d.Subjects {
		switch r.Type {
		case signalbox.SubjectAny:
			v.Who = append(v.Who, "everybody")
		case signalbox.SubjectAuto:
			v.Who = append(v.Who, "automatic promotions")
		case signalbox.SubjectRole:
			v.Who = append(v.Who, "role "+r.ID)
		case signalbox.SubjectUser:
			name := names[r.ID]
			if name == "" {
				name = "somebody who is gone"
			}
			v.Who = append(v.Who, clip(name, 80))
		case signalbox.SubjectGroup: // applies to nobody
		}
	}
	if len(v.Who) == 0 {
		v.Who = []string{"nobody"}
	}
	words := map[signalbox.ObjectType][2]string{
		signalbox.ObjectBranch: {"branch", "all branches"}, signalbox.ObjectTag: {"tag", "all tags"}, signalbox.ObjectPR: {"pull request", "all pull requests"},
	}
	for _, r := range d.Objects {
		w := words[r.Type]
		switch r.Match {
		case signalbox.MatchAll:
			v.From = append(v.From, w[1])
		case signalbox.MatchExact:
			v.From = append(v.From, w[0]+" "+clip(r.Pattern, 120))
		case signalbox.MatchRegex:
			v.From = append(v.From, w[0]+" that matches "+clip(r.Pattern, 120))
		}
	}
	if len(v.From) == 0 {
		v.From = []string{"nowhere"}
	}
	return v
}

// userNames returns the names of all users by id, if a rule needs them.
func userNames(tx *store.Tx, all []*signalbox.DeploymentTarget) (map[string]string, error) {
	for _, d := range all {
		for _, r := range d.Subjects {
			if r.Type != signalbox.SubjectUser {
				continue
			}
			out := map[string]string{}
			users, err := tx.Users()
			for _, u := range users {
				out[u.ID] = u.Name
			}
			return out, err
		}
	}
	return nil, nil
}

func (w *Web) getDeploymentTargets(rw http.ResponseWriter, r *http.Request) error {
	var b targetsBody
	var s Shell
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b = targetsBody{MayManage: may(r, auth.DeploymentTargetManage)}
		var err error
		if b.Project, err = tx.FindProject(r.PathValue("name")); err != nil {
			return orNotFound(err, "project")
		}
		b.NewURL = targetsURL(b.Project) + "/new"
		all, err := tx.DeploymentTargets(b.Project.ID)
		if err != nil {
			return err
		}
		last, err := tx.LastDeployments(b.Project.ID)
		if err != nil {
			return err
		}
		names, err := userNames(tx, all)
		if err != nil {
			return err
		}
		for _, d := range all {
			v := viewTarget(d, b.Project, names, tx)
			if x := last[d.ID]; x != nil {
				one := viewDeployment(x, tx)
				v.Last = &one
			}
			b.Targets = append(b.Targets, v)
		}
		s, err = w.shell(r, tx)
		return err
	}); err != nil {
		return err
	}
	b.Tabs = projectTabs{Project: b.Project, Tab: tabDeployments, MayManage: may(r, auth.ProjectManage)}
	s.Title, s.Section, s.Script = "Deployments · "+b.Project.Name, "projects", "page"
	s.Topics = []string{"project:" + b.Project.ID}
	s.Crumbs = []Link{{"Projects", "/projects"}, {b.Project.Name, "/projects/" + b.Project.Name}}
	return w.render(rw, http.StatusOK, "deployment-targets", s, b)
}

func findTarget(tx *store.Tx, r *http.Request) (*signalbox.Project, *signalbox.DeploymentTarget, error) {
	p, err := tx.FindProject(r.PathValue("name"))
	if err != nil {
		return nil, nil, orNotFound(err, "project")
	}
	which := r.PathValue("target")
	if !signalbox.IsID(which) {
		d, err := tx.FindDeploymentTarget(p.ID, which)
		return p, d, orNotFound(err, "deployment target")
	}
	d, err := tx.DeploymentTarget(which)
	if err == nil && (d.ProjectID != p.ID || !d.DeletedAt.IsZero()) {
		return nil, nil, notFound("deployment target")
	}
	return p, d, orNotFound(err, "deployment target")
}

// projectAndTarget returns the project of a path, and the target where it names one.
func projectAndTarget(tx *store.Tx, r *http.Request) (*signalbox.Project, *signalbox.DeploymentTarget, error) {
	if r.PathValue("target") != "" {
		return findTarget(tx, r)
	}
	p, err := tx.FindProject(r.PathValue("name"))
	return p, nil, orNotFound(err, "project")
}

func (w *Web) postCordon(rw http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "the form could not be read: %w", err)
	}
	cordoned := r.PostForm.Get("cordoned")
	if cordoned != "true" && cordoned != "false" {
		return signalbox.Errorf(signalbox.CodeInvalid, "the form does not say whether to cordon the target")
	}
	return w.cordon(rw, r, cordoned == "true")
}

// putCordon is the same as the hosted product's pages ask for it.
func (w *Web) putCordon(rw http.ResponseWriter, r *http.Request) error {
	switch r.PathValue("state") {
	case "on":
		return w.cordon(rw, r, true)
	case "off":
		return w.cordon(rw, r, false)
	}
	return signalbox.Errorf(signalbox.CodeNotFound, "there is nothing at %.200s; cordon/on and cordon/off are there", r.URL.Path)
}

// cordon goes back to the list when the form says so.
func (w *Web) cordon(rw http.ResponseWriter, r *http.Request, cordoned bool) error {
	var p *signalbox.Project
	var d *signalbox.DeploymentTarget
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) (err error) { p, d, err = findTarget(tx, r); return err }); err != nil {
		return err
	}
	who := route.ActorFrom(r.Context())
	if err := w.o.Deployer.CordonTarget(r.Context(), d.ID, cordoned, who.User.Name, who.Name()); err != nil {
		return orNotFound(err, "deployment target")
	}
	to := targetURL(p, d)
	if r.PostForm.Get("back") == "list" {
		to = targetsURL(p)
	}
	http.Redirect(rw, r, to, http.StatusSeeOther)
	return nil
}

// postTargetDelete deletes a target whose name was typed.
func (w *Web) postTargetDelete(rw http.ResponseWriter, r *http.Request) error {
	if err := parseForm(rw, r); err != nil {
		return err
	}
	typed := strings.TrimSpace(r.PostForm.Get("confirm"))
	var to string
	if err := w.o.Store.Write(r.Context(), func(tx *store.Tx) error {
		to = ""
		p, d, err := findTarget(tx, r)
		if err != nil || typed != d.Name {
			return err
		}
		to = targetsURL(p)
		return tx.DeleteDeploymentTarget(d, "", route.ActorFrom(r.Context()).Name())
	}); err != nil {
		return err
	}
	if to == "" {
		return w.showDeployments(rw, r, http.StatusUnprocessableEntity, &deleteProblem{clip(typed, 100), "That is not the name of the target, so nothing was deleted."})
	}
	http.Redirect(rw, r, to, http.StatusSeeOther)
	return nil
}

// askTargets says beside the promotions of the pipeline that is shown why whoever looks may not start them.
func askTargets(tx *store.Tx, b *workflowBody, u *signalbox.User) error {
	if b.Current == nil {
		return nil
	}
	var byName map[string]*signalbox.DeploymentTarget
	var last map[string]*signalbox.Deployment
	for i := range b.Current.Promotions {
		promo := &b.Current.Promotions[i]
		if promo.Target == "" {
			continue
		}
		if byName == nil {
			byName = map[string]*signalbox.DeploymentTarget{}
			all, err := tx.DeploymentTargets(b.Project.ID)
			if err != nil {
				return err
			}
			for _, d := range all {
				byName[d.Name] = d
			}
			if last, err = tx.LastDeployments(b.Project.ID); err != nil {
				return err
			}
		}
		if d := byName[promo.Target]; d != nil && last[d.ID] != nil {
			there, sha, err := readThere(tx, last[d.ID])
			if err != nil {
				return err
			}
			there.Same = sha == b.Workflow.CommitSHA
			promo.There = there
		}
		switch byName[promo.Target].Permit(signalbox.Promoter{User: u}, b.Workflow) {
		case "":
		case signalbox.RefusedNotFound:
			promo.Refused = "The project has no deployment target " + promo.Target + " any more."
		case signalbox.RefusedCordoned:
			promo.Refused = promo.Target + " is cordoned: nobody may deploy there for now."
		case signalbox.RefusedObject:
			promo.Refused = "Nothing may be deployed to " + promo.Target + " from " + b.Ref + "."
		case signalbox.RefusedSubject:
			promo.Refused = "You are not among those who may deploy to " + promo.Target + "."
		}
	}
	return nil
}

// readThere says what a deployment brought to its target, and which commit that was, "" when nobody knows any more.
func readThere(tx *store.Tx, d *signalbox.Deployment) (*thereView, string, error) {
	v := &thereView{By: viewDeployment(d, tx).By, URL: workflowURL(d.WorkflowID, d.PipelineID), At: moment(d.TriggeredAt, tx.Now)}
	wf, err := tx.Workflow(d.WorkflowID)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		v.Title = "a workflow that was deleted"
		return v, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	v.SHA, v.Title = shortSHA(wf.CommitSHA), titleOf(wf.CommitMessage)
	return v, wf.CommitSHA, nil
}
