package sim

import (
	"context"
	"fmt"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// check holds what is stored against what the simulated processes did.
func (w *world) check(pipelines []string) {
	var jobs []*signalbox.Job
	attempts := map[string][]*signalbox.Attempt{}
	w.write(func(tx *store.Tx) error {
		jobs = nil
		for _, id := range pipelines {
			p, err := tx.Pipeline(id)
			if err != nil {
				return err
			}
			if p.Terminate != "" && p.Result == signalbox.ResultPassed {
				w.Errorf("seed %d: pipeline %s was stopped and has passed", w.seed, id)
			}
			of, err := tx.JobsOf(id)
			if err != nil {
				return err
			}
			jobs = append(jobs, of...)
		}
		for _, j := range jobs {
			all, err := tx.Attempts(j.ID)
			if err != nil {
				return err
			}
			attempts[j.ID] = all
		}
		return nil
	})
	for _, j := range jobs {
		if j.State != signalbox.JobFinished {
			w.Errorf("seed %d: job %s is %s", w.seed, j.ID, j.State)
		}
		if j.Result == signalbox.JobPassed && w.ran[j.ID+" passed"] == "" {
			w.Errorf("seed %d: job %s has passed, and nobody ran it to its end", w.seed, j.ID)
		}
		for i, a := range attempts[j.ID] {
			if a.N != i+1 {
				w.Errorf("seed %d: attempt %d of job %s comes after %d others", w.seed, a.N, j.ID, i)
			}
			w.checkLog(j, a)
		}
	}
}

// checkLog checks that the log of an attempt is the lines that its agent printed, in order, each once; of an attempt that
// passed all of them.
func (w *world) checkLog(j *signalbox.Job, a *signalbox.Attempt) {
	var text strings.Builder
	if err := w.logs.Text(context.Background(), a.ID, &text); signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return
	} else if err != nil {
		w.Errorf("seed %d: the log of attempt %s: %v", w.seed, a.ID, err)
		return
	}
	n := 0
	for line := range strings.Lines(text.String()) {
		n++
		if want := fmt.Sprintf("line %d of ", n); !strings.HasPrefix(line, want) {
			w.Errorf("seed %d: attempt %d of job %s: %q is where %q should be", w.seed, a.N, j.ID, line, want)
			return
		}
	}
}
