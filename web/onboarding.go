package web

import (
	"github.com/signalbox-ci/signalbox/store"
)

// stepsView is the way from nothing to a green pipeline, above the pages that lead along it.
type stepsView struct {
	Steps []stepView
}

type stepView struct {
	N       int
	Name    string
	Done    bool
	Current bool
}

// newSteps is nil once the way has been gone.
func newSteps(p store.Progress, current int) *stepsView {
	if p.Agent && p.Project && p.Passed {
		return nil
	}
	v := &stepsView{}
	for i, s := range []stepView{
		{Name: "Your account", Done: true}, {Name: "Connect an agent", Done: p.Agent}, {Name: "Add a project", Done: p.Project}, {Name: "First green pipeline", Done: p.Passed},
	} {
		s.N = i + 1
		s.Current = s.N == current
		v.Steps = append(v.Steps, s)
	}
	return v
}
