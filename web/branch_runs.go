package web

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// How many of a branch's last workflows lists draw, and how many the page of a project counts.
const (
	runsDrawn   = 15
	runsCounted = 50
)

// branchRuns is how the last workflows of a branch ended that have.
type branchRuns struct {
	Ended, Passed    int // Ended counts those that say something of the code
	Percent          int
	Median           string // of all that passed, "" when none did
	Green, Red, Grey string // bars as paths in a drawing of 96 by 22, the oldest left
}

// readRuns reads the last n workflows of some branches.
func readRuns(tx *store.Tx, branches []store.BranchKey, n int) (map[store.BranchKey]*branchRuns, error) {
	last, err := tx.LastOf(branches, n)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, of := range last {
		ids = append(ids, of...)
	}
	slices.Sort(ids) // so that the statement is the same each time
	pipelines, err := tx.PipelineStates(ids)
	if err != nil {
		return nil, err
	}
	out := map[store.BranchKey]*branchRuns{}
	for key, of := range last {
		var runs [][]*signalbox.Pipeline
		for _, id := range of {
			runs = append(runs, pipelines[id])
		}
		out[key] = newBranchRuns(runs, tx.Now)
	}
	return out, nil
}

// newBranchRuns looks at the pipelines of workflows, the oldest workflow first.
func newBranchRuns(runs [][]*signalbox.Pipeline, now time.Time) *branchRuns {
	type run struct {
		lamp Lamp
		took time.Duration
	}
	var all []run
	longest := time.Duration(1)
	var passed []time.Duration
	r := &branchRuns{}
	for _, pipelines := range runs {
		if len(pipelines) == 0 || slices.ContainsFunc(pipelines, func(p *signalbox.Pipeline) bool { return p.State != signalbox.PipelineDone }) {
			continue
		}
		begin, end := pipelinesSpan(pipelines)
		one := run{workflowLamp(pipelines), spanOf(begin, end, now)}
		switch one.lamp {
		case lampPassed:
			passed = append(passed, one.took)
			r.Passed++
			r.Ended++
		case lampFailed, lampTimedOut:
			r.Ended++
		}
		longest = max(longest, one.took)
		all = append(all, one)
	}
	if r.Ended > 0 {
		r.Percent = r.Passed * 100 / r.Ended
	}
	if len(passed) > 0 {
		r.Median = clock(median(passed))
	}
	all = all[max(0, len(all)-runsDrawn):]
	var green, red, grey strings.Builder
	for i, one := range all {
		to := &grey
		switch one.lamp {
		case lampPassed:
			to = &green
		case lampFailed, lampTimedOut:
			to = &red
		}
		high := 5 + int(math.Round(17*float64(max(0, one.took))/float64(longest)))
		fmt.Fprintf(to, "M%d.5 22v-%dh4v%dz", i*6+3, high, high)
	}
	r.Green, r.Red, r.Grey = green.String(), red.String(), grey.String()
	return r
}

// Words say what the bars show.
func (r *branchRuns) Words() string {
	return strconv.Itoa(r.Passed) + " of " + strconv.Itoa(r.Ended) + " passed"
}
