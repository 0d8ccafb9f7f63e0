package signalbox

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestWhoMayDeployFromWhere(t *testing.T) {
	ann := &User{ID: NewID(), Name: "ann", Role: RoleMember}
	main := &Workflow{RefType: "branch", BranchName: "main", Label: "main"}
	release := &Workflow{RefType: "branch", BranchName: "release/1.2", Label: "release/1.2"}
	tag := &Workflow{RefType: "tag", BranchName: "refs/tags/v1.2", Label: "v1.2"}
	pr := &Workflow{RefType: "pull-request", BranchName: "main", Label: "17"}
	odd := &Workflow{RefType: "", Label: "main"}
	object := func(kind ObjectType, m MatchMode, pattern string) []ObjectRule {
		return []ObjectRule{{kind, m, pattern}}
	}
	// Every rule about refs, with the refs that it lets through out of these five.
	refs := map[string]*Workflow{"main": main, "release": release, "tag": tag, "pr": pr, "odd": odd}
	for _, c := range []struct {
		rules []ObjectRule
		want  string
	}{
		{nil, ""},
		{AnyObject(), "main pr release tag"},
		{object(ObjectBranch, MatchAll, ""), "main release"},
		{object(ObjectTag, MatchAll, ""), "tag"},
		{object(ObjectPR, MatchAll, ""), "pr"},
		{object(ObjectBranch, MatchExact, "main"), "main"},
		{object(ObjectBranch, MatchExact, "mai"), ""},
		{object(ObjectBranch, MatchExact, "MAIN"), ""},
		{object(ObjectTag, MatchExact, "v1.2"), "tag"},
		{object(ObjectTag, MatchExact, "refs/tags/v1.2"), ""},
		{object(ObjectTag, MatchExact, "main"), ""},
		{object(ObjectPR, MatchExact, "17"), "pr"},
		{object(ObjectPR, MatchExact, "18"), ""},
		{object(ObjectBranch, MatchRegex, "ai"), "main"},
		{object(ObjectBranch, MatchRegex, "^ai"), ""},
		{object(ObjectBranch, MatchRegex, "^release/[0-9.]+$"), "release"},
		{object(ObjectBranch, MatchRegex, "v1"), ""},
		{object(ObjectTag, MatchRegex, `^v\d+`), "tag"},
		{object(ObjectPR, MatchRegex, "^1"), "pr"},
		{object(ObjectPR, MatchRegex, "^2"), ""},
		{object(ObjectBranch, MatchRegex, "(?=main)"), ""}, // cannot be stored, and lets nobody in if it were
		{object(ObjectBranch, "", "main"), ""},
		{object("", MatchAll, ""), ""},
		{append(object(ObjectTag, MatchAll, ""), object(ObjectBranch, MatchExact, "main")...), "main tag"},
	} {
		d := &DeploymentTarget{Subjects: AnySubject(), Objects: c.rules}
		var through []string
		for _, name := range []string{"main", "odd", "pr", "release", "tag"} {
			switch r := d.Permit(Promoter{User: ann}, refs[name]); r {
			case "":
				through = append(through, name)
			case RefusedObject:
			default:
				t.Errorf("%v for %s: %s", c.rules, name, r)
			}
		}
		if got := strings.Join(through, " "); got != c.want {
			t.Errorf("%v lets through %q, want %q", c.rules, got, c.want)
		}
	}

	bob := &User{ID: NewID(), Name: "bob", Role: RoleViewer}
	who := map[string]Promoter{"ann": {User: ann}, "bob": {User: bob}, "auto": {Auto: true}}
	for _, c := range []struct {
		rules []SubjectRule
		want  string
	}{
		{nil, ""},
		{AnySubject(), "ann auto bob"},
		{[]SubjectRule{{Type: SubjectAuto}}, "auto"},
		{[]SubjectRule{{SubjectUser, ann.ID}}, "ann"},
		{[]SubjectRule{{SubjectUser, "ann"}}, ""}, // names can be given to somebody else
		{[]SubjectRule{{SubjectUser, ""}}, ""},
		{[]SubjectRule{{SubjectRole, "viewer"}}, "bob"},
		{[]SubjectRule{{SubjectRole, ""}}, ""},
		{[]SubjectRule{{SubjectGroup, ann.ID}}, ""},
		{[]SubjectRule{{Type: ""}}, ""},
		{[]SubjectRule{{SubjectRole, "viewer"}, {Type: SubjectAuto}}, "auto bob"},
	} {
		d := &DeploymentTarget{Subjects: c.rules, Objects: AnyObject()}
		var through []string
		for _, name := range []string{"ann", "auto", "bob"} {
			switch r := d.Permit(who[name], main); r {
			case "":
				through = append(through, name)
			case RefusedSubject:
			default:
				t.Errorf("%v for %s: %s", c.rules, name, r)
			}
		}
		if got := strings.Join(through, " "); got != c.want {
			t.Errorf("%v lets through %q, want %q", c.rules, got, c.want)
		}
	}
}

