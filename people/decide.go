package people

import (
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// permit asks mayChange with what the store knows.
func permit(tx *store.Tx, by, before, after *signalbox.User) error {
	others, err := tx.OtherAdmins(before.ID)
	if err != nil {
		return err
	}
	return mayChange(by, before, after, others)
}

// mayChange says why an account may not become another, nil when it may. others is how many administrators can sign in beside it:
// a server always has one who can, because nobody else could let anybody in.
func mayChange(by, before, after *signalbox.User, others int) error {
	if by.ID == before.ID && after.State() == signalbox.UserDisabled {
		return signalbox.Errorf(signalbox.CodeInvalid, "you cannot disable your own account; another administrator can")
	}
	if others == 0 && administers(before) && !administers(after) {
		return signalbox.Errorf(signalbox.CodeConflict, "%s is the last administrator who can sign in; make somebody else an administrator first", before.Name)
	}
	return nil
}

// administers tells whether somebody can sign in and let others in.
func administers(u *signalbox.User) bool {
	return u.State() == signalbox.UserActive && auth.Can(u.Role, auth.UserManage)
}

// mayLink says why nobody gets a link for an account, nil when they do. A link of one's own would change the password
// without the present one.
func mayLink(by, u *signalbox.User) error {
	switch {
	case u.State() == signalbox.UserDisabled:
		return signalbox.Errorf(signalbox.CodeConflict, "%s is disabled, so a link would lead nowhere; enable the account first", u.Name)
	case u.ID == by.ID:
		return signalbox.Errorf(signalbox.CodeInvalid, "you change your own password on your account page, /account")
	}
	return nil
}
