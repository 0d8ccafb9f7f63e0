package journey

import (
	"encoding/base64"
	"strings"
	"testing"
)

// A job prints its secret in the ways in which people do so by accident. No answer of the server has it: no page, nothing that a page
// loads, no API, no plain text, no search.
func TestJourneyJ12SecretNeverShown(t *testing.T) {
	const value = "hunter2-Correct_horse/Battery+staple"
	w := newServer(t)
	w.write("vars", "DEPLOY_TOKEN="+value+"\n")
	w.write("key", value+"\n")
	w.signalbox("secret", "set", "deploy", "--env-file", w.path("vars"), "--file", ".deploy/key="+w.path("key"))
	w.signalbox("agent-type", "create", "s1-linux")
	w.connect("s1-linux")
	w.shows("#connect-status h2", "is connected")
	w.signalbox("project", "create", "shop", "--git", w.repository("shop", map[string]string{"readme": "a shop"}))
	w.commit("shop", "Leak things", map[string]string{".semaphore/semaphore.yml": `version: v1.0
name: Build
agent: {machine: {type: s1-linux}}
blocks:
  - name: Leak
    task:
      secrets: [{name: deploy}]
      jobs:
        - name: Print it
          commands:
            - echo "token is $DEPLOY_TOKEN."
            - cat ~/.deploy/key
            - printf %s "$DEPLOY_TOKEN" | base64 -w0
            - set -x; true "$DEPLOY_TOKEN"; set +x
            - env | sort
            - "false"
`})
	w.open("/projects/shop")
	w.press("Leak things")
	w.shows("#head .st", "1 job failed")
	workflow := eval[string](w, `location.pathname`)
	w.open(workflow + "?view=list")
	w.press("Print it")
	w.shows(".log-rows", "token is ")
	job := eval[string](w, `location.pathname`)
	all := map[string]string{"the page": eval[string](w, `document.documentElement.outerHTML`)}
	answered := 0
	for _, path := range []string{
		"/", "/projects/shop", "/activity", "/agents", "/agents/all", "/agents/self_hosted/s1-linux", "/projects/shop/deployments", "/search?q=hunter2",
		workflow, workflow + "?view=timeline", workflow + "?view=yaml", workflow + "?view=list",
		job, job + "/plain_logs.txt", job + "/logs/raw",
		"/ui" + job + "/log/index", "/ui" + job + "/log/lines?from=1&count=1000", "/ui" + job + "/log/lines?from=1&count=1000&plain=1", "/ui" + job + "/log/tail", "/ui" + job + "/log/search?q=token",
	} {
		all[path] = w.fetch(path)
		if strings.HasPrefix(all[path], "200 ") {
			answered++
		} else {
			t.Logf("%s: %.100s", path, all[path])
		}
	}
	id := strings.TrimPrefix(job, "/jobs/")
	printed := w.signalbox("job", "show", id, "--output", "json") + w.signalbox("job", "logs", id) + w.signalbox("secret", "show", "deploy", "--output", "json") +
		w.signalbox("secret", "list", "--output", "json")
	if !strings.Contains(printed, "token is ") || !strings.Contains(printed, "DEPLOY_TOKEN") {
		t.Fatalf("the log and the secret's name are not there: %s", printed)
	}
	if answered < 19 {
		t.Errorf("only %d pages were looked at", answered)
	}
	all["the command line"] = printed
	all["the server's own log"] = w.server.out.String()
	seen := 0
	for url, body := range all {
		if strings.Contains(body, "token is ") {
			seen++
		}
		for what, form := range map[string]string{"the value": value, "its base64 form": base64.StdEncoding.EncodeToString([]byte(value))[:40], "a part of it": "Correct_horse"} {
			if at := strings.Index(body, form); at >= 0 {
				t.Errorf("%s has %s: …%s", url, what, body[max(0, at-60):at+min(len(form), 20)])
			}
		}
	}
	if seen < 4 {
		t.Errorf("only %d answers have the line at all: this test looked in the wrong places", seen)
	}
}
