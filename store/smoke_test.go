package store

import (
	"context"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

func TestOpen(t *testing.T) {
	s, err := Open(context.Background(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := &signalbox.Project{Name: "x", GitURL: "u", PipelineFile: "p"}
	if err := s.Write(context.Background(), func(tx *Tx) error { return tx.CreateProject(p, "me") }); err != nil {
		t.Fatal(err)
	}
	if err := s.Read(context.Background(), func(tx *Tx) error { q, err := tx.FindProject("x"); t.Log(q); return err }); err != nil {
		t.Fatal(err)
	}
}
