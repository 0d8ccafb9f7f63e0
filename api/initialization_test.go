package api_test

import (
	"strings"
	"testing"
)

func TestInitializationSettings(t *testing.T) {
	w := newWorld(t)
	w.fill()
	const org, project = "/api/v1alpha/initialization", "/api/v1alpha/projects/demo/initialization"
	for _, path := range []string{org, project} {
		if m := w.expect(200, w.call("GET", path, "")).(map[string]any); m["machine_type"] != "" || len(m["commands"].([]any)) != 0 {
			t.Errorf("%s at first: %v", path, m)
		}
		w.expect(200, w.call("PUT", path, `{"machine_type":"s1-init","commands":["true"],"secrets":["a"]}`))
		m := w.expect(200, w.call("GET", path, "")).(map[string]any)
		if m["machine_type"] != "s1-init" || m["commands"].([]any)[0] != "true" || m["secrets"].([]any)[0] != "a" {
			t.Errorf("%s afterwards: %v", path, m)
		}
		if a := w.call("PUT", path, `{"os_image":"x"}`); a.status != 400 && a.status != 422 || !strings.Contains(a.body, "needs a machine_type") {
			t.Errorf("%s with an image only: %d %s", path, a.status, a.body)
		}
	}
	if a := w.call("PUT", "/api/v1alpha/projects/nope/initialization", `{}`); a.status != 404 {
		t.Errorf("of no project: %d", a.status)
	}
}