// The first thing in the way is what is said.
func TestWhatATargetSaysFirst(t *testing.T) {
	ann, gone := &User{ID: NewID()}, &User{ID: NewID(), DisabledAt: time.Now()}
	w := &Workflow{RefType: "branch", Label: "main"}
	closed := DeploymentTarget{}
	open := DeploymentTarget{Subjects: AnySubject(), Objects: AnyObject()}
	cordoned := func(d DeploymentTarget) DeploymentTarget { d.Cordoned = true; return d }
	deleted := func(d DeploymentTarget) DeploymentTarget { d.DeletedAt = time.Now(); return d }
	for i, c := range []struct {
		target DeploymentTarget
		by     Promoter
		want   TargetRefusal
	}{
		{open, Promoter{User: ann}, ""},
		{open, Promoter{}, RefusedSubject},
		{open, Promoter{User: gone}, RefusedSubject},
		{cordoned(open), Promoter{}, RefusedSubject},
		{cordoned(open), Promoter{User: ann}, RefusedCordoned},
		{cordoned(open), Promoter{Auto: true}, RefusedCordoned},
		{cordoned(closed), Promoter{User: ann}, RefusedCordoned},
		{closed, Promoter{User: ann}, RefusedObject},
		{DeploymentTarget{Objects: AnyObject()}, Promoter{User: ann}, RefusedSubject},
		{deleted(cordoned(open)), Promoter{User: ann}, RefusedNotFound},
	} {
		if got := c.target.Permit(c.by, w); got != c.want {
			t.Errorf("case %d: %q, want %q", i, got, c.want)
		}
	}
	var none *DeploymentTarget
	if got := none.Permit(Promoter{User: ann}, w); got != RefusedNotFound {
		t.Errorf("no target: %q", got)
	}
}

func TestDeploymentTargetValidate(t *testing.T) {
	good := func() *DeploymentTarget {
		return &DeploymentTarget{Name: "production-eu_1.2", URL: "https://app.example.com/x", Subjects: AnySubject(), Objects: AnyObject()}
	}
	if err := good().Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*DeploymentTarget){
		"needs a name": func(d *DeploymentTarget) { d.Name = "" },
		"must contain only alphanumericals, dashes, underscores or dots": func(d *DeploymentTarget) { d.Name = "a b" },
		"at most 255":                       func(d *DeploymentTarget) { d.Name = strings.Repeat("a", 256) },
		"looks like an id":                  func(d *DeploymentTarget) { d.Name = NewID() },
		"url must be":                       func(d *DeploymentTarget) { d.URL = "javascript:alert(1)" },
		"without a password":                func(d *DeploymentTarget) { d.URL = "https://a:b@example.com" },
		"bookmark_parameter2 repeats":       func(d *DeploymentTarget) { d.Bookmarks = [3]string{"A", "A"} },
		"description is":                    func(d *DeploymentTarget) { d.Description = strings.Repeat("a", 2001) },
		`subject rule 2: type "any"`:        func(d *DeploymentTarget) { d.Subjects = append(d.Subjects, SubjectRule{Type: "any"}) },
		"must say which user":               func(d *DeploymentTarget) { d.Subjects = []SubjectRule{{Type: SubjectUser}} },
		"must say which role":               func(d *DeploymentTarget) { d.Subjects = []SubjectRule{{Type: SubjectRole}} },
		`object rule 1: type "branch"`:      func(d *DeploymentTarget) { d.Objects = []ObjectRule{{"branch", MatchAll, ""}} },
		`match_mode "GLOB"`:                 func(d *DeploymentTarget) { d.Objects = []ObjectRule{{ObjectTag, "GLOB", "v*"}} },
		"needs a pattern":                   func(d *DeploymentTarget) { d.Objects = []ObjectRule{{ObjectTag, MatchExact, ""}} },
		`"(?!x)" is no regular expression`:  func(d *DeploymentTarget) { d.Objects = []ObjectRule{{ObjectTag, MatchRegex, "(?!x)"}} },
		"at most 200 subject rules and 200": func(d *DeploymentTarget) { d.Objects = make([]ObjectRule, 201) },
	} {
		d := good()
		change(d)
		if err := d.Validate(); ErrorCode(err) != CodeInvalid || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestProblemsOfATarget(t *testing.T) {
	d := &DeploymentTarget{
		Name: "a b", URL: "ftp://x", Bookmarks: [3]string{"V", "V"}, Subjects: []SubjectRule{{Type: SubjectAny}, {Type: SubjectUser}},
		Objects: []ObjectRule{{Type: ObjectTag, Match: MatchAll}, {Type: ObjectTag, Match: MatchRegex, Pattern: "("}},
	}
	var got []string
	for _, p := range d.Problems() {
		got = append(got, p.Field)
		if ErrorCode(p.Err) != CodeInvalid {
			t.Error(p.Err)
		}
	}
	if want := "name url bookmarks.1 subjects.1 objects.1"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %s", got, want)
	}
	s := &Secret{TargetID: "t", EnvVars: []SecretVar{{Name: "A"}, {Name: "A"}, {Name: "-"}}, Files: []SecretFile{{Path: "f"}, {Path: "../f"}}}
	got = nil
	for _, p := range s.ContentProblems() {
		got = append(got, p.Field)
	}
	if want := "env_vars.1 env_vars.2 files.1"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %s", got, want)
	}
}
