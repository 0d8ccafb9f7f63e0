package dispatch

import (
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/attempt"
)

// outlived tells whether the lease of a process is over: what it runs ends before the next tick.
func (p *modelProcess) outlived() bool { return p.Lease && p.Alone > 0 }

// busy tells whether something of a job may run.
func (p *modelProcess) busy() bool { return p.Phase == processRuns || p.Phase == processStops }

// ends makes a process one that reports a result, for which a lease means nothing any more.
func (p *modelProcess) ends(result, reason uint8) {
	p.Phase, p.Result, p.Reason, p.Alone = processDone, result, reason, 0
}

// visitTime lets time go by, and agents be given up because of it.
func (t *modelRun) visitTime(s *modelState) {
	if !s.Leases {
		return
	}
	if n := *s; n.tick() && n != *s {
		t.step(s, modelStep{words: "time goes by%.0d%.0d"}, n)
	}
	for g := range s.Rows {
		if row := &s.Rows[g]; !row.Gone && row.Try > 0 && s.overdue(g) {
			n := *s
			t.lose(&n, g)
			t.step(s, modelStep{words: "the time of agent %d is up%.0d", a: g}, n)
		}
	}
}

// tick makes everything a tick older. It returns false when an agent has to end its job before that.
func (s *modelState) tick() bool {
	older := func(age *uint8) { *age = min(*age+1, modelAges) }
	for g := range s.Processes {
		p := &s.Processes[g]
		if !p.Lease || p.Phase != processStarts && !p.busy() {
			continue
		}
		if p.outlived() {
			return false
		}
		older(&p.Alone)
	}
	for g := range s.Rows {
		if row := &s.Rows[g]; row.Try > 0 && s.Tries[row.Try-1].Lease {
			older(&row.Silent)
		}
	}
	for _, m := range []*modelMessage{&s.Flight[0], &s.Flight[1], &s.View.Message} {
		if m.Awaited && m.Agent == oursAgent && m.Kind == messageSync && modelAgentStates[m.State] != agentapi.StateFinishedJob {
			older(&m.Age)
		}
	}
	s.sort()
	return true
}

// overdue asks the program whether a lease is the reason to give an agent up.
func (s *modelState) overdue(agent int) bool {
	var r modelRows
	row := &s.Rows[agent]
	s.readAgent(&r, agent, row)
	t := &s.Tries[row.Try-1]
	return t.Lease && overdue(&r.agent, nil, span(t.Lease), noon, noon.Add(s.silence(agent)), Timing{}.withDefaults())
}

func (s *modelState) silence(agent int) time.Duration {
	return time.Duration(s.Rows[agent].Silent) * modelTick
}

// lose is what the sweep does with an agent that was silent for too long, and what deleting one does.
func (t *modelRun) lose(s *modelState, agent int) {
	if row := s.Rows[agent]; row.Try > 0 {
		try := int(row.Try) - 1
		job := try / modelTries
		if modelTryStates[s.Tries[try].State] == signalbox.AttemptOffered {
			s.withdraw(try)
		} else {
			kept := s.Tries[try].Lease && row.Silent == modelAges
			end := attempt.End{Result: signalbox.JobFailed, Reason: signalbox.ReasonAgentLost}
			end.Surely = leaseOver(span(s.Tries[try].Lease), s.silence(agent))
			s.finish(try, end)
			if asks := job == 0 && !s.Leases; !asks && !kept && modelJobStates[s.Jobs[job].State] == signalbox.JobQueued {
				t.failf(s, "job %d is queued again, though its agent may go on with it", job)
			}
		}
	}
	s.Rows[agent].Gone = true
}
