package web

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// fillFleet gives the agents' pages something to show of everything.
func (s *busySite) fillFleet() { s.scene.Fleet(s.agentType) }

func (s *busySite) has(text string, wants ...string) {
	s.t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			s.t.Errorf("the page has no %q", want)
		}
	}
}

func TestAgentPagesAreForWhoMaySeeThem(t *testing.T) {
	s := newBusySite(t)
	s.fillFleet()
	_, agents := s.get("/agents")
	_, typ := s.get("/agents/self_hosted/s1-linux")
	s.has(agents, `href="/agents/self_hosted/s1-linux"`, "gpu zone=eu-1a", "Leaves now", "build-03.harbour.example", "In quarantine", "0.4 GiB is free", "&lt;script&gt;alert(2)",
		"3 of its last 4 jobs failed", "passed</a> on <span class=\"mono\">build-03", "start failed")
	s.has(typ, "build-03", "chosen by each agent", "may not run here")
	for _, text := range []string{agents, typ} {
		for _, hidden := range []string{"192.0.2.7", "office", "Revoke", "10.0.4.31", `type="checkbox"`, "<form method=\"post\" action=\"/agents/self_hosted"} {
			if strings.Contains(text, hidden) {
				t.Errorf("a member is shown %q", hidden)
			}
		}
	}
	for _, path := range []string{"/agents/refused"} {
		if status, _ := s.get(path); status != http.StatusForbidden {
			t.Errorf("a member sees %s: %d", path, status)
		}
	}
	for _, path := range []string{"/agents", "/agents/self_hosted", "/agents/self_hosted/s1-linux", "/agents/self_hosted/s1-linux/tokens", "/agents/self_hosted/s1-linux/reset_token", "/agents/self_hosted/s1-linux/delete"} {
		if status, _, _ := s.do(http.MethodPost, path, url.Values{}); status != http.StatusForbidden {
			t.Errorf("a member may post to %s: %d", path, status)
		}
	}
	s.as(signalbox.RoleAdmin)
	_, agents = s.get("/agents")
	s.has(agents, "Registration refused", "build-09", "10.0.4.31", "12 tries", `value="build-03"`, "192.0.2.7")
	_, typ = s.get("/agents/self_hosted/s1-linux")
	s.has(typ, "office", "10.0.0.0/8", "one agent", "plain", "expired token", "gpu zone=eu-1a", "23 Dec 2026")
	if strings.Contains(typ, ">expired <span") {
		t.Error("a token that has ended is shown without being asked for")
	}
	_, all := s.get("/agents/self_hosted/s1-linux?all=1")
	s.has(all, `expired <span class="tag">expired</span>`)
	_, refused := s.get("/agents/refused")
	s.has(refused, "unknown token", "&lt;script&gt;", "ffffffff", "expired token")
	if status, _ := s.get("/agents/self_hosted/s1-nope"); status != http.StatusNotFound {
		t.Errorf("a type that is not there: %d", status)
	}
}

var tokenText = regexp.MustCompile(`<pre[^>]*>([0-9a-f]{80})</pre>`)

