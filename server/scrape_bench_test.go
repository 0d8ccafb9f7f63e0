package server

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// BenchmarkScrape measures one scrape, and one question of an autoscaler, with 1,000 agents and 100,000 queued jobs of 20
// projects in an embedded database.
func BenchmarkScrape(b *testing.B) {
	s, err := New(b.Context(), Options{Dir: b.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	registration, hash := auth.NewToken(auth.TokenRegistration)
	viewer, viewerHash := auth.NewToken(auth.TokenAPI)
	write := func(fn func(*store.Tx) error) {
		b.Helper()
		if err := s.store.Write(b.Context(), fn); err != nil {
			b.Fatal(err)
		}
	}
	var types []*signalbox.AgentType
	write(func(tx *store.Tx) error {
		types = nil
		for i := range 5 {
			typ := &signalbox.AgentType{Name: fmt.Sprintf("s1-type-%d", i)}
			if err := tx.CreateAgentType(typ, "test"); err != nil {
				return err
			}
			types = append(types, typ)
		}
		for i := range 1000 {
			typ := types[i%len(types)]
			name := fmt.Sprintf("agent-%d", i)
			if err := tx.CreateAgent(&signalbox.Agent{AgentTypeID: typ.ID, AgentType: typ.Name, Name: name, State: signalbox.AgentRegistered}, name); err != nil {
				return err
			}
		}
		u := &signalbox.User{Name: "prometheus", Role: signalbox.RoleViewer}
		if err := tx.CreateUser(u); err != nil {
			return err
		}
		if err := tx.CreateAPIToken(&signalbox.APIToken{UserID: u.ID, Name: "test"}, viewerHash, "test"); err != nil {
			return err
		}
		return tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: types[0].ID, Name: "first"}, hash, "test")
	})
	for p := range 20 {
		write(func(tx *store.Tx) error {
			project := &signalbox.Project{Name: fmt.Sprintf("p%d", p), GitURL: "/srv/p.git", DefaultBranch: "main", PipelineFile: "p.yml"}
			if err := tx.CreateProject(project, "test"); err != nil {
				return err
			}
			w, _, err := tx.CreateWorkflow(&signalbox.Workflow{ProjectID: project.ID, Ref: "refs/heads/main", RefType: "branch", RequestToken: "x"}, "test")
			if err != nil {
				return err
			}
			ppl := &signalbox.Pipeline{WorkflowID: w.ID, ProjectID: project.ID, State: signalbox.PipelineRunning}
			if err := tx.CreatePipeline(ppl, "test"); err != nil {
				return err
			}
			block := &signalbox.Block{PipelineID: ppl.ID, State: signalbox.BlockRunning}
			if err := tx.CreateBlock(block); err != nil {
				return err
			}
			for i := range 5000 {
				if err := tx.CreateJob(&signalbox.Job{
					BlockID: block.ID, PipelineID: ppl.ID, WorkflowID: w.ID, ProjectID: project.ID, Index: i, AgentType: types[i%len(types)].Name,
					Priority: 50, State: signalbox.JobQueued,
				}, "test"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for _, c := range []struct{ name, path, token string }{
		{"prometheus", "/metrics", viewer}, {"autoscaler", agentapi.Base + agentapi.PathMetrics, registration},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, c.path, nil)
				r.Header.Set("Authorization", "Token "+c.token)
				w := httptest.NewRecorder()
				s.handler.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatalf("%d %s", w.Code, w.Body)
				}
				if _, err := io.Copy(io.Discard, w.Body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
