package web

import (
	"context"
	"net/http"
	"net/url"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// Deployer closes deployment targets and opens them again. by is a user's name, actor who it is written down as.
type Deployer interface {
	CordonTarget(ctx context.Context, id string, cordoned bool, by, actor string) error
}

type targetsBody struct {
	Project   *signalbox.Project
	Targets   []targetView
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

func targetURL(project, target string) string {
	return "/projects/" + url.PathEscape(project) + "/deployments/" + url.PathEscape(target)
}

func viewTarget(d *signalbox.DeploymentTarget, p *signalbox.Project, names map[string]string, tx *store.Tx) targetView {
	v := targetView{
		Name: d.Name, Description: clip(d.Description, 300), Site: clip(d.URL, 200), URL: targetURL(p.Name, d.Name), Cordoned: d.Cordoned,
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
	s.Title, s.Section = "Deployments · "+b.Project.Name, "projects"
	s.Crumbs = []Link{{"Projects", "/projects"}, {b.Project.Name, "/projects/" + b.Project.Name}}
	return w.render(rw, http.StatusOK, "deployment-targets", s, b)
}

func findTarget(tx *store.Tx, r *http.Request) (*signalbox.Project, *signalbox.DeploymentTarget, error) {
	p, err := tx.FindProject(r.PathValue("name"))
	if err != nil {
		return nil, nil, orNotFound(err, "project")
	}
	d, err := tx.FindDeploymentTarget(p.ID, r.PathValue("target"))
	return p, d, orNotFound(err, "deployment target")
}

func (w *Web) postCordon(rw http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "the form could not be read: %w", err)
	}
	cordoned := r.PostForm.Get("cordoned")
	if cordoned != "true" && cordoned != "false" {
		return signalbox.Errorf(signalbox.CodeInvalid, "the form does not say whether to cordon the target")
	}
	var p *signalbox.Project
	var d *signalbox.DeploymentTarget
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) (err error) { p, d, err = findTarget(tx, r); return err }); err != nil {
		return err
	}
	who := route.ActorFrom(r.Context())
	if err := w.o.Deployer.CordonTarget(r.Context(), d.ID, cordoned == "true", who.User.Name, who.Name()); err != nil {
		return err
	}
	http.Redirect(rw, r, "/projects/"+url.PathEscape(p.Name)+"/deployments", http.StatusSeeOther)
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
			var err error
			if promo.There, err = readThere(tx, last[d.ID], b.Workflow); err != nil {
				return err
			}
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

// readThere says what a deployment brought to its target.
func readThere(tx *store.Tx, d *signalbox.Deployment, now *signalbox.Workflow) (*thereView, error) {
	v := &thereView{By: viewDeployment(d, tx).By, URL: workflowURL(d.WorkflowID, d.PipelineID), At: moment(d.TriggeredAt, tx.Now)}
	wf, err := tx.Workflow(d.WorkflowID)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	v.SHA, v.Title, v.Same = shortSHA(wf.CommitSHA), titleOf(wf.CommitMessage), wf.CommitSHA == now.CommitSHA
	return v, nil
}
