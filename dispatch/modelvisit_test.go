package dispatch

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/attempt"
)

// modelStep says what happened; it is put into words only when something is wrong.
type modelStep struct {
	words string
	a, b  int
	deed  Deed
	act   agentapi.Action
}

func (m modelStep) String() string {
	return strings.TrimRight(fmt.Sprintf(m.words+" %s %s", m.a, m.b, m.deed, m.act), " ")
}

// modelRun is one visit of everything that can be reached.
type modelRun struct {
	*testing.T
	seen    hashes
	todo    []modelState
	parents map[uint64]modelParent // kept in a second visit, after something was wrong
	at      uint64                 // the state whose steps are taken
	problem string
}

type modelParent struct {
	state uint64
	step  modelStep
}

func (t *modelRun) failf(s *modelState, format string, args ...any) {
	if t.problem == "" {
		t.problem = fmt.Sprintf(format+"\n%s", append(args, s)...)
	}
}

// history is what led to the state whose steps are taken.
func (t *modelRun) history() (out []modelStep) {
	for p, ok := t.parents[t.at]; ok; p, ok = t.parents[p.state] {
		out = append(out, p.step)
	}
	slices.Reverse(out)
	return out
}

func (t *modelRun) step(s *modelState, what modelStep, next modelState) {
	t.changed(s, &next)
	key := maphash.Comparable(modelSeed, next)
	if !t.seen.add(key) {
		return
	}
	t.check(&next)
	if t.problem != "" {
		t.problem = what.String() + ": " + t.problem
		return
	}
	t.todo = append(t.todo, next)
	if t.parents != nil {
		t.parents[key] = modelParent{t.at, what}
	}
}

// hashes is a set of hashes. Two states of the same hash count as one: with ten million of them in 64 bits, the odds that
// any two do are one in 400,000.
type hashes struct {
	n     int
	slots []uint64
}

func (h *hashes) add(key uint64) bool {
	if 2*h.n >= len(h.slots) {
		old := h.slots
		*h = hashes{slots: make([]uint64, max(1024, 2*len(old)))}
		for _, k := range old {
			if k != 0 {
				h.add(k)
			}
		}
	}
	key |= 1
	for i := key * 0x9e3779b97f4a7c15 >> 20; ; i++ {
		switch slot := &h.slots[i&uint64(len(h.slots)-1)]; *slot {
		case key:
			return false
		case 0:
			*slot = key
			h.n++
			return true
		}
	}
}

// all visits what can be reached from a state, until something is wrong.
func (t *modelRun) all(s modelState) {
	t.todo = append(t.todo, s)
	t.seen.add(maphash.Comparable(modelSeed, s))
	for len(t.todo) > 0 && t.problem == "" {
		s := t.todo[len(t.todo)-1]
		t.todo = t.todo[:len(t.todo)-1]
		t.at = maphash.Comparable(modelSeed, s)
		t.visit(&s)
	}
}

// changed checks what may never change again.
func (t *modelRun) changed(s, next *modelState) {
	for i := range s.Jobs {
		if a, b := &s.Jobs[i], &next.Jobs[i]; modelJobStates[a.State] == signalbox.JobFinished && *a != *b {
			t.failf(next, "job %d was finished and has changed", i)
		}
	}
	for i := range s.Tries {
		a, b := s.Tries[i], next.Tries[i]
		if modelTryStates[a.State] != signalbox.AttemptEnded {
			continue
		}
		if a.Late == 0 {
			b.Late = 0
		}
		if a != b {
			t.failf(next, "attempt %d was over and has changed", i)
		}
	}
}