func TestAgentTypeForms(t *testing.T) {
	s := newBusySite(t)
	s.as(signalbox.RoleAdmin)
	post := func(path string, form url.Values) (int, string, string) {
		t.Helper()
		status, header, text := s.do(http.MethodPost, path, form)
		return status, header.Get("Location"), text
	}
	const base = "/agents/self_hosted/s1-new"
	status, header, _ := s.do(http.MethodPost, "/agents/self_hosted", url.Values{"name": {"new"}, "names": {"agent"}, "release": {"now"}, "release_after": {"600"}})
	if status != http.StatusSeeOther || header.Get("Location") != base+"?connect=1" {
		t.Fatalf("%d to %s", status, header.Get("Location"))
	}
	for _, bad := range []url.Values{{"name": {"new"}}, {"name": {"a b"}}, {}, {"name": {"x"}, "names": {"aws"}, "account": {"1"}}, {"name": {"x"}, "release": {"later"}, "release_after": {"5"}}} {
		if status, _, text := post("/agents/self_hosted", bad); status != http.StatusConflict && status != http.StatusUnprocessableEntity || !strings.Contains(text, `aria-invalid="true"`) {
			t.Errorf("%v: %d", bad, status)
		}
	}
	status, _, text := post(base+"/tokens", url.Values{"name": {"office"}, "expires_in": {"86400"}, "networks": {"10.0.0.0/8, 192.0.2.7"}})
	if status != http.StatusOK || tokenText.FindString(text) == "" || !strings.Contains(text, "192.0.2.7/32") {
		t.Errorf("a new token: %d", status)
	}
	for _, bad := range []url.Values{{"name": {"office"}}, {"name": {"x"}, "networks": {"10.0.0.1/8"}}, {"name": {"x"}, "expires_in": {"1"}}, {"name": {""}}} {
		if status, _, _ := post(base+"/tokens", bad); status != http.StatusConflict && status != http.StatusBadRequest {
			t.Errorf("%v: %d", bad, status)
		}
	}
	if status, _, text = post(base+"/tokens/office/rotate", url.Values{"overlap": {"3600"}}); status != 200 || !strings.Contains(text, "The old one ends in 1") {
		t.Errorf("rotate: %d", status)
	}
	if status, _, _ = post(base+"/tokens/office/revoke", url.Values{}); status != http.StatusConflict {
		t.Errorf("revoking one of two of the same name: %d", status)
	}
	if status, location, _ := post(base+"/tokens/first/revoke", url.Values{}); status != http.StatusSeeOther || location != base {
		t.Errorf("revoke: %d to %s", status, location)
	}
	if status, _, text = post(base+"/reset_token", url.Values{"overlap": {"0"}}); status != 200 || !strings.Contains(text, "All others no longer let agents register") {
		t.Errorf("reset: %d", status)
	}

	settings := url.Values{
		"projects_access": {"allowed"}, "projects": {"parcel-api\r\ntariff-engine"}, "forks": {"true"}, "names": {"aws"}, "account": {"123456789012"},
		"roles": {"ci-*, x"}, "release_after": {"120"}, "lost_after": {"600"}, "max_running_jobs": {"3"},
		"quarantine_failures": {"2"}, "quarantine_of": {"6"}, "lease": {"180"}, "ephemeral": {"true"},
	}
	if status, location, text := post(base, settings); status != http.StatusSeeOther || location != base {
		t.Fatalf("settings: %d %s %s", status, location, text)
	}
	_, text = s.get(base)
	s.has(text, "parcel-api, tariff-engine", "may run here", "account 123456789012, roles ci-*, x", "kept for 2:00", "10:00 of silence", "at most 3", "after 2 of 6 jobs", "after 3:00 without the server", "serve for one job")
	for field, bad := range map[string]string{"projects": "nope", "account": "1", "roles": "", "release_after": "59", "lost_after": "x", "max_running_jobs": "-1", "quarantine_of": "1", "quarantine_failures": "x", "lease": "119"} {
		form := url.Values{}
		for k, v := range settings {
			form[k] = v
		}
		form.Set(field, bad)
		if status, _, text := post(base, form); status != http.StatusBadRequest {
			t.Errorf("%s %q: %d %s", field, bad, status, text)
		}
	}
	if status, location, _ := post(base+"/delete", url.Values{}); status != http.StatusSeeOther || location != "/agents" {
		t.Errorf("delete: %d to %s", status, location)
	}
	if status, _, text := post("/agents/self_hosted/s1-linux/delete", url.Values{}); status != http.StatusBadRequest || !strings.Contains(text, "existing agents") {
		t.Errorf("delete with agents: %d", status)
	}
}

func TestChangingAgentsInBulk(t *testing.T) {
	s := newBusySite(t)
	s.as(signalbox.RoleAdmin)
	drained := func() (names []string) {
		s.write(func(tx *store.Tx) error {
			all, err := tx.Agents("")
			names = nil
			for _, a := range all {
				if !a.DrainAt.IsZero() {
					names = append(names, a.Name)
				}
			}
			return err
		})
		return names
	}
	status, header, _ := s.do(http.MethodPost, "/agents", url.Values{"action": {"drain"}, "agent": {"build-03", "build-05"}, "back": {"/agents/self_hosted/s1-linux"}})
	if status != http.StatusSeeOther || header.Get("Location") != "/agents/self_hosted/s1-linux" || fmt.Sprint(drained()) != "[build-03 build-05]" {
		t.Errorf("%d to %s, drained %v", status, header.Get("Location"), drained())
	}
	status, header, _ = s.do(http.MethodPost, "/agents", url.Values{"action": {"undrain"}, "type": {"s1-linux"}, "back": {"https://evil.example"}})
	if status != http.StatusSeeOther || header.Get("Location") != "/agents" || len(drained()) != 0 {
		t.Errorf("%d to %s, drained %v", status, header.Get("Location"), drained())
	}
	if status, _, text := s.do(http.MethodPost, "/agents", url.Values{"action": {"drain"}, "agent": {"build-03", "nobody"}, "back": {"/agents"}}); status != 200 || !strings.Contains(text, "there is no agent nobody") || len(drained()) != 1 {
		t.Errorf("one of two is gone: %d", status)
	}
	for _, bad := range []url.Values{{"action": {"drain"}}, {"action": {"explode"}, "agent": {"build-03"}}, {"agent": {"build-03"}}, {"action": {"force"}, "agent": {"build-03"}}} {
		if status, _, _ := s.do(http.MethodPost, "/agents", bad); status != http.StatusBadRequest {
			t.Errorf("%v: %d", bad, status)
		}
	}
}
