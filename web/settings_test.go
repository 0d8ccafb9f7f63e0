package web

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func (s *site) organization() (o *signalbox.Organization) {
	s.t.Helper()
	if err := s.store.Read(s.t.Context(), func(tx *store.Tx) (err error) { o, err = tx.Organization(); return err }); err != nil {
		s.t.Fatal(err)
	}
	return o
}

func TestSettingsPage(t *testing.T) {
	s := newSite(t)
	s.as(signalbox.RoleAdmin)
	status, text := s.get("/settings")
	checkPage(t, text)
	if status != 200 || !strings.Contains(text, "user.manage") {
		t.Errorf("status %d", status)
	}
	status, _, _ = s.do("POST", "/settings", url.Values{"organization": {" Harbour "}, "public_url": {"HTTPS://CI.example.com/"}, "max_running_jobs": {"12"}})
	o := s.organization()
	if status != 303 || o.Name != "Harbour" || o.PublicURL != "https://ci.example.com" || o.MaxRunningJobs != 12 {
		t.Errorf("status %d, %+v", status, o)
	}
	// What is wrong is said at its field, and nothing is saved.
	was := url.Values{"was_organization": {"Harbour"}, "was_public_url": {"https://ci.example.com"}, "was_max_running_jobs": {"12"}}
	with := func(name, value string) url.Values {
		form := url.Values{}
		for k, v := range was {
			form[k], form[strings.TrimPrefix(k, "was_")] = v, v
		}
		form.Set(name, value)
		return form
	}
	for name, value := range map[string]string{"max_running_jobs": "-1", "public_url": "javascript:alert(1)", "organization": "a\u202eb"} {
		status, _, text = s.do("POST", "/settings", with(name, value))
		checkPage(t, text)
		if status != 422 || !strings.Contains(text, `id="`+name+`" name="`+name+`"`) || !strings.Contains(text, `aria-invalid="true"`) {
			t.Errorf("%s: %d", name, status)
		}
	}
	if d := cmp.Diff(o, s.organization()); d != "" {
		t.Error(d)
	}
	// Somebody else changed the limit meanwhile: their change stays, also under a change of another field.
	s.write(func(tx *store.Tx) error {
		o.MaxRunningJobs = 20
		return tx.UpdateOrganization(o, "user:mei", "")
	})
	if status, _, text = s.do("POST", "/settings", with("max_running_jobs", "13")); status != 422 || !strings.Contains(text, "Somebody else has changed it") {
		t.Errorf("a change over another one: %d", status)
	}
	if status, _, _ = s.do("POST", "/settings", with("organization", "Quay")); status != 303 {
		t.Errorf("a change beside another one: %d", status)
	}
	if o := s.organization(); o.Name != "Quay" || o.MaxRunningJobs != 20 {
		t.Errorf("%+v", o)
	}
}

var versionField = regexp.MustCompile(`name="was" value="([0-9a-f]+)"`)

func TestInitializationOnSettingsPage(t *testing.T) {
	s := newSite(t)
	s.as(signalbox.RoleAdmin)
	version := func() string {
		_, text := s.get("/settings")
		checkPage(t, text)
		m := versionField.FindStringSubmatch(text)
		if m == nil {
			t.Fatal("the form does not say what it showed")
		}
		return m[1]
	}
	first := version()
	status, _, _ := s.do("POST", "/settings/initialization", url.Values{"was": {first}, "machine_type": {"s1-init"}, "commands": {"make check\r\n\r\nmake lint\r\n"}, "secrets": {"deploy"}})
	want := signalbox.Initialization{MachineType: "s1-init", Commands: []string{"make check", "make lint"}, Secrets: []string{"deploy"}}
	if d := cmp.Diff(want, s.organization().Initialization); status != 303 || d != "" {
		t.Errorf("status %d %s", status, d)
	}
	status, _, text := s.do("POST", "/settings/initialization", url.Values{"was": {first}, "commands": {"rm " + hostile}})
	checkPage(t, text)
	if status != 409 || !strings.Contains(text, "Somebody else has changed this") || strings.Contains(text, "<script>alert") {
		t.Errorf("over another change: %d", status)
	}
	status, _, text = s.do("POST", "/settings/initialization", url.Values{"was": {version()}, "os_image": {"x"}})
	if status != 422 || !strings.Contains(text, "an os_image needs a machine_type") {
		t.Errorf("an image without a machine: %d", status)
	}
	if d := cmp.Diff(want, s.organization().Initialization); d != "" {
		t.Error(d)
	}
	if status, _, _ = s.do("POST", "/settings/initialization", url.Values{"was": {version()}}); status != 303 || len(s.organization().Initialization.Commands) != 0 {
		t.Errorf("emptied: %d", status)
	}
}