// check checks what must hold in every state.
func (t *modelRun) check(s *modelState) {
	for i := range s.Jobs {
		j := &s.Jobs[i]
		open := -1
		for n := range int(j.Tries) {
			if x := s.Tries[i*modelTries+n]; modelTryStates[x.State] != signalbox.AttemptEnded {
				if open >= 0 || n != int(j.Tries)-1 {
					t.failf(s, "job %d has an open attempt that is not its newest", i)
				}
				open = i*modelTries + n
			}
		}
		state := signalbox.AttemptState("")
		if open >= 0 {
			state = modelTryStates[s.Tries[open].State]
		}
		ok := false
		switch modelJobStates[j.State] {
		case signalbox.JobQueued:
			ok = open < 0
		case signalbox.JobOffered:
			ok = state == signalbox.AttemptOffered
		case signalbox.JobRunning:
			ok = state == signalbox.AttemptFetched || state == signalbox.AttemptRunning
		case signalbox.JobFinished:
			ok = open < 0 || s.Tries[open].Stop && state != signalbox.AttemptOffered
		}
		if !ok {
			t.failf(s, "job %d is %s and its attempt is %q", i, modelJobStates[j.State], state)
		}
	}
	for i := range s.Tries {
		x := &s.Tries[i]
		open := x.State > 0 && modelTryStates[x.State] != signalbox.AttemptEnded
		if open != (x.State > 0 && int(s.Rows[x.Agent].Try) == i+1) {
			t.failf(s, "attempt %d and its agent do not agree", i)
		}
	}
	for i := range s.Processes {
		if p := &s.Processes[i]; p.busy() && p.Runs > 0 && s.Tries[p.Runs-1].Sure {
			t.failf(s, "agent %d runs attempt %d, which ended because that had surely ended", i, p.Runs-1)
		}
	}
	for i, r := range s.Rows {
		if r.Gone && r.Try > 0 {
			t.failf(s, "agent %d is gone and has an attempt", i)
		}
	}
}

// reported checks a report that is about to end an attempt: it must be about what ran in that attempt.
func (t *modelRun) reported(s *modelState, try int, m *modelMessage) {
	if m.Runs != uint8(try+1) && (m.Runs > 0 || m.Result == modelPassed || m.Told > 0 && m.Told != uint8(try+1)) {
		t.failf(s, "the report %+v ends attempt %d", *m, try)
	}
}

// visit takes every step that is possible in a state.
func (t *modelRun) visit(s *modelState) {
	t.visitServer(s)
	t.visitTime(s)
	for i := range s.Flight {
		if m := s.Flight[i]; m.Kind != messageNone {
			t.visitMessage(s, i, m)
		}
	}
	for i := range s.Processes {
		t.visitProcess(s, i)
	}
}

func (t *modelRun) visitServer(s *modelState) {
	for j := range s.Jobs {
		for g := range s.Rows {
			if n := *s; n.offer(j, g) {
				if s.Rows[g].Aside {
					t.failf(&n, "agent %d is set aside and gets job %d", g, j)
				}
				t.step(s, modelStep{words: "offer job %d to %d", a: j, b: g}, n)
			}
		}
		if s.Stops > 0 && modelJobStates[s.Jobs[j].State] != signalbox.JobFinished {
			n := *s
			n.Stops--
			n.stop(j)
			t.step(s, modelStep{words: "stop job %d%.0d", a: j}, n)
		}
	}
	for i := range s.Tries {
		if modelTryStates[s.Tries[i].State] == signalbox.AttemptOffered {
			n := *s
			n.withdraw(i)
			t.step(s, modelStep{words: "take back attempt %d%.0d", a: i}, n)
		}
	}
	for g := range s.Rows {
		if s.Rows[g].Gone {
			continue
		}
		if s.GivenUp > 0 {
			n := *s
			n.GivenUp--
			t.lose(&n, g)
			t.step(s, modelStep{words: "give up agent %d%.0d", a: g}, n)
		}
		if s.Asides > 0 {
			n := *s
			n.Asides--
			n.Rows[g].Aside = !n.Rows[g].Aside
			t.step(s, modelStep{words: "set agent %d aside, or not any more%.0d", a: g}, n)
		}
		if s.Fleet > 0 {
			n := *s
			n.Fleet--
			n.Rows[g].Drain = true
			t.step(s, modelStep{words: "drain agent %d%.0d", a: g}, n)
			n = *s
			n.Fleet--
			n.Rows[g].Disabled = true
			t.step(s, modelStep{words: "disable agent %d%.0d", a: g}, n)
		}
	}
	if !s.View.On {
		return
	}
	n := *s
	v := n.View
	n.View = modelView{}
	if answer, again := n.act(t, &v); again {
		n.View = n.look(v.Message, v.Forgotten)
		t.step(s, modelStep{words: "look again%.0d%.0d"}, n)
	} else {
		t.answer(s, n, v.Message, modelStep{words: "act for agent %d%.0d:", a: int(v.Message.Agent)}, answer)
	}
	if s.Crashes > 0 {
		n := *s
		n.Crashes--
		n.deaf(int(s.View.Message.Agent))
		n.View = modelView{}
		for g := range n.Rows {
			n.Rows[g].Silent = 0 // the next one listens first
		}
		t.step(s, modelStep{words: "the server is killed%.0d%.0d"}, n)
	}
}

