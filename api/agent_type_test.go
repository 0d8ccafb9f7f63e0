package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

const types = "/api/v1alpha/self_hosted_agent_types"

// dig follows keys into what an answer holds.
func dig(v any, keys ...any) any {
	for _, k := range keys {
		switch at := v.(type) {
		case map[string]any:
			v = at[k.(string)]
		case []any:
			if k.(int) >= len(at) {
				return nil
			}
			v = at[k.(int)]
		default:
			return nil
		}
	}
	return v
}

func TestAgentTypeSettings(t *testing.T) {
	w := newWorld(t)
	w.fill()
	made := w.expect(200, w.call("POST", types, `{"metadata":{"name":"s1-aws"},"spec":{"agent_name_settings":{"assignment_origin":"assignment_origin_aws_sts","release_after":60,
		"aws":{"account_id":"123456789012","role_name_patterns":"ci-*, x"}},"projects_access":"ALLOWED","projects":["demo"],"forks":true,"lost_after":600}}`))
	for _, c := range []struct {
		want any
		keys []any
	}{
		{"assignment_origin_aws_sts", []any{"spec", "agent_name_settings", "assignment_origin"}},
		{"ci-*,x", []any{"spec", "agent_name_settings", "aws", "role_name_patterns"}},
		{"ALLOWED", []any{"spec", "projects_access"}},
		{"demo", []any{"spec", "projects", 0}},
		{true, []any{"spec", "forks"}},
		{600.0, []any{"spec", "lost_after"}},
	} {
		if got := dig(made, c.keys...); got != c.want {
			t.Errorf("%v is %v, want %v", c.keys, got, c.want)
		}
	}
	// Existing clients send the settings of names and nothing else: what is ours stays.
	got := w.expect(200, w.call("PATCH", types+"/s1-aws", `{"metadata":{"name":"s1-aws"},"spec":{"agent_name_settings":{"assignment_origin":"assignment_origin_agent","release_after":0,"aws":{}}}}`))
	if dig(got, "spec", "agent_name_settings", "aws") != nil || dig(got, "spec", "forks") != true || dig(got, "spec", "projects", 0) != "demo" {
		t.Errorf("after a change of the names: %v", got)
	}
	got = w.expect(200, w.call("PATCH", types+"/s1-aws", `{"spec":{"projects_access":"all"}}`))
	if dig(got, "spec", "projects_access") != "ALL" || dig(got, "spec", "projects", 0) != nil {
		t.Errorf("open to all: %v", got)
	}
	for body, text := range map[string]string{
		`{"spec":{"projects_access":"ALLOWED","projects":["nope"]}}`:                                                             "there is no project",
		`{"spec":{"projects_access":"ALLOWED","projects":[]}}`:                                                                   "name 1 to 1000 projects",
		`{"spec":{"lost_after":-1}}`:                                                                                             "lost_after",
		`{"spec":{"agent_name_settings":{"assignment_origin":"assignment_origin_aws_sts"}}}`:                                     "AWS account cannot be empty",
		`{"spec":{"agent_name_settings":{"assignment_origin":"assignment_origin_aws_sts","aws":{"account_id":"123456789012"}}}}`: "AWS role name patterns cannot be empty",
		`{"spec":{"agent_name_settings":{"assignment_origin":"assignment_origin_gcp"}}}`:                                         "is not known",
		`{"spec":{"agent_name_settings":{"assignment_origin":"assignment_origin_agent","aws":{"role_name_patterns":"x"}}}}`:      "only make sense",
		`{"spec":{"agent_name_settings":{"release_after":-60}}}`:                                                                 "at least 60",
		`{"spec":{"forks":"yes"}}`: "not the JSON that was expected",
	} {
		if e := w.call("PATCH", types+"/s1-aws", body); e.status != 400 || !strings.Contains(string(e.body), text) {
			t.Errorf("%s: %d %s", body, e.status, e.body)
		}
	}
}

