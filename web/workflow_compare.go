package web

import (
	"strconv"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// comparison is what differs between a pipeline and the last one of the same file that passed or failed on the branch before it.
type comparison struct {
	URL, Number              string // of the workflow before
	Failing, Passing         []jobView
	MoreFailing, MorePassing int    // that are not listed
	Took                     string // how much longer or shorter, "" when that is nothing to speak of
}

// jobName is what a job is called in a pipeline, as pages show it.
type jobName struct{ block, job string }

// comparedMost is how many jobs a comparison names, and comparedBack how many workflows it looks back.
const (
	comparedMost = 5
	comparedBack = 10
)

// compareJobs finds the jobs that failed now and passed before, and the other way round. Jobs are the same when block and name are; what
// the machinery failed says nothing of the code.
func compareJobs(now []blockView, before map[jobName]Lamp) (failing, passing []jobView) {
	for _, b := range now {
		for _, j := range b.Jobs {
			was, there := before[jobName{b.Name, j.Name}]
			if !there {
				continue
			}
			switch turnOf(calm(j.Lamp), calm(was)) {
			case &turnBroke:
				failing = append(failing, j)
			case &turnFixed:
				passing = append(passing, j)
			}
		}
	}
	return failing, passing
}

// calm takes a job that was taken over for one that passed, which it did.
func calm(l Lamp) Lamp {
	if l == lampReused {
		return lampPassed
	}
	return l
}

// tookLonger says how much longer or shorter something took; less than five seconds, or a tenth, is nothing to speak of.
func tookLonger(now, before time.Duration) string {
	by := now - before
	switch {
	case before <= 0 || now <= 0 || by.Abs() < 5*time.Second || by.Abs() < before/10:
		return ""
	case by < 0:
		return clock(-by) + " shorter"
	}
	return clock(by) + " longer"
}

// readComparison compares the pipeline that is looked at with the one before it, when there is one.
func readComparison(tx *store.Tx, b *workflowBody) error {
	wf, p := b.Workflow, b.Current
	if p == nil || p.Total == 0 || wf.RefType == "tag" {
		return nil
	}
	list, err := tx.Workflows(store.WorkflowFilter{ProjectID: wf.ProjectID, BranchName: wf.BranchName, After: placeOf(wf), Limit: comparedBack})
	if err != nil || len(list) == 0 {
		return err
	}
	ids := make([]string, len(list))
	for i, w := range list {
		ids[i] = w.ID
	}
	pipelines, err := tx.PipelineStates(ids)
	if err != nil {
		return err
	}
	for _, w := range list {
		for _, past := range standing(pipelines[w.ID]) {
			if past.File == p.file && past.State == signalbox.PipelineDone && (past.Result == signalbox.ResultPassed || past.Result == signalbox.ResultFailed) {
				return b.compare(tx, w, past)
			}
		}
	}
	return nil
}

func (b *workflowBody) compare(tx *store.Tx, with *signalbox.Workflow, past *signalbox.Pipeline) error {
	jobs, err := pastJobs(tx, past.ID)
	if err != nil {
		return err
	}
	c := &comparison{URL: workflowURL(past.WorkflowID, past.ID), Number: "#" + strconv.Itoa(with.Number)}
	c.Failing, c.Passing = compareJobs(b.Current.Blocks, jobs)
	if b.Current.Passed && past.Result == signalbox.ResultPassed {
		c.Took = tookLonger(b.Current.ended.Sub(b.Current.began), past.DoneAt.Sub(past.RunningAt))
	}
	c.Failing, c.MoreFailing = cut(c.Failing)
	c.Passing, c.MorePassing = cut(c.Passing)
	if len(c.Failing)+len(c.Passing) > 0 || c.Took != "" {
		b.Compared = c
	}
	return nil
}

// pastJobs are the lamps of the jobs of a pipeline that is over, by the names of block and job.
func pastJobs(tx *store.Tx, pipelineID string) (map[jobName]Lamp, error) {
	blocks, err := tx.Blocks(pipelineID)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, b := range blocks {
		names[b.ID] = b.Name
	}
	jobs, err := tx.JobsOf(pipelineID)
	out := map[jobName]Lamp{}
	for _, j := range jobs {
		if block, there := names[j.BlockID]; there { // what stands beside the blocks of the file is not compared
			out[jobName{clip(block, 120), clip(j.Name, 120)}] = jobLamp(j, false)
		}
	}
	return out, err
}

func cut(jobs []jobView) ([]jobView, int) {
	n := min(len(jobs), comparedMost)
	return jobs[:n], len(jobs) - n
}
