package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestArtifactPush holds what scripts see of the command: exit codes, messages, and the names on the server.
func TestArtifactPush(t *testing.T) {
	var asked []map[string]any
	stored, taken := map[string]string{}, false
	var base string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.Method == http.MethodPost && r.Header.Get("Authorization") == "TOKEN":
			var in map[string]any
			_ = json.Unmarshal(body, &in)
			asked = append(asked, in)
			path := in["paths"].([]any)[0].(string)
			urls := []map[string]string{{"url": base + "/o/" + path, "method": "HEAD"}, {"url": base + "/o/" + path, "method": "PUT"}}
			if in["type"] != nil {
				urls = urls[1:]
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"urls": urls})
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusForbidden)
		case r.Method == http.MethodHead && !taken:
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodPut:
			stored[strings.TrimPrefix(r.URL.Path, "/o/")] = string(body)
		}
	}))
	defer srv.Close()
	base = srv.URL
	for name, value := range map[string]string{
		"SEMAPHORE_ARTIFACT_TOKEN": "TOKEN", "SEMAPHORE_ORGANIZATION_URL": srv.URL, "SEMAPHORE_JOB_ID": "j", "SEMAPHORE_WORKFLOW_ID": "w",
		"SEMAPHORE_PROJECT_ID": "", "SIGNALBOX_CA_FILE": "",
	} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	small, large := file(t, "hello\n", dir, "sub", "a.txt"), file(t, strings.Repeat("x", 1700), dir, "b.txt")
	for _, tt := range []struct {
		args  []string
		taken bool
		code  int
		says  string
		at    string
	}{
		{args: []string{"job", small}, says: "Pushed 1 file. Total of 6 B", at: "artifacts/jobs/j/a.txt"},
		{args: []string{"workflow", large, "-d", "/x/../../.y/b.yml"}, says: "Pushed 1 file. Total of 1.7 KB", at: "artifacts/workflows/w/.y/b.yml"},
		{args: []string{"job", small}, taken: true, code: 1, says: "'artifacts/jobs/j/a.txt' already exists in the remote storage; delete it first, or use --force flag"},
		{args: []string{"job", small, "--force"}, taken: true, says: "Pushed 1 file", at: "artifacts/jobs/j/a.txt"},
		{args: []string{"project", small, "-p", "p"}, says: "Pushed 1 file", at: "artifacts/projects/p/a.txt"},
		{args: []string{"project", small}, code: 1, says: "SEMAPHORE_PROJECT_ID is not set"},
		{args: []string{"job", dir + "/nothing"}, code: 1, says: "path '" + dir + "/nothing' does not exist locally"},
		{args: []string{"job", dir}, code: 1, says: "is no file; this command pushes single files"},
		{args: []string{"branch", small}, code: 1, says: "must be one of"},
	} {
		clear(stored)
		taken = tt.taken
		code, _, said := tool(t, append([]string{"artifact", "push"}, tt.args...)...)
		if code != tt.code || !strings.Contains(said, tt.says) || strings.Contains(said, "TOKEN") && tt.code != 1 {
			t.Errorf("%v: exit code %d, said %q", tt.args, code, said)
		}
		if _, ok := stored[tt.at]; ok != (tt.at != "") || len(stored) > 1 {
			t.Errorf("%v stored %v", tt.args, stored)
		}
	}
	t.Setenv("SEMAPHORE_ARTIFACT_TOKEN", "WRONG")
	if code, _, said := tool(t, "artifact", "push", "job", small); code != 1 || !strings.Contains(said, "403") || strings.Contains(said, "WRONG") {
		t.Errorf("refused: exit code %d, said %q", code, said)
	}
	t.Setenv("SEMAPHORE_ARTIFACT_TOKEN", "")
	if code, _, said := tool(t, "artifact", "push", "job", small); code != 1 || !strings.Contains(said, "SEMAPHORE_ARTIFACT_TOKEN is not set") {
		t.Errorf("outside of a job: exit code %d, said %q", code, said)
	}
}
