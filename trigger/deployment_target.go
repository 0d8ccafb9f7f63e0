package trigger

import (
	"context"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// compileFile is Compile with the deployment targets that the project has now.
func (t *Trigger) compileFile(ctx context.Context, repo Repository, project *signalbox.Project, w *signalbox.Workflow, p *signalbox.Pipeline, src engine.Source) (engine.Compiled, error) {
	names := map[string]bool{}
	if err := t.o.Store.Read(ctx, func(tx *store.Tx) error {
		all, err := tx.DeploymentTargets(project.ID)
		for _, d := range all {
			names[d.Name] = true
		}
		return err
	}); err != nil {
		return engine.Compiled{}, err
	}
	src.Build.Target = func(name string) bool { return names[name] }
	return Compile(ctx, repo, project, w, p, src)
}