// answer takes the steps that follow from an answer: it arrives, or does not.
func (t *modelRun) answer(s *modelState, n modelState, m modelMessage, what modelStep, v Verdict) {
	what.deed, what.act = v.Deed, v.Action
	if !m.Awaited {
		t.step(s, what, n)
		return
	}
	if n.Losses > 0 {
		lost := n
		lost.Losses--
		lost.Processes[m.Agent].Waits = false
		t.step(s, modelStep{words: "(answer lost) " + what.words, a: what.a, b: what.b, deed: what.deed, act: what.act}, lost)
	}
	n.Processes[m.Agent].obey(&m, v)
	t.step(s, what, n)
}

func (s *modelState) stop(job int) {
	var r modelRows
	j := &s.Jobs[job]
	if j.Tries == 0 || !modelJobStates[j.State].Active() {
		s.readJob(&r, job)
		attempt.Rows{Job: &r.job}.Stop(signalbox.ReasonUser, noon)
		j.State, j.Result = place(modelJobStates, r.job.State), place(modelResults, r.job.Result)
		return
	}
	try := job*modelTries + int(j.Tries) - 1
	s.read(&r, try).Stop(signalbox.ReasonUser, noon)
	s.write(&r, try)
}

func (t *modelRun) visitMessage(s *modelState, i int, m modelMessage) {
	gone := *s
	gone.Flight[i] = modelMessage{}
	gone.sort()
	if s.Losses > 0 {
		n := gone
		n.Losses--
		if m.Awaited {
			n.Processes[m.Agent].Waits = false
		}
		t.step(s, modelStep{words: "message %d is lost%.0d", a: i}, n)
	}
	t.arrive(s, gone, m)
	if s.Copies > 0 {
		n := *s
		n.Copies--
		n.Flight[i].forsake()
		n.sort()
		t.arrive(s, n, m)
	}
}

func (t *modelRun) arrive(s *modelState, n modelState, m modelMessage) {
	p := &n.Processes[m.Agent]
	n.Rows[m.Agent].Silent = 0
	switch {
	case m.Kind == messageFetch:
		try := n.fetch(&m)
		what := modelStep{words: "agent %d fetches attempt %d", a: int(m.Agent), b: try}
		if m.Awaited && n.Losses > 0 {
			lost := n
			lost.Losses--
			lost.Processes[m.Agent].Waits = false
			t.step(s, modelStep{words: "(answer lost) " + what.words, a: what.a, b: what.b, deed: what.deed, act: what.act}, lost)
		}
		if m.Awaited {
			p.Waits = false
			if try >= 0 {
				p.Phase, p.Runs = processRuns, uint8(try+1)
			} else {
				p.ends(modelFailed, reasonMachinery)
			}
		}
		t.step(s, what, n)
		return
	case n.Rows[m.Agent].Gone: // the agent is told that nobody knows it
		if m.Awaited {
			*p = modelProcess{Phase: processLeft}
		}
		t.step(s, modelStep{words: "agent %d is unknown%.0d", a: int(m.Agent)}, n)
		return
	}
	waiting := modelAgentStates[m.State] == agentapi.StateWaitingForJobs
	what := modelStep{words: "agent %d syncs in state %d:", a: int(m.Agent), b: int(m.State)}
	for _, forgotten := range []bool{false, true} {
		if forgotten && !waiting {
			continue
		}
		whole := n
		v := whole.look(m, forgotten)
		answer, again := whole.act(t, &v)
		if again {
			t.failf(&whole, "nobody else was there, and somebody was faster")
		}
		t.answer(s, whole, m, what, answer)
		if !n.View.On && n.Halves > 0 {
			half := n
			half.Halves--
			half.View = half.look(m, forgotten)
			t.step(s, modelStep{words: "a sync of agent %d in state %d begins", a: what.a, b: what.b}, half)
		}
	}
}

