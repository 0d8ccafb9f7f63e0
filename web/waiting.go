package web

import (
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/queue"
	"github.com/signalbox-ci/signalbox/store"
)

// waitingView is what a page says of a job that waits for an agent.
type waitingView struct {
	Text     string
	Blocked  bool
	Place    string
	Agents   string
	Held     []string
	Almost   []queue.Almost
	Problems []queue.Almost // of agents that can take it
	Expected *Moment
}

// readWaiting asks the dispatcher why a queued job waits; nil when it does not.
func readWaiting(tx *store.Tx, j *signalbox.Job, started time.Time) (*waitingView, error) {
	if j.State != signalbox.JobQueued {
		return nil, nil
	}
	e, err := queue.ExplainJob(tx, j, started)
	if err != nil {
		return nil, err
	}
	v := &waitingView{
		Text: clip(e.Text, 400), Blocked: e.Blocked, Place: strconv.Itoa(e.Position) + " of " + strconv.Itoa(e.Queued),
	}
	if e.Expected.After(tx.Now) {
		v.Expected = moment(e.Expected, tx.Now)
	}
	var agents []string
	for _, c := range []struct {
		n    int
		word string
	}{{e.Agents.Free, "free"}, {e.Agents.Busy, "busy"}, {e.Agents.Draining, "draining"}, {e.Agents.Disabled, "disabled"}, {e.Agents.Aside, "in quarantine"}, {e.Agents.Suspect, "silent"}, {e.Agents.Coming, "to come back"}} {
		if c.n > 0 {
			agents = append(agents, strconv.Itoa(c.n)+" "+c.word)
		}
	}
	if v.Agents = strings.Join(agents, ", "); v.Agents == "" {
		v.Agents = "none"
	}
	for _, l := range e.HeldBy {
		v.Held = append(v.Held, clip(l.String(), 200))
	}
	for _, a := range e.Problems {
		v.Problems = append(v.Problems, queue.Almost{Agent: clip(a.Agent, 80), Missing: a.Missing})
	}
	for _, a := range e.Almost {
		v.Almost = append(v.Almost, queue.Almost{Agent: clip(a.Agent, 80), Missing: a.Missing})
	}
	return v, nil
}
