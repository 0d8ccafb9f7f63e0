package api

import (
	"net/http"
	"strconv"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/people"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// maxUsers is how many people one answer has.
const maxUsers = 500

func userBody(u *signalbox.User) map[string]any {
	return map[string]any{
		"id": u.ID, "name": u.Name, "email": u.Email, "role": u.Role, "state": u.State(), "create_time": unixText(u.CreatedAt),
		"disable_time": unixText(u.DisabledAt), "sign_in_time": unixText(u.SignedInAt),
	}
}

// listUsers returns people by name; ?after= and ?page_size= page through them.
func (a *API) listUsers(w http.ResponseWriter, r *http.Request) error {
	size := maxUsers
	if text := r.URL.Query().Get("page_size"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxUsers {
			return signalbox.Errorf(signalbox.CodeInvalid, "page_size is a number from 1 to %d", maxUsers)
		}
		size = n
	}
	var out []map[string]any
	next := ""
	if err := a.read(r, func(tx *store.Tx) error {
		out, next = []map[string]any{}, ""
		all, err := tx.People(r.URL.Query().Get("after"), size+1)
		for i, u := range all {
			if i == size {
				next = all[i-1].Name
				break
			}
			b := userBody(&u.User)
			b["link_expire_time"] = unixText(u.LinkExpiresAt)
			out = append(out, b)
		}
		return err
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"users": out, "next_after": next})
}

// inviteUser makes an account and the link with which its owner chooses a password. The link is in this answer and nowhere else.
func (a *API) inviteUser(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Name  string `json:"name"`
		Email string `json:"email"`
		Role  string `json:"role"`
	}
	if err := read(w, r, &in); err != nil {
		return err
	}
	l, err := a.People.Invite(r.Context(), people.Invitation(in), route.ActorFrom(r.Context()))
	if err != nil {
		return err
	}
	return a.writeLink(w, r, l)
}

func (a *API) writeLink(w http.ResponseWriter, r *http.Request, l *people.Link) error {
	out := userBody(l.User)
	out["link"], out["link_expire_time"] = a.PublicURL(r)+l.Path(), unixText(l.ExpiresAt)
	return write(w, out)
}

func (a *API) linkUser(w http.ResponseWriter, r *http.Request) error {
	l, err := a.People.NewLink(r.Context(), r.PathValue("user"), route.ActorFrom(r.Context()))
	if err != nil {
		return err
	}
	return a.writeLink(w, r, l)
}

// updateUser changes what the body names: the role, or whether the account is disabled. One of them at a time, so that a
// refusal leaves nothing half done.
func (a *API) updateUser(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Role     *signalbox.Role `json:"role"`
		Disabled *bool           `json:"disabled"`
	}
	if err := read(w, r, &in); err != nil {
		return err
	}
	which, by := r.PathValue("user"), route.ActorFrom(r.Context())
	var u *signalbox.User
	var err error
	switch {
	case (in.Role == nil) == (in.Disabled == nil):
		return signalbox.Errorf(signalbox.CodeInvalid, "the body must have either role or disabled")
	case in.Role != nil:
		u, err = a.People.SetRole(r.Context(), which, "", *in.Role, by)
	case *in.Disabled:
		u, err = a.People.Disable(r.Context(), which, by)
	default:
		u, err = a.People.Enable(r.Context(), which, by)
	}
	if err != nil {
		return err
	}
	return write(w, userBody(u))
}
