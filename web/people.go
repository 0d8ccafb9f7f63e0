package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/people"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
)

const peoplePath = "/people"

// peopleRoutes are the pages about accounts and what holds for everybody.
func (w *Web) peopleRoutes(page func(string, route.Access, route.Handler) route.Route, needs func(auth.Permission) route.Access) []route.Route {
	// Everybody has an account; viewing projects is what everybody may.
	everybody := needs(auth.ProjectView)
	return []route.Route{
		page("GET /welcome", route.Public, w.getWelcome),
		page("POST /welcome", route.Public, w.postWelcome),
		page("GET /people", needs(auth.UserManage), w.getPeople),
		page("POST /people", needs(auth.UserManage), w.postInvite),
		page("POST /people/{user}/link", needs(auth.UserManage), w.postUserLink),
		page("POST /people/{user}/role", needs(auth.UserManage), w.postUserRole),
		page("POST /people/{user}/disable", needs(auth.UserManage), w.postUserDisable),
		page("POST /people/{user}/enable", needs(auth.UserManage), w.postUserEnable),
		page("GET /account", everybody, w.getAccount),
		page("POST /account/display", everybody, w.postDisplay),
		page("POST /account/password", everybody, w.postPassword),
		page("POST /account/tokens", everybody, w.postAPIToken),
		page("POST /account/tokens/{token}/revoke", everybody, w.postAPITokenRevoke),
		page("POST /account/sessions/end", everybody, w.postSessionEnd),
		page("POST /account/sessions/{session}/end", everybody, w.postSessionEnd),
		page("GET /settings", needs(auth.SettingsManage), w.getSettings),
		page("POST /settings", needs(auth.SettingsManage), w.postSettings),
		page("POST /settings/initialization", needs(auth.SettingsManage), w.postInitialization),
	}
}

// peoplePage is how many people stand on one page.
const peoplePage = 100

type personRow struct {
	ID, Name, Email string
	Role            signalbox.Role
	State           stateWord
	Link            *Moment // until when the link counts
	SignedIn        *Moment
	Joined          *Moment
	Roles           []roleChoice
	Me              bool
	Disabled        bool
	Invited         bool
}

// stateWord is a state with its lamp.
type stateWord struct{ Class, Word string }

var userStates = map[signalbox.UserState]stateWord{
	signalbox.UserActive:   {"passed", "Active"},
	signalbox.UserInvited:  {"queued", "Invited"},
	signalbox.UserDisabled: {"stopped", "Disabled"},
}

// roleChoice is a role with what it may do, for those who choose one.
type roleChoice struct {
	Name     signalbox.Role
	Hint     string
	Selected bool
}

func roleChoices(selected signalbox.Role) []roleChoice {
	out := []roleChoice{
		{Name: signalbox.RoleMember, Hint: "Starts, stops and debugs work, manages tasks, sees everything."},
		{Name: signalbox.RoleViewer, Hint: "Sees projects, workflows, logs and agents, and changes nothing."},
		{Name: signalbox.RoleAdmin, Hint: "May do everything: projects, agents, secrets, people, settings."},
	}
	for i := range out {
		out[i].Selected = out[i].Name == selected
	}
	return out
}

// linkView is a link that was just made. It stands on this one page and nowhere else.
type linkView struct {
	Name, URL string
	Ends      *Moment
	Invited   bool
}

type peopleBody struct {
	Rows     []personRow
	Next     string // the rest of the list, "" when this is the end
	Link     *linkView
	Invite   people.Invitation
	Roles    []roleChoice
	Problems setup.Problems // of the invitation
	Problem  string         // why something was not done
}

func newPersonRow(u *store.UserWithLink, me *signalbox.User, now time.Time) personRow {
	return personRow{
		ID: u.ID, Name: clip(u.Name, 80), Email: clip(u.Email, 254), Role: u.Role, State: userStates[u.State()], Link: moment(u.LinkExpiresAt, now),
		SignedIn: moment(u.SignedInAt, now), Joined: moment(u.CreatedAt, now), Roles: roleChoices(u.Role), Me: u.ID == me.ID,
		Disabled: u.State() == signalbox.UserDisabled, Invited: u.State() == signalbox.UserInvited,
	}
}

func (w *Web) getPeople(rw http.ResponseWriter, r *http.Request) error {
	return w.showPeople(rw, r, http.StatusOK, peopleBody{})
}

