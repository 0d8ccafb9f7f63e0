package artifact_test

import (
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/artifact"
)

func TestContentForTheServerItself(t *testing.T) {
	w := newWorld(t)
	path := "artifacts/workflows/" + w.flow.ID + "/compilation/x.yml"
	w.push(0, path, "name: x")
	blobs, err := artifact.OpenFolder(w.dir+"/artifacts", strings.TrimSpace(w.owner()))
	w.must(err)
	a, err := artifact.New(artifact.Options{Store: w.st, Keys: w.keys, Blobs: blobs})
	w.must(err)
	read := func(name, job string, limit int64) (string, error) {
		data, err := a.Content(t.Context(), signalbox.ArtifactsOfWorkflow, w.flow.ID, name, job, limit)
		return string(data), err
	}
	if text, err := read("compilation/x.yml", w.jobs[0].ID, 7); err != nil || text != "name: x" {
		t.Errorf("%q, %v", text, err)
	}
	for what, err := range map[string]error{
		"another job's":  second(read("compilation/x.yml", w.jobs[1].ID, 7)),
		"too long":       second(read("compilation/x.yml", w.jobs[0].ID, 6)),
		"one that isn't": second(read("compilation/y.yml", w.jobs[0].ID, 7)),
	} {
		if signalbox.ErrorCode(err) != signalbox.CodeNotFound || strings.Contains(err.Error(), "name: x") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second(_ string, err error) error { return err }
