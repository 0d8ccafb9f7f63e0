package auth

import (
	"testing"

	"github.com/signalbox-ci/signalbox"
)

// The whole table once more, written down by hand: a change of the code must be a change here too.
func TestCan(t *testing.T) {
	want := map[Permission]string{
		"project.view":             "admin member viewer",
		"project.create":           "admin",
		"project.manage":           "admin",
		"workflow.view":            "admin member viewer",
		"workflow.run":             "admin member",
		"workflow.stop":            "admin member",
		"task.view":                "admin member viewer",
		"task.manage":              "admin member",
		"task.run":                 "admin member",
		"job.view":                 "admin member viewer",
		"job.stop":                 "admin member",
		"job.debug":                "admin member",
		"log.view":                 "admin member viewer",
		"agent.view":               "admin member viewer",
		"agent_type.manage":        "admin",
		"secret.view":              "admin member",
		"secret.manage":            "admin",
		"deployment_target.view":   "admin member viewer",
		"deployment_target.manage": "admin",
		"user.manage":              "admin",
		"settings.manage":          "admin",
	}
	roles := []signalbox.Role{signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer}
	for _, p := range Permissions() {
		got := ""
		for _, r := range roles {
			if Can(r, p) {
				if got != "" {
					got += " "
				}
				got += string(r)
			}
		}
		if got != want[p] {
			t.Errorf("%s may be done by %q, want %q", p, got, want[p])
		}
		for _, r := range []signalbox.Role{"", "Admin", "admin ", "root", "*"} {
			if Can(r, p) {
				t.Errorf("the unknown role %q may do %s", r, p)
			}
		}
	}
	if len(Permissions()) != len(want) {
		t.Errorf("there are %d permissions, %d are checked", len(Permissions()), len(want))
	}
	for _, r := range roles {
		for _, p := range []Permission{"", "project", "project.delete", "PROJECT.VIEW", "*"} {
			if Can(r, p) {
				t.Errorf("%s may do %q, which is not a permission", r, p)
			}
		}
	}
}

func TestParseRole(t *testing.T) {
	for _, name := range []string{"admin", "member", "viewer"} {
		if r, err := ParseRole(name); err != nil || string(r) != name {
			t.Errorf("ParseRole(%q) = %q, %v", name, r, err)
		}
	}
	for _, name := range []string{"", "Admin", "owner"} {
		if r, err := ParseRole(name); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("ParseRole(%q) = %q, %v", name, r, err)
		}
	}
}
