package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDeploymentTargetCommands(t *testing.T) {
	s := newStation(t)
	s.expect(0, "", "project", "create", "web", "--git", s.repo)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("file-content\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const p = "web/production"
	s.expect(0, "has no deployment target; make one", "deployment-target", "list", "web")
	s.expect(2, "no project nope|Project not found", "deployment-target", "list", "nope")
	s.expect(1, "say who may deploy and from where", "deployment-target", "create", p)
	s.expect(1, "is no deployment target: write PROJECT/NAME", "deployment-target", "create", "production", "--allow", "anybody", "--from", "branches")
	s.expect(1, `--allow "everyone" is not known`, "deployment-target", "create", p, "--allow", "everyone", "--from", "branches")
	s.expect(1, `--from "main" is not known`, "deployment-target", "create", p, "--allow", "anybody", "--from", "main")
	s.expect(1, `role "boss" is not valid`, "deployment-target", "create", p, "--allow", "role:boss", "--from", "branches")
	s.expect(1, "no regular expression of RE2", "deployment-target", "create", p, "--allow", "auto", "--from", "tag:/(?=x)/")
	s.expect(1, "values are not taken from arguments", "deployment-target", "create", p, "--allow", "auto", "--from", "tags", "--env", "TOKEN=hunter2")
	stdin(t, "hunter2-hunter2\n")
	s.expect(0, `Deployment target production created.*Who +user:admin role:member auto\nFrom +branch:main tag:/\^v\[0-9\]/ pull-requests\n`,
		"deployment-target", "create", p, "--allow", "user:admin", "--allow", "role:Member", "--allow", "auto", "--from", "branch:main", "--from", "tag:/^v[0-9]/",
		"--from", "pull-requests", "--env", "TOKEN", "--file", ".ssh/id="+file, "--description", "the real thing", "--url", "https://example.com", "--bookmark", "VERSION")
	s.expect(1, "already", "deployment-target", "create", p, "--allow", "auto", "--from", "tags")
	s.expect(0, `Description +the real thing\nURL +https://example.com\nBookmarks +VERSION\nVariables +TOKEN\nFiles +.ssh/id\nChanged +\d{4}-.* by server`, "deployment-target", "show", p)
	var d deploymentTarget
	s.ok(&d, "deployment-target", "show", p)
	if diff := cmp.Diff([]secretVar{{"TOKEN", ""}}, d.EnvVars); diff != "" || len(d.Files) != 1 || d.Files[0].Content != "" {
		t.Errorf("it shows more than names: %s%+v", diff, d.Files)
	}
	prints := func() string {
		t.Helper()
		api, err := (&Globals{Data: s.dir}).client()
		if err != nil {
			t.Fatal(err)
		}
		d, err := api.findTarget(t.Context(), p, true)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, v := range d.EnvVars {
			out = append(out, v.Name+"="+v.Value[:6])
		}
		for _, f := range d.Files {
			out = append(out, f.Path+":"+f.Content[:6])
		}
		return strings.Join(out, " ")
	}
	before := prints()
	stdin(t, "other\n")
	s.expect(0, "changed", "deployment-target", "set", p, "--env", "OTHER")
	if after := prints(); !strings.Contains(after, strings.Fields(before)[0]) || !strings.Contains(after, strings.Fields(before)[1]) || !strings.Contains(after, "OTHER=795f32") {
		t.Errorf("holds %s, held %s", after, before)
	}
	s.expect(0, "", "deployment-target", "set", p, "--unset", "OTHER")
	if after := prints(); after != before {
		t.Errorf("holds %s, held %s", after, before)
	}
	s.expect(2, "has no variable or file NOPE", "deployment-target", "set", p, "--unset", "NOPE")
	s.expect(1, "nothing to change", "deployment-target", "set", p)
	s.expect(0, `Who +nobody\nFrom +nowhere\n`, "deployment-target", "set", p, "--allow", "nobody", "--from", "nowhere")
	s.expect(0, `Target +prod\n`, "deployment-target", "set", p, "--name", "prod")
	s.expect(2, `has no deployment target "production": it has prod`, "deployment-target", "show", p)
	s.expect(0, "prod is cordoned: nobody may deploy to it", "deployment-target", "cordon", "web/prod")
	s.expect(0, `NAME +STATE +WHO +FROM +LAST DEPLOYMENT\nprod +cordoned +nobody +nowhere +-`, "deployment-target", "list", "web")
	s.expect(0, "prod is open again", "deployment-target", "uncordon", "web/prod")
	s.expect(0, "Nobody asked deployment target prod", "deployment-target", "history", "web/prod")
	s.expect(1, "must be NAME=VALUE of a bookmarked parameter; the target has: VERSION", "deployment-target", "history", "web/prod", "--bookmark", "REGION=eu")
	s.expect(0, "Nobody asked", "deployment-target", "history", "web/prod", "--bookmark", "VERSION=1", "--by", "server", "--ref-type", "pr", "--ref", "7")
	s.expect(0, "Deployment target prod deleted", "deployment-target", "delete", "web/prod")
	s.expect(2, "it has none; make one", "deployment-target", "delete", "web/prod")
}