func TestRegistrationTokens(t *testing.T) {
	w := newWorld(t)
	w.fill()
	const tokens = types + "/s1-linux/tokens"
	made := w.expect(200, w.call("POST", tokens, `{"name":"office","expires_in":3600,"networks":["10.0.0.0/8","192.0.2.7"],"one_time":true}`))
	text, _ := dig(made, "registration_token").(string)
	if len(text) != 80 || dig(made, "networks", 1) != "192.0.2.7/32" || dig(made, "state") != "live" || dig(made, "expires_at") != float64(epoch.Unix()+3600) {
		t.Errorf("%v", made)
	}
	for i := range 4 {
		w.expect(200, w.call("POST", tokens, fmt.Sprintf(`{"name":"t-%d"}`, i)))
	}
	var names []string
	cursor := ""
	for range 10 {
		page := w.expect(200, w.call("GET", tokens+"?page_size=2&cursor="+cursor, ""))
		for _, r := range dig(page, "registration_tokens").([]any) {
			names = append(names, dig(r, "name").(string))
			if dig(r, "registration_token") != nil {
				t.Error("a list shows a token")
			}
		}
		if cursor, _ = dig(page, "cursor").(string); cursor == "" {
			break
		}
	}
	if got := strings.Join(names, " "); got != "first office t-0 t-1 t-2 t-3" {
		t.Errorf("in pages: %s", got)
	}
	rotated := w.expect(200, w.call("POST", tokens+"/t-0/rotate", `{"overlap":60}`))
	if next, _ := dig(rotated, "registration_token").(string); len(next) != 80 || dig(rotated, "name") != "t-0" {
		t.Errorf("%v", rotated)
	}
	w.expect(200, w.call("DELETE", tokens+"/t-1", ""))
	all := w.expect(200, w.call("GET", tokens+"?all=true", ""))
	states := map[string]int{}
	for _, r := range dig(all, "registration_tokens").([]any) {
		states[dig(r, "state").(string)]++
	}
	if states["revoked"] != 1 || states["live"] != 6 {
		t.Errorf("states %v", states)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"POST", tokens, `{"name":"office"}`, 409, "has a token named"},
		{"POST", tokens, `{}`, 400, "token name"},
		{"POST", tokens, `{"name":"x","networks":["10.0.0.1/8"]}`, 400, "the network is 10.0.0.0/8"},
		{"POST", tokens, `{"name":"x","expires_in":-1}`, 400, "expires_in"},
		{"POST", tokens, `{"name":"x","expires_in":9223372036854775807}`, 400, "expires_in"},
		{"POST", tokens, `{"name":"x","expires_in":3153600000}`, 400, "ten years"},
		{"GET", tokens + "?cursor=x", "", 400, "cursor"},
		{"GET", tokens + "?page_size=1000", "", 400, "from 1 to 200"},
		{"GET", types + "/s1-nope/tokens", "", 404, "there is no agent type"},
		{"DELETE", tokens + "/nope", "", 404, "has no registration token"},
		{"POST", tokens + "/office/rotate", "", 400, "for one agent"},
		{"POST", types + "/s1-linux/reset_token", `{"overlap":999999999}`, 400, "90 days"},
		{"POST", types + "/s1-linux/reset_token", `{"disconnect_running_agents":"x"}`, 400, "is not a boolean"},
		{"GET", "/api/v1alpha/rejected_registrations?agent_type=s1-nope", "", 404, "there is no agent type"},
	} {
		if e := w.call(c.method, c.path, c.body); e.status != c.status || !strings.Contains(string(e.body), c.text) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, e.status, e.body)
		}
	}
}

func TestChangingAgents(t *testing.T) {
	w := newWorld(t)
	w.fill()
	out := w.expect(200, w.call("POST", "/api/v1alpha/agents", `{"action":"drain","names":["golden-agent-1","nobody"]}`))
	if dig(out, "agents", 0, "done") != true || dig(out, "agents", 1, "done") != false || dig(out, "agents", 1, "error") != "there is no agent nobody" {
		t.Errorf("%v", out)
	}
	one := w.expect(200, w.call("GET", "/api/v1alpha/agents/golden-agent-1", ""))
	if dig(one, "metadata", "drained_at") == 0.0 {
		t.Errorf("%v", one)
	}
	// What existing clients send: idle ones only, unless they say otherwise.
	disabled := func(name string) bool {
		return dig(w.expect(200, w.call("GET", "/api/v1alpha/agents/"+name, "")), "metadata", "disabled_at") != 0.0
	}
	w.expect(200, w.call("POST", types+"/s1-linux/disable_all", ""))
	if !disabled("golden-agent-1") || disabled("golden-agent-2") {
		t.Error("disable_all is about the idle ones")
	}
	w.expect(200, w.call("POST", types+"/s1-linux/disable_all", `{"only_idle":"false"}`))
	if !disabled("golden-agent-2") {
		t.Error("only_idle=false is about all")
	}
	for body, text := range map[string]string{
		`{}`:                               "action",
		`{"action":"force","names":["x"]}`: "is not known",
		`{"action":"drain"}`:               "say which agents",
		`{"action":"drain","names":["x"],"agent_type":"s1-linux"}`: "say which agents",
		`{"action":"drain","names":["x"],"force":true}`:            "for delete only",
	} {
		if e := w.call("POST", "/api/v1alpha/agents", body); e.status != 400 || !strings.Contains(string(e.body), text) {
			t.Errorf("%s: %d %s", body, e.status, e.body)
		}
	}
	if e := w.call("POST", types+"/s1-linux/disable_all", `{"only_idle":"x"}`); e.status != 400 || !strings.Contains(string(e.body), "Invalid 'only_idle': 'x' is not a boolean.") {
		t.Errorf("%d %s", e.status, e.body)
	}
	w.must(w.st.Write(t.Context(), func(tx *store.Tx) error {
		return tx.SaveRefused([]*signalbox.RefusedRegistration{{Reason: signalbox.RefusedUnknown, IP: "192.0.2.7", Name: "x", Token: "01234567", Count: 3, FirstAt: epoch, LastAt: epoch}})
	}))
	refused := w.expect(200, w.call("GET", "/api/v1alpha/rejected_registrations", ""))
	if dig(refused, "rejected_registrations", 0, "reason") != "unknown token" || dig(refused, "rejected_registrations", 0, "count") != 3.0 {
		t.Errorf("%v", refused)
	}
}
