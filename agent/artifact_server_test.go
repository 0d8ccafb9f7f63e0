package agent

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/server"
	storage "github.com/signalbox-ci/signalbox/store"
)

// artifactServer is a real server that has one running job, whose token may push artifacts.
type artifactServer struct{ url, job, token, dir string }

// blobs reads everything that was pushed.
func (a artifactServer) blobs(t *testing.T) (out []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(a.dir, "artifacts", "blobs", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}

func newArtifactServer(t *testing.T) artifactServer {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := server.New(ctx, server.Options{Dir: dir, Listen: "127.0.0.1:0", Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	})
	keys, err := auth.OpenKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := &signalbox.Project{Name: "demo", GitURL: "u", PipelineFile: "f"}
	w := &signalbox.Workflow{Ref: "refs/heads/main", RefType: "branch", BranchName: "main", TriggeredBy: signalbox.TriggeredByAPI, RequestToken: "x"}
	l := &signalbox.Pipeline{Name: "p", File: "f", QueueKey: "q", State: signalbox.PipelineDone}
	b := &signalbox.Block{Name: "b", State: signalbox.BlockRunning}
	j := &signalbox.Job{Name: "j", AgentType: "s1-x", State: signalbox.JobRunning}
	a := &signalbox.Attempt{N: 1, AgentID: "agent", State: signalbox.AttemptRunning}
	if err := s.Store().Write(ctx, func(tx *storage.Tx) error {
		if err := tx.CreateProject(p, "test"); err != nil {
			return err
		}
		w.ProjectID = p.ID
		if _, _, err := tx.CreateWorkflow(w, "test"); err != nil {
			return err
		}
		l.ProjectID, l.WorkflowID = p.ID, w.ID
		if err := tx.CreatePipeline(l, "test"); err != nil {
			return err
		}
		b.PipelineID = l.ID
		if err := tx.CreateBlock(b); err != nil {
			return err
		}
		j.BlockID, j.PipelineID, j.WorkflowID, j.ProjectID = b.ID, l.ID, w.ID, p.ID
		if err := tx.CreateJob(j, "test"); err != nil {
			return err
		}
		a.JobID = j.ID
		return tx.CreateAttempt(a, "test")
	}); err != nil {
		t.Fatal(err)
	}
	return artifactServer{url: s.URL(), job: j.ID, token: keys.AttemptToken(auth.AttemptArtifact, a.ID, 0), dir: dir}
}

func TestPushArtifactToAServer(t *testing.T) {
	s := newArtifactServer(t)
	hc := &http.Client{Transport: &http.Transport{}}
	defer hc.CloseIdleConnections()
	path := "artifacts/jobs/" + s.job + "/agent/job_logs.txt"
	content := strings.Repeat("a line of the log\n", 100_000)
	push := func(token string) error {
		return PushArtifact(t.Context(), hc, ArtifactTarget{URL: s.url, Token: token, Path: path}, int64(len(content)), func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(content)), nil
		})
	}
	if err := push(s.token + "x"); status(err) != http.StatusUnauthorized {
		t.Errorf("another token: %v", err)
	}
	if err := push(s.token); err != nil {
		t.Fatal(err)
	}
	var exists *artifactExistsError
	if err := push(s.token); !errors.As(err, &exists) {
		t.Errorf("again: %v", err)
	}
	if got := s.blobs(t); len(got) != 1 || got[0] != content {
		t.Errorf("%d files were stored", len(got))
	}
}
