package auth

import (
	"testing"

	"github.com/signalbox-ci/signalbox"
)

func TestMayEnter(t *testing.T) {
	const (
		admin, member, viewer = signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer
		main, other, tag      = signalbox.RefDefaultBranch, signalbox.RefOtherBranch, signalbox.RefTag
		pr, fork, empty       = signalbox.RefPullRequest, signalbox.RefForkedPullRequest, signalbox.RefEmpty
	)
	open := signalbox.Project{}
	// Lists without custom permissions say nothing.
	idle := signalbox.Project{DebugPermissions: []signalbox.RefKind{fork}}
	closed := signalbox.Project{CustomPermissions: true}
	ruled := signalbox.Project{
		CustomPermissions: true, DebugPermissions: []signalbox.RefKind{other, fork}, AttachPermissions: []signalbox.RefKind{main, tag, pr},
	}
	sessions := signalbox.Project{CustomPermissions: true, DebugPermissions: []signalbox.RefKind{empty}}
	for _, c := range []struct {
		how  Access
		role signalbox.Role
		p    signalbox.Project
		kind signalbox.RefKind
		want string
	}{
		{Debug, admin, open, main, ""},
		{Debug, member, open, main, ""},
		{Debug, member, open, other, ""},
		{Debug, member, open, tag, ""},
		{Debug, member, open, pr, ""},
		{Debug, member, open, empty, ""},
		{Debug, admin, open, fork, "You are not allowed to debug jobs on a forked pull request of this project"},
		{Debug, admin, idle, fork, "You are not allowed to debug jobs on a forked pull request of this project"},
		{Attach, member, open, other, ""},
		{Attach, member, open, fork, "You are not allowed to attach to jobs on a forked pull request of this project"},
		{Debug, viewer, open, main, "You are not allowed to run pipelines on this project"},
		{Attach, viewer, ruled, main, "You are not allowed to run pipelines on this project"},
		{Debug, "nobody", open, main, "You are not allowed to run pipelines on this project"},

		{Debug, admin, closed, main, "You are not allowed to debug jobs on the default branch of this project"},
		{Debug, admin, closed, other, "You are not allowed to debug jobs on non default branches of this project"},
		{Debug, admin, closed, tag, "You are not allowed to debug jobs on a tag of this project"},
		{Debug, admin, closed, pr, "You are not allowed to debug jobs on a pull request of this project"},
		{Debug, admin, closed, fork, "You are not allowed to debug jobs on a forked pull request of this project"},
		{Debug, admin, closed, empty, "You are not allowed to debug this project"},
		{Attach, admin, closed, main, "You are not allowed to attach to jobs on the default branch of this project"},
		{Attach, admin, closed, other, "You are not allowed to attach to jobs on non default branches of this project"},

		{Debug, member, ruled, other, ""},
		{Debug, member, ruled, fork, ""},
		{Debug, member, ruled, main, "You are not allowed to debug jobs on the default branch of this project"},
		{Attach, member, ruled, main, ""},
		{Attach, member, ruled, tag, ""},
		{Attach, member, ruled, pr, ""},
		{Attach, member, ruled, other, "You are not allowed to attach to jobs on non default branches of this project"},
		{Debug, member, sessions, empty, ""},
		{Debug, member, sessions, main, "You are not allowed to debug jobs on the default branch of this project"},
	} {
		err := MayEnter(c.how, c.role, &c.p, c.kind)
		got := ""
		if err != nil {
			got = signalbox.ErrorMessage(err)
			if code := signalbox.ErrorCode(err); code != signalbox.CodeForbidden {
				t.Errorf("code %s", code)
			}
		}
		if got != c.want {
			t.Errorf("%s by %s, rules %v %v %v, on %s: %q, want %q", c.how, c.role, c.p.CustomPermissions, c.p.DebugPermissions, c.p.AttachPermissions, c.kind, got, c.want)
		}
	}
}
