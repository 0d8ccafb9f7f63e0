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

func TestPushArtifactToAServer(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := server.New(ctx, server.Options{Dir: dir, Listen: "127.0.0.1:0", Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	hc := &http.Client{Transport: &http.Transport{}}
	defer func() {
		hc.CloseIdleConnections()
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	}()
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
	path, token := "artifacts/jobs/"+j.ID+"/agent/job_logs.txt", keys.AttemptToken(auth.AttemptArtifact, a.ID, 0)
	content := strings.Repeat("a line of the log\n", 100_000)
	push := func(token string) error {
		return pushArtifact(ctx, hc, s.URL(), token, path, int64(len(content)), func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(content)), nil
		})
	}
	if err := push(token + "x"); status(err) != http.StatusUnauthorized {
		t.Errorf("another token: %v", err)
	}
	if err := push(token); err != nil {
		t.Fatal(err)
	}
	var exists *artifactExistsError
	if err := push(token); !errors.As(err, &exists) {
		t.Errorf("again: %v", err)
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "artifacts", "blobs", "*", "*"))
	if err != nil || len(blobs) != 1 {
		t.Fatalf("%v, %v", blobs, err)
	}
	if got, err := os.ReadFile(blobs[0]); err != nil || string(got) != content {
		t.Errorf("%d bytes were stored, %v", len(got), err)
	}
}