func (t *modelRun) visitProcess(s *modelState, g int) {
	p := s.Processes[g]
	if p.Phase == processDown {
		n := *s
		q := &n.Processes[g]
		q.Phase, q.Disk, q.Alone = p.Disk, 0, 0
		if p.Disk == processRuns {
			q.ends(modelFailed, reasonMachinery)
		}
		if p.Disk == processWaits {
			*q = modelProcess{}
		}
		t.step(s, modelStep{words: "agent %d is back%.0d", a: g}, n)
		return
	}
	if p.Phase == processLeft {
		return
	}
	if !p.Waits {
		m := modelMessage{Kind: messageSync, Agent: uint8(g), Awaited: true}
		if p.Phase != processWaits {
			m.Job, m.Told, m.Runs, m.Reason, m.Lease = p.Job, p.Told, p.Runs, p.Reason, p.Lease
		}
		if p.Phase == processDone {
			m.Result = p.Result
		}
		if p.Phase == processStarts {
			m.Kind = messageFetch
		} else {
			m.State = p.Phase // the states are in the same order
		}
		if n := *s; n.send(m) {
			t.step(s, modelStep{words: "agent %d sends%.0d", a: g}, n)
		}
	} else if s.Losses > 0 {
		n := *s
		n.Losses--
		n.deaf(g)
		t.step(s, modelStep{words: "agent %d waits no longer%.0d", a: g}, n)
	}
	end := func(result, reason uint8) {
		n := *s
		if g == oursAgent && p.Waits {
			n.deaf(g) // it drops the request
		}
		n.Processes[g].ends(result, reason)
		t.step(s, modelStep{words: "agent %d ends with result %d", a: g, b: int(result)}, n)
	}
	switch p.Phase {
	case processStarts, processRuns:
		if p.outlived() {
			end(modelFailed, reasonLease)
		}
	}
	switch p.Phase {
	case processRuns:
		end(modelPassed, reasonNone)
		end(modelFailed, reasonNone)
	case processStops:
		end(modelStopped, reasonNone)
	}
	if s.Kills > 0 {
		n := *s
		n.Kills--
		n.deaf(g)
		q := &n.Processes[g]
		q.Disk, q.Phase, q.Alone = p.Phase, processDown, 0
		if p.Phase == processStops {
			q.Disk = processRuns
		}
		if g == officialAgent {
			*q = modelProcess{Phase: processLeft}
		}
		t.step(s, modelStep{words: "agent %d is killed%.0d", a: g}, n)
	}
}

// TestEveryOrderOfMessages visits every state that each of these lets the model reach.
func TestEveryOrderOfMessages(t *testing.T) {
	oneJob := modelState{}
	oneJob.Jobs[1] = modelJob{State: place(modelJobStates, signalbox.JobFinished), Result: modelPassed}
	with := func(s modelState, change func(*modelState)) modelState { change(&s); return s }
	for name, start := range map[string]modelState{
		"two jobs":                                          {},
		"two jobs, a slow sync":                             {Halves: 1},
		"two jobs, something is lost":                       {Losses: 1},
		"two jobs, something comes twice":                   {Copies: 1},
		"two jobs, an agent is killed":                      {Kills: 1},
		"two jobs, an agent is given up":                    {GivenUp: 1},
		"two jobs, one is stopped":                          {Stops: 1},
		"two jobs, an agent is to leave":                    {Fleet: 1},
		"one job, lost, doubled, killed, given up, stopped": with(oneJob, func(s *modelState) { s.Losses, s.Copies, s.Kills, s.GivenUp, s.Stops = 1, 1, 1, 1, 1 }),
		"one job, slow, doubled, crash, given up, to leave": with(oneJob, func(s *modelState) { s.Halves, s.Copies, s.Crashes, s.GivenUp, s.Fleet = 1, 1, 1, 1, 1 }),
		"one job, slow, lost, killed, stopped, to leave":    with(oneJob, func(s *modelState) { s.Halves, s.Losses, s.Kills, s.Stops, s.Fleet = 1, 1, 1, 1, 1 }),
		"one job, leases, lost, doubled, killed, given up": with(oneJob, func(s *modelState) {
			s.Leases, s.Losses, s.Copies, s.Kills, s.GivenUp = true, 1, 1, 1, 1
		}),
		"one job, leases, slow, lost, crash, to leave": with(oneJob, func(s *modelState) {
			s.Leases, s.Halves, s.Losses, s.Crashes, s.Fleet = true, 1, 1, 1, 1
		}),
		"two jobs, leases":                 {Leases: true},
		"two jobs, set aside":              {Asides: 2},
		"one job, slow, killed, set aside": with(oneJob, func(s *modelState) { s.Halves, s.Kills, s.Asides = 1, 1, 2 }),
	} {
		if (raceEnabled || testing.Short()) && start != (modelState{}) {
			continue // ten times slower, and nothing here is shared
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			run := &modelRun{T: t}
			run.all(start)
			if run.problem == "" {
				t.Logf("%d states in %v", run.seen.n, time.Since(begin).Round(time.Millisecond))
				return
			}
			again := &modelRun{T: t, parents: map[uint64]modelParent{}}
			again.all(start)
			t.Errorf("%s\nafter %v", again.problem, again.history())
		})
	}
}
