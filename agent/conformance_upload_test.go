package agent

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// TestConformanceUpload is the scenarios about logs as artifacts: the real program, a server in this process, and a real
// server for the artifacts. The hosted ones run in listen mode, where a server refuses what is too much with 422.
func TestConformanceUpload(t *testing.T) {
	const text = "Exporting environment variables\nExporting SEMAPHORE_ARTIFACT_TOKEN\nExporting SEMAPHORE_ORGANIZATION_URL\nInjecting Files\n"
	const end = "Exporting environment variables\nExporting SEMAPHORE_JOB_RESULT\n"
	hello := func(p *agentapi.JobPayload) { p.Commands = commands("echo hello") }
	helloText := text + "echo hello\nhello\n" + end
	for _, tt := range []struct {
		name    string
		job     func(*agentapi.JobPayload)
		flags   []string
		env     []string
		refused bool // the server takes no more of the log than the first push
		stop    bool
		want    string // of the artifact; "" is none
	}{
		{name: "docker/job_logs_as_artifact", job: inContainer("ruby:2.6", "echo hello"), flags: []string{"--upload-job-logs", "always"}, want: "echo hello\nhello\n" + end},
		{name: "hosted/job_logs_as_artifact_always", job: hello, flags: []string{"--upload-job-logs", "always"}, want: helloText},
		{name: "hosted/job_logs_as_artifact_compressed", job: func(p *agentapi.JobPayload) { p.Commands = commands("seq 1 200000") }, env: []string{"SEMAPHORE_AGENT_LOGS_COMPRESSION_SIZE=1048576"}, flags: []string{"--upload-job-logs", "always"}, want: "199999\n200000\n" + end},
		{name: "hosted/job_logs_as_artifact_default", job: hello},
		{name: "hosted/job_logs_as_artifact_never", job: hello, flags: []string{"--upload-job-logs", "never"}, refused: true},
		{name: "hosted/job_logs_as_artifact_trimmed", job: hello, flags: []string{"--upload-job-logs", "when-trimmed"}, refused: true, want: helloText},
		{name: "hosted/job_logs_as_artifact_not_trimmed", job: hello, flags: []string{"--upload-job-logs", "when-trimmed"}},
		{name: "a stopped job", job: func(p *agentapi.JobPayload) { p.Commands = commands("echo hello", "sleep 60") }, flags: []string{"--upload-job-logs", "always"}, stop: true, want: "echo hello\nhello\nsleep 60\n" + stopNote},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(tt.name, "docker/") {
				engineForTests(t)
			}
			store := newArtifactServer(t)
			h := newHub(t)
			h.payload.JobID = store.job
			h.payload.Logger.URL = h.server.URL + agentapi.LogsBase + "/" + store.job
			h.payload.EnvVars = []agentapi.EnvVar{{Name: "SEMAPHORE_ARTIFACT_TOKEN", Value: b64(store.token)}, {Name: "SEMAPHORE_ORGANIZATION_URL", Value: b64(store.url)}}
			tt.job(&h.payload)
			if tt.refused {
				h.after("log", 1, func() { h.answers["log"] = 422 })
			}
			if tt.stop {
				h.asleep(func() { h.stop = true })
			}
			cmd := agentCommand(t, h, t.TempDir(), tt.flags...)
			cmd.Env = append(cmd.Env, tt.env...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			} else if strings.Contains(string(out), store.token) {
				t.Error("the agent's log holds the token")
			}
			got := store.blobs(t)
			if tt.want == "" {
				if len(got) != 0 {
					t.Errorf("%d artifacts were pushed", len(got))
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%d artifacts were pushed", len(got))
			}
			content := got[0]
			if strings.HasSuffix(tt.name, "compressed") {
				z, err := gzip.NewReader(bytes.NewReader([]byte(content)))
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(z)
				if err != nil {
					t.Fatal(err)
				}
				content = string(b)
			}
			if !strings.HasSuffix(content, tt.want) || !strings.HasPrefix(content, "Exporting") && !strings.Contains(tt.name, "docker") {
				t.Errorf("the artifact ends in %q, not in %q", tailOf(content), tt.want)
			}
		})
	}
}

func tailOf(s string) string { return s[max(0, len(s)-1500):] }
