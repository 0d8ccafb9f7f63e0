package signalbox

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAgentTypePermits(t *testing.T) {
	p := &Project{ID: "p", Name: "demo", DefaultBranch: "main"}
	branch := &Workflow{RefType: "branch", BranchName: "main"}
	pull := &Workflow{RefType: "pull-request", BranchName: "pull-request-7"}
	for _, c := range []struct {
		name string
		typ  AgentType
		w    *Workflow
		want string // part of the refusal
	}{
		{"as it was before there were rules", AgentType{}, branch, ""},
		{"all projects", AgentType{Projects: ProjectsAll}, branch, ""},
		{"in the list", AgentType{Projects: ProjectsAllowed, ProjectIDs: []string{"x", "p"}}, branch, ""},
		{"not in the list", AgentType{Projects: ProjectsAllowed, ProjectIDs: []string{"x"}}, branch, `Project demo may not use the agent type s1-a: "signalbox agent-type set s1-a --projects NAMES"`},
		{"an empty list", AgentType{Projects: ProjectsAllowed}, branch, "may not use"},
		{"a tag", AgentType{}, &Workflow{RefType: "tag"}, ""},
		{"a pull request", AgentType{}, pull, `runs no code of forked pull requests, because whoever opens one may be anybody: "signalbox agent-type set s1-a --forks yes"`},
		{"what is not known", AgentType{}, &Workflow{RefType: "new kind"}, "forked"},
		{"a pull request where it may", AgentType{Forks: true}, pull, ""},
		{"both rules hold", AgentType{Forks: true, Projects: ProjectsAllowed}, pull, "may not use"},
	} {
		c.typ.Name = "s1-a"
		err := c.typ.Permits(p, c.w)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || ErrorCode(err) != CodeForbidden) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestAgentTypeValidate(t *testing.T) {
	aws := AgentNaming{Origin: NamesFromAWS, Account: "123456789012", Roles: []string{"ci-*"}}
	naming := func(change func(*AgentNaming)) AgentType {
		n := aws
		change(&n)
		return AgentType{Naming: n}
	}
	for _, c := range []struct {
		typ  AgentType
		want string
	}{
		{AgentType{}, ""},
		{AgentType{ReleaseAfter: time.Minute, LostAfter: time.Minute, Projects: ProjectsAllowed, ProjectIDs: []string{"p"}, Forks: true, Naming: aws}, ""},
		{AgentType{ReleaseAfter: 59 * time.Second}, "0 or at least 60 seconds"},
		{AgentType{ReleaseAfter: -time.Second}, "0 or at least 60 seconds"},
		{AgentType{ReleaseAfter: 366 * 24 * time.Hour}, "at most 31536000"},
		{AgentType{LostAfter: time.Second}, "after 60 to 604800 seconds"},
		{AgentType{LostAfter: 8 * 24 * time.Hour}, "after 60 to 604800 seconds"},
		{AgentType{Projects: ProjectsAll, ProjectIDs: []string{"p"}}, "only makes sense with"},
		{AgentType{Projects: ProjectsAllowed}, "name 1 to 1000 projects"},
		{AgentType{Projects: ProjectsNone}, "no purpose"},
		{AgentType{Projects: "SOME"}, `"SOME" is not known`},
		{naming(func(n *AgentNaming) { n.Account = "" }), "AWS account cannot be empty"},
		{naming(func(n *AgentNaming) { n.Account = "12345678901" }), "it has 12 digits"},
		{naming(func(n *AgentNaming) { n.Roles = nil }), "AWS role name patterns cannot be empty"},
		{naming(func(n *AgentNaming) { n.Roles = []string{"a b"} }), `"a b" is not allowed`},
		{naming(func(n *AgentNaming) { n.Roles = make([]string, 51) }), "at most 50"},
		{naming(func(n *AgentNaming) { n.Origin = "" }), "only make sense with assignment_origin_aws_sts"},
		{naming(func(n *AgentNaming) { n.Origin = "gcp" }), `"gcp" is not known`},
	} {
		c.typ.Name = "s1-a"
		err := c.typ.Validate()
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || ErrorCode(err) != CodeInvalid) {
			t.Errorf("%+v: %v, want %q", c.typ, err, c.want)
		}
	}
	for _, name := range []string{"", "s1-", "linux", "s1-a b", "s1-\n", "s1-ü", "S1-a", "s1-" + strings.Repeat("a", 98)} {
		if err := (&AgentType{Name: name}).Validate(); ErrorCode(err) != CodeInvalid {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if got := strings.Join(ParseRoles(" a-*, b ,,c"), "|"); got != "a-*|b|c" {
		t.Errorf("roles %s", got)
	}
}

func TestValidateLabels(t *testing.T) {
	many := map[string]string{}
	for i := range 33 {
		many[fmt.Sprint("l", i)] = ""
	}
	for _, c := range []struct {
		labels map[string]string
		ok     bool
	}{
		{nil, true},
		{map[string]string{"gpu": "", "zone": "eu-1a", "a.b/c_d-e": "x:y/z+1@2"}, true},
		{map[string]string{strings.Repeat("a", 63): strings.Repeat("b", 100)}, true},
		{map[string]string{strings.Repeat("a", 64): ""}, false},
		{map[string]string{"a": strings.Repeat("b", 101)}, false},
		{map[string]string{"": "x"}, false},
		{map[string]string{"-a": "x"}, false},
		{map[string]string{"a=b": "x"}, false},
		{map[string]string{"a": "x\x00"}, false},
		{map[string]string{"a": "<script>"}, false},
		{map[string]string{"a": "x y"}, false},
		{many, false},
	} {
		if err := ValidateLabels(c.labels); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.labels, err)
		}
	}
}

func TestAddressesAreNotRepeated(t *testing.T) {
	for _, name := range []string{"https://sts.amazonaws.com/?X-Amz-Signature=SIGNED", "https:/x?SIGNED", "/?SIGNED", "x?SIGNED"} {
		if err := ValidateAgentName(name); err == nil || strings.Contains(err.Error(), "SIGNED") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
