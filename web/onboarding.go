package web

import (
	"net/http"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// stepsView is the way from nothing to a green pipeline, above the pages that lead along it.
type stepsView struct {
	Steps []stepView
}

type stepView struct {
	N       int
	Name    string
	Done    bool
	Current bool
}

// newSteps is nil once the way has been gone.
func newSteps(p store.Progress, current int) *stepsView {
	if p.Agent && p.Project && p.Passed {
		return nil
	}
	v := &stepsView{}
	for i, s := range []stepView{
		{Name: "Your account", Done: true}, {Name: "Connect an agent", Done: p.Agent}, {Name: "Add a project", Done: p.Project}, {Name: "First green pipeline", Done: p.Passed},
	} {
		s.N = i + 1
		s.Current = s.N == current
		v.Steps = append(v.Steps, s)
	}
	return v
}

// onboarding is the list of what there is to do on a new server. Each item is done when it has happened, by whatever way.
type onboarding struct {
	Items []todo
	Done  int
	All   bool
	Card  bool // it stands on the home page, and can be sent away
}

type todo struct {
	N          int
	Name, Hint string
	Done       bool
	URL, Label string // "" when there is nothing for this person to press
	First      bool   // the first that is not done
}

// dismissedOnboarding is what somebody has sent away.
const dismissedOnboarding = "onboarding"

func newOnboarding(p store.Progress, role signalbox.Role, project string) *onboarding {
	can := func(perm auth.Permission, url string) string {
		if auth.Can(role, perm) {
			return url
		}
		return ""
	}
	run := ""
	if p.Project && !p.Passed {
		run = can(auth.WorkflowRun, project)
	}
	o := &onboarding{Items: []todo{
		{Name: "Create your account", Done: true, Hint: "You are signed in."},
		{Name: "Connect your first agent", Done: p.Agent, Hint: "A small program on a machine of yours that runs the jobs.", URL: can(auth.AgentTypeManage, "/agents/self_hosted/new"), Label: "Add an agent"},
		{Name: "Connect a repository", Done: p.Project, Hint: "A project is one repository and its pipelines.", URL: can(auth.ProjectCreate, "/new_project"), Label: "Add a project"},
		{Name: "Get a green pipeline", Done: p.Passed, Hint: "A push starts one, or you do.", URL: run, Label: "Run it now"},
		{Name: "Invite people", Done: p.People > 1, Hint: "Done when a second person can sign in.", URL: can(auth.UserManage, peoplePath), Label: "Invite somebody"},
	}}
	first := true
	for i := range o.Items {
		t := &o.Items[i]
		t.N = i + 1
		if t.Done {
			o.Done++
			t.URL = ""
			continue
		}
		t.First, first = first && t.URL != "", first && t.URL == ""
	}
	o.All = p.Done()
	return o
}

// onboarding is what a person is to see of it.
func (w *Web) onboarding(tx *store.Tx, user *signalbox.User) (*onboarding, error) {
	p, err := tx.Progress()
	if err != nil {
		return nil, err
	}
	url := "/"
	if p.Project && !p.Passed {
		all, err := tx.FindProjects(store.ProjectFilter{Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(all) > 0 {
			url = "/projects/" + all[0].Name
		}
	}
	return newOnboarding(p, user.Role, url), nil
}

// onboardingCard is nil when all is done or the person has sent it away.
func (w *Web) onboardingCard(tx *store.Tx, user *signalbox.User) (*onboarding, error) {
	if gone, err := tx.Dismissed(user.ID, dismissedOnboarding); err != nil || gone {
		return nil, err
	}
	o, err := w.onboarding(tx, user)
	if err != nil || o.All {
		return nil, err
	}
	o.Card = true
	return o, nil
}

func (w *Web) getStarted(rw http.ResponseWriter, r *http.Request) error {
	var o *onboarding
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		var err error
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		o, err = w.onboarding(tx, s.User)
		return err
	})
	if err != nil {
		return err
	}
	s.Title, s.Section, s.Script, s.Narrow = "Get started", "projects", "page", true
	s.Topics = []string{"workflows", "agents"}
	return w.render(rw, http.StatusOK, "get-started", s, o)
}

func (w *Web) postDismiss(rw http.ResponseWriter, r *http.Request) error {
	user := route.ActorFrom(r.Context()).User
	if err := w.o.Store.Write(r.Context(), func(tx *store.Tx) error { return tx.Dismiss(user.ID, dismissedOnboarding) }); err != nil {
		return err
	}
	http.Redirect(rw, r, "/", http.StatusSeeOther)
	return nil
}