func (w *Web) showPeople(rw http.ResponseWriter, r *http.Request, status int, b peopleBody) error {
	var s Shell
	after := r.URL.Query().Get("after")
	if len(after) > 400 {
		after = ""
	}
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b.Rows, b.Next = nil, ""
		var err error
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		all, err := tx.People(after, peoplePage+1)
		for i, u := range all {
			if i == peoplePage {
				b.Next = peoplePath + "?after=" + url.QueryEscape(all[i-1].Name)
				break
			}
			b.Rows = append(b.Rows, newPersonRow(u, s.User, tx.Now))
		}
		return err
	})
	if err != nil {
		return err
	}
	b.Roles = roleChoices(signalbox.Role(cmp.Or(b.Invite.Role, string(signalbox.RoleMember))))
	s.Title, s.Section, s.Script, s.Topics = "People", "people", "page", []string{"people"}
	if b.Link != nil || len(b.Problems) > 0 {
		s.Topics = nil // the page would be swapped for one without what it says only now
	}
	return w.render(rw, status, "people", s, b)
}

func (w *Web) postInvite(rw http.ResponseWriter, r *http.Request) error {
	if err := parseForm(rw, r); err != nil {
		return err
	}
	i := people.Invitation{Name: r.PostForm.Get(setup.FieldName), Email: r.PostForm.Get(setup.FieldEmail), Role: r.PostForm.Get(people.FieldRole)}
	l, err := w.o.People.Invite(r.Context(), i, route.ActorFrom(r.Context()))
	var problems setup.Problems
	if errors.As(err, &problems) {
		return w.showPeople(rw, r, http.StatusUnprocessableEntity, peopleBody{Invite: i, Problems: problems})
	}
	if err != nil {
		return w.notDone(rw, r, err)
	}
	return w.showLink(rw, r, l)
}

func (w *Web) showLink(rw http.ResponseWriter, r *http.Request, l *people.Link) error {
	return w.showPeople(rw, r, http.StatusOK, peopleBody{Link: &linkView{
		Name: clip(l.User.Name, 80), URL: w.o.PublicURL(r) + l.Path(), Ends: moment(l.ExpiresAt, w.o.Now()), Invited: l.User.State() == signalbox.UserInvited,
	}})
}

func (w *Web) postUserLink(rw http.ResponseWriter, r *http.Request) error {
	l, err := w.o.People.NewLink(r.Context(), r.PathValue("user"), route.ActorFrom(r.Context()))
	if err != nil {
		return w.notDone(rw, r, err)
	}
	return w.showLink(rw, r, l)
}

func (w *Web) postUserRole(rw http.ResponseWriter, r *http.Request) error {
	if err := parseForm(rw, r); err != nil {
		return err
	}
	_, err := w.o.People.SetRole(r.Context(), r.PathValue("user"), signalbox.Role(r.PostForm.Get("from")), signalbox.Role(r.PostForm.Get(people.FieldRole)), route.ActorFrom(r.Context()))
	return w.toPeople(rw, r, err)
}

func (w *Web) postUserDisable(rw http.ResponseWriter, r *http.Request) error {
	_, err := w.o.People.Disable(r.Context(), r.PathValue("user"), route.ActorFrom(r.Context()))
	return w.toPeople(rw, r, err)
}

func (w *Web) postUserEnable(rw http.ResponseWriter, r *http.Request) error {
	_, err := w.o.People.Enable(r.Context(), r.PathValue("user"), route.ActorFrom(r.Context()))
	return w.toPeople(rw, r, err)
}

func (w *Web) toPeople(rw http.ResponseWriter, r *http.Request, err error) error {
	if err != nil {
		return w.notDone(rw, r, err)
	}
	http.Redirect(rw, r, peoplePath, http.StatusSeeOther)
	return nil
}

// notDone shows a refusal above the list that somebody acted on. What they may not see any more is an error page.
func (w *Web) notDone(rw http.ResponseWriter, r *http.Request, err error) error {
	switch signalbox.ErrorCode(err) {
	case signalbox.CodeConflict:
		return w.showPeople(rw, r, http.StatusConflict, peopleBody{Problem: signalbox.ErrorMessage(err)})
	case signalbox.CodeInvalid:
		return w.showPeople(rw, r, http.StatusUnprocessableEntity, peopleBody{Problem: signalbox.ErrorMessage(err)})
	case signalbox.CodeNotFound:
		return notFound("person")
	}
	return err
}

// parseForm reads a small form.
func parseForm(rw http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(rw, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read; go back and try again")
	}
	return nil
}

// MayPeople tells the frame whether to offer the page of people. The page itself is checked again.
func (s Shell) MayPeople() bool { return s.User != nil && auth.Can(s.User.Role, auth.UserManage) }

// MaySettings is MayPeople for the settings.
func (s Shell) MaySettings() bool { return s.User != nil && auth.Can(s.User.Role, auth.SettingsManage) }
