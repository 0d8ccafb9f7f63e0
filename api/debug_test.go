package api_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

func at(v any, path ...string) any {
	for _, k := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

func TestDebug(t *testing.T) {
	w := newWorld(t)
	w.fill()
	job := "/api/v1alpha/jobs/" + w.jobs[0].ID
	for body, want := range map[string]string{
		``:                 "sleep 3600",
		`{"duration":"0"}`: "sleep 3600", `{"duration":0}`: "sleep 3600", `{"duration":null}`: "sleep 3600",
		`{"duration":"300"}`: "sleep 300", `{"duration":300}`: "sleep 300",
		`{"job_id":"` + w.jobs[0].ID + `","duration":"86400"}`: "sleep 86400",
	} {
		a := w.expect(200, w.call("POST", job+"/debug", body))
		if got := fmt.Sprint(at(a, "spec", "commands")); got != "["+want+"]" {
			t.Errorf("%s: commands %s", body, got)
		}
	}
	for body, want := range map[string]string{
		`{"duration":-1}`: "whole seconds", `{"duration":"soon"}`: "soon", `{"duration":1.5}`: "whole seconds", `{"duration":86401}`: "86400",
		`{"duration":99999999999999999999}`: "whole seconds", `{"duration":{}}`: "whole seconds", `{"job_id":"other"}`: "job_id", `[`: "JSON",
	} {
		if a := w.call("POST", job+"/debug", body); a.status != 400 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	w.expect(400, w.call("POST", "/api/v1alpha/jobs/nonsense/debug", ""))
	w.expect(404, w.call("POST", "/api/v1alpha/jobs/"+signalbox.NewID()+"/debug", ""))
	w.expect(403, w.call("POST", job+"/debug", "", "Authorization", "Token "+w.viewer))
	w.expect(401, w.call("POST", job+"/debug", "", "Authorization", "Token x"))
}

func TestADebugJobIsShown(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.expect(200, w.call("POST", "/api/v1alpha/jobs/"+w.jobs[1].ID+"/stop", ""))
	d := w.expect(200, w.call("POST", "/api/v1alpha/jobs/"+w.jobs[0].ID+"/debug", `{"duration":"300"}`))
	id := at(d, "metadata", "id").(string)
	if got := at(d, "metadata", "name"); got != "Debug Session for Job "+w.jobs[0].ID {
		t.Errorf("named %v", got)
	}
	if at(d, "status", "state") != "QUEUED" || at(d, "status", "agent") != nil || at(d, "debug", "job_id") != w.jobs[0].ID ||
		at(d, "debug", "started_by") != "user:ann" || at(d, "debug", "duration") != float64(300) || at(d, "debug", "ends_at") != "" {
		t.Errorf("%v", d)
	}
	if got := fmt.Sprint(at(d, "waiting", "text")); got != "An agent of type s1-linux is free; the job is about to be offered." {
		t.Error(got)
	}
	file := at(d, "spec", "files").([]any)[0]
	content, _ := base64.StdEncoding.DecodeString(at(file, "content").(string))
	if at(file, "path") != "commands" || string(content) != "checkout\nmake test\necho bye\n" {
		t.Errorf("%v %q", file, content)
	}
	w.write(func(tx *store.Tx) error {
		j, err := tx.Job(id)
		if err != nil {
			return err
		}
		a, err := engine.Offer(tx, j, w.agents[0], "dispatch")
		if err != nil {
			return err
		}
		_, _, err = engine.Fetched(tx, a.ID, "agent:golden-agent-1")
		return err
	})
	d = w.expect(200, w.call("GET", "/api/v1alpha/jobs/"+id, ""))
	if at(d, "status", "state") != "RUNNING" || at(d, "status", "agent", "name") != "golden-agent-1" || at(d, "debug", "host") != "box" ||
		at(d, "debug", "ends_at") != "1700000300" || at(d, "waiting") != nil {
		t.Errorf("%v", d)
	}
	p := w.expect(200, w.call("GET", "/api/v1alpha/pipelines/"+w.ppl.ID+"?detailed=true", ""))
	if strings.Contains(fmt.Sprint(p), id) {
		t.Error("the pipeline shows the debug job")
	}
	w.expect(200, w.call("POST", "/api/v1alpha/jobs/"+id+"/stop", ""))
	if d = w.expect(200, w.call("GET", "/api/v1alpha/jobs/"+id, "")); at(d, "status", "result") != "STOPPED" || at(d, "status", "reason") != "user" {
		t.Errorf("%v", at(d, "status"))
	}
}

func TestWaitingForAJobToChange(t *testing.T) {
	w := newWorld(t)
	w.fill()
	path := "/api/v1alpha/jobs/" + w.jobs[1].ID
	was := at(w.expect(200, w.call("GET", path, "")), "version").(string)
	done := make(chan any)
	go func() { done <- at(w.expect(200, w.call("GET", path+"?wait=60&version="+was, "")), "status", "state") }()
	w.expect(200, w.call("POST", path+"/stop", ""))
	if got := <-done; got != "FINISHED" {
		t.Errorf("answered with %v", got)
	}
}

func TestRulesAboutDebugging(t *testing.T) {
	w := newWorld(t)
	w.fill()
	job := "/api/v1alpha/jobs/" + w.jobs[0].ID
	says := func(a answer, status int, text string) {
		t.Helper()
		if a.status != status || !strings.Contains(a.body, text) {
			t.Errorf("%s: %d %s, want %d %q", a.what, a.status, a.body, status, text)
		}
	}
	says(w.call("GET", job+"/debug_ssh_key", ""), 403, "SSH keys are not available for self-hosted jobs")
	set := func(spec string) answer {
		return w.call("PATCH", "/api/v1alpha/projects/demo", `{"metadata":{"name":"demo"},"spec":`+spec+`}`)
	}
	w.expect(200, set(`{"custom_permissions":true}`))
	says(w.call("POST", job+"/debug", ""), 403, "You are not allowed to debug jobs on the default branch of this project")
	says(w.call("GET", job+"/debug_ssh_key", ""), 403, "You are not allowed to attach to jobs on the default branch of this project")
	p := w.expect(200, set(`{"custom_permissions":true,"debug_permissions":["default_branch","empty"],"attach_permissions":["tag"]}`))
	if fmt.Sprint(at(p, "spec", "debug_permissions"), at(p, "spec", "attach_permissions"), at(p, "spec", "custom_permissions")) != "[default_branch empty] [tag] true" {
		t.Errorf("%v", p)
	}
	w.expect(200, w.call("POST", job+"/debug", ""))
	// Naming only one list leaves the other and the switch.
	p = w.expect(200, set(`{"debug_permissions":["tag"]}`))
	if fmt.Sprint(at(p, "spec", "debug_permissions"), at(p, "spec", "attach_permissions"), at(p, "spec", "custom_permissions")) != "[tag] [tag] true" {
		t.Errorf("%v", p)
	}
	says(w.call("POST", job+"/debug", ""), 403, "default branch")
	w.expect(200, set(`{"custom_permissions":false}`))
	w.expect(200, w.call("POST", job+"/debug", ""))

	says(set(`{"debug_permissions":["everything"]}`), 400, "everything")
	says(set(`{"attach_permissions":["empty"]}`), 400, "empty")
	says(set(`{"repository":{"url":"/elsewhere"}}`), 400, "spec.repository.url: there is no git repository at /elsewhere")
	says(w.call("PATCH", "/api/v1alpha/projects/demo", `{"metadata":{"id":"other"}}`), 400, "metadata.id")
	says(w.call("PATCH", "/api/v1alpha/projects/demo", `{"metadata":{"name":"a b"}}`), 400, "not allowed")
	says(w.call("PATCH", "/api/v1alpha/projects/nobody", `{}`), 404, "nobody")
	says(w.call("PATCH", "/api/v1alpha/projects/demo", `{}`, "Authorization", "Token "+w.viewer), 403, "project.manage")
	says(w.call("POST", "/api/v1alpha/projects", `{"metadata":{"name":"x"},"spec":{"repository":{"url":"`+w.dir+`"},"debug_permissions":["?"]}}`), 400, "debug_permissions")
	says(w.call("PATCH", "/api/v1alpha/projects/demo", `{"metadata":{"name":"renamed"}}`), 200, `"name":"renamed"`)

	w.write(func(tx *store.Tx) error {
		events, err := tx.Events("project", w.project.ID)
		var got []string
		for _, e := range events {
			if e.Reason == "changed" {
				got = append(got, e.Actor+": "+e.Detail)
			}
		}
		want := []string{
			"user:ann: debug by the default rule to [], attach by the default rule to []",
			"user:ann: debug [] to [default_branch empty], attach [] to [tag]",
			"user:ann: debug [default_branch empty] to [tag]",
			"user:ann: debug [tag] to by the default rule, attach [tag] to by the default rule",
			"user:ann: name demo to renamed",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("history of the project:\n%s", strings.Join(got, "\n"))
		}
		return err
	})
	w.expect(200, w.call("DELETE", "/api/v1alpha/projects/renamed", ""))
	w.expect(404, w.call("POST", job+"/debug", ""))
}
