package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox/store"
)

func TestUsers(t *testing.T) {
	w := newWorld(t)
	ask := func(token, method, path, body string) (int, map[string]any) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, w.srv.URL+"/api/v1alpha/users"+path, strings.NewReader(body))
		w.must(err)
		r.Header.Set("Authorization", "Token "+token)
		resp, err := http.DefaultClient.Do(r)
		w.must(err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		w.must(err)
		var out map[string]any
		_ = json.Unmarshal(text, &out)
		return resp.StatusCode, out
	}
	for _, c := range []struct{ method, path, body string }{
		{"GET", "", ""}, {"POST", "", `{"name":"x","email":"x@example.com","role":"admin"}`}, {"PATCH", "/ann", `{"role":"viewer"}`}, {"POST", "/ann/link", ""},
	} {
		if status, _ := ask(w.viewer, c.method, c.path, c.body); status != http.StatusForbidden {
			t.Errorf("%s %s as a viewer: %d", c.method, c.path, status)
		}
	}
	for name, want := range map[string]int{"zoe": 200, "mei": 200, "": 400, "server": 400} {
		status, out := ask(w.token, "POST", "", `{"name":"`+name+`","email":"x@example.com","role":"member"}`)
		if link, _ := out["link"].(string); status != want || want == 200 && !strings.HasPrefix(link, w.srv.URL+"/welcome#code=") {
			t.Errorf("inviting %q: %d %v", name, status, out)
		}
	}
	for body, want := range map[string]int{
		`{}`: 400, `{"role":"viewer","disabled":true}`: 400, `{"role":"owner"}`: 400, `{"role":"viewer"}`: 200, `{"disabled":true}`: 200, `{"disabled":false}`: 200,
	} {
		if status, out := ask(w.token, "PATCH", "/mei", body); status != want {
			t.Errorf("%s: %d %v", body, status, out)
		}
	}
	if status, _ := ask(w.token, "PATCH", "/nobody", `{"disabled":true}`); status != 404 {
		t.Errorf("nobody: %d", status)
	}
	// Page by page is everybody, once.
	var all []*store.UserWithLink
	w.must(w.st.Read(context.Background(), func(tx *store.Tx) (err error) { all, err = tx.People("", 1000); return err }))
	var names []string
	for after := ""; ; {
		status, out := ask(w.token, "GET", "?page_size=1&after="+after, "")
		if status != 200 {
			t.Fatal(status, out)
		}
		for _, u := range out["users"].([]any) {
			names = append(names, u.(map[string]any)["name"].(string))
			if _, has := u.(map[string]any)["link"]; has {
				t.Error("a list shows a link")
			}
		}
		if after, _ = out["next_after"].(string); after == "" {
			break
		}
	}
	if len(names) != len(all) || len(names) < 3 {
		t.Errorf("pages have %v, there are %d", names, len(all))
	}
	if status, _ := ask(w.token, "GET", "?page_size=501", ""); status != 400 {
		t.Errorf("a large page: %d", status)
	}
}
