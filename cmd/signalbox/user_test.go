package main

import (
	"strings"
	"testing"
)

func TestUserCommands(t *testing.T) {
	s := newStation(t)
	s.expect(0, `NAME +E-MAIL +ROLE +STATE.*admin +admin@example.com +admin +active`, "user", "list")
	s.expect(0, `mei is invited as member\..*shown only now.*https://[^ ]+/welcome#code=[0-9a-f]{80}`, "user", "invite", "mei", "--email", "mei@example.com")
	var first, second userInfo
	s.ok(&first, "user", "invite", "zoe", "--email", "zoe@example.com", "--role", "viewer")
	s.ok(&second, "user", "new-link", "zoe")
	if first.Link == second.Link || first.State != "invited" || first.Role != "viewer" || !strings.Contains(second.Link, "/welcome#code=") {
		t.Errorf("first %+v, second %+v", first, second)
	}
	s.expect(1, `name: That name is in use`, "user", "invite", "mei", "--email", "mei@example.com")
	s.expect(1, `email: That is not an e-mail address`, "user", "invite", "tom", "--email", "tom")
	s.expect(0, `mei is admin, invited`, "user", "set-role", "mei", "admin")
	s.expect(1, `last administrator who can sign in`, "user", "set-role", "admin", "member")
	s.expect(1, `last administrator who can sign in`, "user", "disable", "admin")
	s.expect(0, `mei is admin, disabled`, "user", "disable", "mei")
	s.expect(1, `enable the account first`, "user", "new-link", "mei")
	s.expect(0, `mei is admin, invited`, "user", "enable", "mei")
	s.expect(0, `zoe is viewer, disabled`, "user", "disable", first.ID)
	s.expect(2, `there is nobody named nobody`, "user", "disable", "nobody")
	s.expect(1, `server's own`, "user", "disable", "server")
	var all []userInfo
	s.ok(&all, "user", "list")
	if len(all) != 3 || all[0].Name != "admin" || all[0].Link != "" {
		t.Errorf("people are %+v", all)
	}
}
