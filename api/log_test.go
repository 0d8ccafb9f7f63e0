package api_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

func TestLogForms(t *testing.T) {
	w := newWorld(t)
	w.fill()
	path := "/api/v1alpha/logs/" + w.jobs[0].ID
	outputs := func(a answer) []string {
		var list []string
		for _, e := range w.expect(200, a).(map[string]any)["events"].([]any) {
			e := e.(map[string]any)
			if e["event"] == "cmd_output" {
				list = append(list, e["output"].(string))
			}
			if e["event"] == "job_finished" && (e["result"] != "passed" || e["job_result"] != "passed") {
				t.Errorf("the end is %v", e)
			}
		}
		return list
	}
	if got := outputs(w.call("GET", path, "")); !slices.Equal(got, []string{"o", "k\n"}) {
		t.Errorf("output %q", got)
	}
	if got := outputs(w.call("GET", path, "", "User-Agent", "SemaphoreCLI/v0.33.0 (x)")); !slices.Equal(got, []string{"ok"}) {
		t.Errorf("output for the official command line %q", got)
	}
	text := w.call("GET", path+"?format=text", "")
	if text.status != 200 || !strings.Contains(text.body, "make test\n") || !strings.Contains(text.body, "ok\n") {
		t.Errorf("%d %q", text.status, text.body)
	}
	w.must(w.log.Close(context.Background(), w.attempt.ID))
	live := w.call("GET", path+"?follow=1", "")
	if live.header.Get("Content-Type") != "text/event-stream" || !strings.Contains(live.body, "event: end") {
		t.Errorf("%v %q", live.header, live.body)
	}

	// An agent that has just begun has sent nothing: that is an empty log, not a missing one.
	w.must(w.log.Delete(context.Background(), w.attempt.ID))
	if got := outputs(w.call("GET", path, "")); got != nil {
		t.Errorf("output %q", got)
	}
	if a := w.call("GET", path+"?format=text", ""); a.status != 200 || a.body != "" {
		t.Errorf("%d %q", a.status, a.body)
	}
}

// The addresses that a job's log has beside its page give it in parts and whole.
func TestLogOfAPage(t *testing.T) {
	w := newWorld(t)
	w.fill()
	job := "/jobs/" + w.jobs[0].ID
	read := func(path string) (events []any, next any) {
		m := w.expect(200, w.call("GET", job+path, "")).(map[string]any)
		return m["events"].([]any), m["next"]
	}
	all, next := read("/logs")
	if len(all) < 4 || next != float64(len(all)) {
		t.Fatalf("%d events, and then %v", len(all), next)
	}
	if some, next := read("/logs?token=2"); len(some) != len(all)-2 || next != float64(len(all)) {
		t.Errorf("from 2 on there are %d events of %d, and then %v", len(some), len(all), next)
	}
	if none, next := read(fmt.Sprintf("/logs?token=%d", len(all))); len(none) != 0 || next != float64(len(all)) {
		t.Errorf("after the end there are %d events, and then %v", len(none), next)
	}
	w.must(w.log.Close(context.Background(), w.attempt.ID))
	if _, next := read("/logs"); next != nil {
		t.Errorf("after the end of a log that is complete comes %v", next)
	}
	for _, path := range []string{"/events.json", "/raw_logs.json"} {
		if same, _ := read(path); len(same) != len(all) {
			t.Errorf("%s has %d events of %d", path, len(same), len(all))
		}
	}
	for _, token := range []string{"x", "-1", "1.5"} {
		w.expect(400, w.call("GET", job+"/logs?token="+token, ""))
	}
	w.expect(404, w.call("GET", "/jobs/"+signalbox.NewID()+"/logs", ""))
	w.expect(401, w.call("GET", job+"/logs", "", "Authorization", "Token x"))
	w.must(w.log.Delete(context.Background(), w.attempt.ID))
	if none, next := read("/logs"); len(none) != 0 || next != 0.0 {
		t.Errorf("a log that has not begun has %d events, and then %v", len(none), next)
	}
}
