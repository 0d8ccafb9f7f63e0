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

// The model is two jobs, two agents and what is on the way between them and the server. What the server does is what the
// program does: Decide, and the functions of package attempt on the same rows. The rest is small enough to visit every
// state: messages that are lost, late, doubled and overtaken, a server that dies between reading and writing, agents that
// die and come back, jobs that are stopped, agents that are drained, disabled, given up as lost.

const (
	modelJobs   = 2
	modelTries  = 2 // attempts of one job at most; an offer that would be one more is not made
	modelAgents = 2
	modelFlight = 2 // messages on the way at most
)

// The agent of number 0 is ours: it repeats which try of a job it speaks of, and a process that was killed is followed by
// the same agent. The agent of number 1 is an official one, and leaves after one job.
const oursAgent, officialAgent = 0, 1

type (
	modelJob struct {
		State, Result, Tries, Retries uint8
	}
	modelTry struct {
		State, Result, Late, Agent uint8
		Stop                       bool
	}
	modelRow struct { // what the server has stored of an agent
		Try                   uint8 // 1 + its attempt, 0 is none
		Gone, Drain, Disabled bool
	}
	modelProcess struct {
		Phase, Job, Result uint8
		Told               uint8 // 1 + the attempt that it was told of, if it remembers such things
		Runs               uint8 // 1 + the attempt whose payload it has; nobody but the test looks
		Disk               uint8 // what a process that was killed has left
		Broken             bool  // the result is that of the machinery
		Waits              bool  // for the answer to a message
	}
	modelMessage struct {
		Kind, Agent, State, Job, Result, Told, Runs uint8
		Failed                                      bool // the result is that of the machinery
		Awaited                                     bool
	}
	modelView struct { // a sync between its decision and its deed
		Message   modelMessage
		Row       modelRow
		Try       modelTry
		Forgotten bool
		On        bool
	}
	modelState struct {
		Jobs      [modelJobs]modelJob
		Tries     [modelJobs * modelTries]modelTry
		Rows      [modelAgents]modelRow
		Processes [modelAgents]modelProcess
		Flight    [modelFlight]modelMessage
		View      modelView
		// What may still go wrong, or be done by people.
		Halves, Losses, Copies, Kills, Crashes, GivenUp, Stops, Fleet uint8
	}
)

const ( // modelProcess.Phase
	processWaits uint8 = iota
	processStarts
	processRuns
	processStops
	processDone
	processDown
	processLeft
)

const ( // modelMessage.Kind
	messageNone uint8 = iota
	messageSync
	messageFetch
)

var (
	modelJobStates   = []signalbox.JobState{signalbox.JobQueued, signalbox.JobOffered, signalbox.JobRunning, signalbox.JobFinished}
	modelTryStates   = []signalbox.AttemptState{"", signalbox.AttemptOffered, signalbox.AttemptFetched, signalbox.AttemptRunning, signalbox.AttemptEnded}
	modelResults     = []signalbox.JobResult{"", signalbox.JobPassed, signalbox.JobFailed, signalbox.JobStopped}
	modelAgentStates = []agentapi.AgentState{agentapi.StateWaitingForJobs, agentapi.StateStartingJob, agentapi.StateRunningJob, agentapi.StateStoppingJob, agentapi.StateFinishedJob}
	modelIDs         = []string{"0", "1", "2", "3"}
	modelRetry       = &signalbox.Retry{On: []signalbox.Reason{signalbox.ReasonAgentLost, signalbox.ReasonAgentRestarted, signalbox.ReasonStartFailed}, Limit: 1}
	modelSeed        = maphash.MakeSeed()
)

const modelPassed, modelFailed, modelStopped = 1, 2, 3

func place[T comparable](list []T, v T) uint8 {
	for i, x := range list {
		if x == v {
			return uint8(i)
		}
	}
	panic(fmt.Sprintf("%v is none of %v", v, list))
}

func flag(yes bool) (t time.Time) {
	if yes {
		t = noon
	}
	return t
}

// rows are the rows of a try as the program has them.
type modelRows struct {
	job   signalbox.Job
	try   signalbox.Attempt
	agent signalbox.Agent
}

func (s *modelState) read(r *modelRows, try int) attempt.Rows {
	t := &s.Tries[try]
	s.readJob(r, try/modelTries)
	r.try = s.attempt(try, t)
	s.readAgent(r, int(t.Agent), &s.Rows[t.Agent])
	return attempt.Rows{Job: &r.job, Attempt: &r.try, Agent: &r.agent}
}

func (s *modelState) attempt(try int, t *modelTry) signalbox.Attempt {
	return signalbox.Attempt{
		ID: modelIDs[try], JobID: modelIDs[try/modelTries], N: try%modelTries + 1, AgentID: modelIDs[t.Agent], State: modelTryStates[t.State],
		Result: modelResults[t.Result], LateResult: modelResults[t.Late], StopRequestedAt: flag(t.Stop),
	}
}

func (s *modelState) readJob(r *modelRows, job int) {
	j := &s.Jobs[job]
	r.job.ID, r.job.State, r.job.Result, r.job.AttemptN, r.job.Retries = modelIDs[job], modelJobStates[j.State], modelResults[j.Result], int(j.Tries), int(j.Retries)
	r.job.AttemptID, r.job.Spec.Retry = "", nil
	if j.Tries > 0 {
		r.job.AttemptID = modelIDs[job*modelTries+int(j.Tries)-1]
	}
	if job == 0 { // the other is never run again by itself
		r.job.Spec.Retry = modelRetry
	}
}

func (s *modelState) readAgent(r *modelRows, agent int, row *modelRow) {
	a := &r.agent
	a.ID, a.State, a.SingleJob = modelIDs[agent], signalbox.AgentRegistered, agent == officialAgent
	a.AttemptID, a.JobID = "", ""
	if row.Try > 0 {
		a.AttemptID, a.JobID = modelIDs[row.Try-1], modelIDs[int(row.Try-1)/modelTries]
	}
	a.GoneAt, a.DrainAt, a.DisabledAt, a.IdleTimeout = flag(row.Gone), flag(row.Drain), flag(row.Disabled), time.Minute
}

func (s *modelState) write(r *modelRows, try int) {
	j := &s.Jobs[try/modelTries]
	j.State, j.Result = place(modelJobStates, r.job.State), place(modelResults, r.job.Result)
	j.Tries, j.Retries = uint8(r.job.AttemptN), uint8(r.job.Retries)
	t := &s.Tries[try]
	agent := t.Agent
	t.State, t.Result, t.Late, t.Stop = place(modelTryStates, r.try.State), place(modelResults, r.try.Result), place(modelResults, r.try.LateResult), !r.try.StopRequestedAt.IsZero()
	row := &s.Rows[agent]
	row.Try, row.Drain = 0, !r.agent.DrainAt.IsZero()
	if r.agent.AttemptID != "" {
		row.Try = 1 + r.agent.AttemptID[0] - '0'
	}
}

// finish is Engine.Finish without the pipeline.
func (s *modelState) finish(try int, e attempt.End) {
	var r modelRows
	s.read(&r, try).Finish(e, noon)
	s.write(&r, try)
}

func (s *modelState) withdraw(try int) {
	var r modelRows
	s.read(&r, try).Withdraw("", noon)
	s.write(&r, try)
}

// offer is what the matcher does with a queued job and an agent that waits; it returns false when it would not.
func (s *modelState) offer(job, agent int) bool {
	var r modelRows
	j := &s.Jobs[job]
	s.readAgent(&r, agent, &s.Rows[agent])
	if modelJobStates[j.State] != signalbox.JobQueued || !free(&r.agent) || j.Tries == modelTries {
		return false
	}
	for n := range int(j.Tries) {
		if t := &s.Tries[job*modelTries+n]; agent == officialAgent && t.Agent == officialAgent && s.fetched(t) {
			return false
		}
	}
	s.readJob(&r, job)
	try := job*modelTries + int(j.Tries)
	r.try = *attempt.Offer(&r.job, &r.agent, modelIDs[try])
	s.Tries[try].Agent = uint8(agent)
	s.write(&r, try)
	return true
}

// fetched tells whether an attempt was fetched; one that ended as withdrawn has no result.
func (s *modelState) fetched(t *modelTry) bool {
	return modelTryStates[t.State] != signalbox.AttemptOffered && (modelTryStates[t.State] != signalbox.AttemptEnded || t.Result != 0)
}

// request is a message as the program reads it.
func (m *modelMessage) request() agentapi.SyncRequest {
	req := agentapi.SyncRequest{State: modelAgentStates[m.State]}
	if req.State != agentapi.StateWaitingForJobs {
		req.JobID = modelIDs[m.Job]
	}
	if req.State == agentapi.StateFinishedJob {
		req.JobResult = string(modelResults[m.Result])
	}
	if m.Failed && m.Agent == oursAgent {
		req.JobReason = string(signalbox.ReasonAgentRestarted)
		if m.Runs == 0 {
			req.JobReason = string(signalbox.ReasonStartFailed)
		}
	}
	if m.Told > 0 {
		req.Attempt = modelIDs[m.Told-1]
	}
	return req
}

// look is the first half of a sync: it decides from what is stored now.
func (s *modelState) look(m modelMessage, forgotten bool) modelView {
	v := modelView{Message: m, Row: s.Rows[m.Agent], Forgotten: forgotten, On: true}
	if v.Row.Try > 0 {
		v.Try = s.Tries[v.Row.Try-1]
	}
	return v
}

func (s *modelState) decide(v *modelView) Verdict {
	var r modelRows
	s.readAgent(&r, int(v.Message.Agent), &v.Row)
	view := View{Agent: &r.agent, Limits: Timing{}.withDefaults()}
	if v.Row.Try > 0 {
		a := s.attempt(int(v.Row.Try-1), &v.Try)
		view.Attempt = &a
	}
	if v.Forgotten {
		view.Forgot, view.Idle = time.Hour, time.Hour
	}
	out, err := Decide(view, v.Message.request(), noon)
	if err != nil {
		panic(err)
	}
	return out
}

// act is the second half of a sync: the deed, on what is stored by now, and the answer. again tells that somebody was
// faster, so the program looks again.
func (s *modelState) act(t *modelRun, v *modelView) (answer Verdict, again bool) {
	out := s.decide(v)
	m := v.Message
	agent := int(m.Agent)
	row := &s.Rows[agent]
	try := int(v.Row.Try) - 1
	switch out.Deed {
	case DeedWithdraw:
		was := *s
		s.withdraw(try)
		if !s.retire(agent) {
			*s = was
			return out, true
		}
	case DeedRetire:
		if !s.retire(agent) {
			return out, true
		}
	case DeedForgotten:
		s.finish(try, attempt.End{Result: signalbox.JobFailed, Reason: out.Reason})
	case DeedFetched, DeedRunning:
		var r modelRows
		rows := s.read(&r, try)
		if out.Deed == DeedFetched {
			if _, err := rows.Fetch(noon); err != nil {
				return out, true
			}
		}
		rows.Run(noon)
		s.write(&r, try)
	case DeedFinish:
		was := *s
		t.reported(s, try, &m)
		s.finish(try, attempt.End{Result: out.Result, Reason: out.Reason})
		if out.Action == agentapi.ActionShutdown && !s.retire(agent) {
			*s = was
			return out, true
		}
	case DeedIgnore:
		if out.Action == agentapi.ActionShutdown && !s.retire(agent) {
			return out, true
		}
		if late := s.spokenOf(&m); late >= 0 {
			if modelTryStates[s.Tries[late].State] != signalbox.AttemptEnded {
				return out, true
			}
			s.finish(late, attempt.End{Result: out.Result})
		}
	}
	if out.Action == agentapi.ActionShutdown && (row.Try > 0 || !row.Gone && !row.Drain && !row.Disabled) {
		t.failf(s, "agent %d is told to leave while it has an attempt or may get one", agent)
	}
	return out, false
}

// retire makes a free agent one that gets no job any more.
func (s *modelState) retire(agent int) bool {
	row := &s.Rows[agent]
	if row.Gone || row.Try > 0 {
		return false
	}
	row.Drain = row.Drain || !row.Disabled // both are told to leave
	return true
}

// spokenOf is the attempt that a report is about; -1 is none.
func (s *modelState) spokenOf(m *modelMessage) int {
	if m.Told > 0 {
		return int(m.Told) - 1
	}
	for n := modelTries - 1; n >= 0; n-- {
		if t := &s.Tries[int(m.Job)*modelTries+n]; t.State > 0 && t.Agent == m.Agent {
			return int(m.Job)*modelTries + n
		}
	}
	return -1
}

// obey is what an agent does with the answer to its sync.
func (p *modelProcess) obey(agent int, v Verdict) {
	p.Waits = false
	switch v.Action {
	case agentapi.ActionRunJob:
		if p.Phase == processWaits {
			p.Phase, p.Job, p.Result, p.Runs, p.Told = processStarts, v.JobID[0]-'0', 0, 0, 0
			if agent == oursAgent {
				p.Told = 1 + v.Attempt[0] - '0'
			}
		}
	case agentapi.ActionStopJob:
		if p.Phase == processRuns {
			p.Phase = processStops
		}
	case agentapi.ActionWaitForJobs:
		if p.Phase == processDone {
			*p = modelProcess{Phase: processWaits}
		}
	case agentapi.ActionShutdown:
		*p = modelProcess{Phase: processLeft}
	}
}

// fetch answers a request for a payload: the attempt, -1 for none.
func (s *modelState) fetch(m *modelMessage) int {
	row := &s.Rows[m.Agent]
	try := int(row.Try) - 1
	if row.Gone || try < 0 || try/modelTries != int(m.Job) || m.Told > 0 && int(m.Told) != try+1 {
		return -1
	}
	var r modelRows
	if _, err := s.read(&r, try).Fetch(noon); err != nil {
		return -1
	}
	s.write(&r, try)
	return try
}

func (s *modelState) send(m modelMessage) bool {
	for i := range s.Flight {
		if s.Flight[i].Kind == messageNone {
			s.Flight[i] = m
			s.Processes[m.Agent].Waits = true
			s.sort()
			return true
		}
	}
	return false
}

// sort makes states that differ in the order of messages only one.
func (s *modelState) sort() {
	if a, b := &s.Flight[0], &s.Flight[1]; a.key() < b.key() {
		*a, *b = *b, *a
	}
}

func (m *modelMessage) key() uint32 {
	k := uint32(m.Kind)
	for _, v := range []uint8{m.Agent, m.State, m.Job, m.Result, m.Told, m.Runs} {
		k = k*6 + uint32(v)
	}
	if m.Failed {
		k |= 1 << 30
	}
	if m.Awaited {
		k |= 1 << 31
	}
	return k
}

// deaf makes an agent wait for no answer any more.
func (s *modelState) deaf(agent int) {
	for i := range s.Flight {
		if int(s.Flight[i].Agent) == agent {
			s.Flight[i].Awaited = false
		}
	}
	if int(s.View.Message.Agent) == agent {
		s.View.Message.Awaited = false
	}
	s.Processes[agent].Waits = false
	s.sort()
}

func (s modelState) String() string {
	var b strings.Builder
	for i, j := range s.Jobs {
		fmt.Fprintf(&b, "job %d %s %s tries %d retries %d; ", i, modelJobStates[j.State], modelResults[j.Result], j.Tries, j.Retries)
	}
	for i, t := range s.Tries {
		if t.State > 0 {
			fmt.Fprintf(&b, "try %d on %d %s %s late %s stop %v; ", i, t.Agent, modelTryStates[t.State], modelResults[t.Result], modelResults[t.Late], t.Stop)
		}
	}
	fmt.Fprintf(&b, "rows %+v processes %+v flight %+v view %+v", s.Rows, s.Processes, s.Flight, s.View)
	return b.String()
}

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
			n.lose(g)
			t.step(s, modelStep{words: "give up agent %d%.0d", a: g}, n)
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
	n.Processes[m.Agent].obey(int(m.Agent), v)
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

// lose is what the sweep does with an agent that was silent for too long, and what deleting one does.
func (s *modelState) lose(agent int) {
	if row := s.Rows[agent]; row.Try > 0 {
		if try := int(row.Try) - 1; modelTryStates[s.Tries[try].State] == signalbox.AttemptOffered {
			s.withdraw(try)
		} else {
			s.finish(try, attempt.End{Result: signalbox.JobFailed, Reason: signalbox.ReasonAgentLost})
		}
	}
	s.Rows[agent].Gone = true
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
		n.Flight[i].Awaited = false
		n.sort()
		t.arrive(s, n, m)
	}
}

func (t *modelRun) arrive(s *modelState, n modelState, m modelMessage) {
	p := &n.Processes[m.Agent]
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
				p.Phase, p.Result, p.Broken = processDone, modelFailed, true
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
		q.Phase, q.Disk = p.Disk, 0
		if p.Disk == processRuns {
			q.Phase, q.Result, q.Broken = processDone, modelFailed, true
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
			m.Job, m.Told, m.Runs, m.Failed = p.Job, p.Told, p.Runs, p.Broken
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
	end := func(result uint8) {
		n := *s
		if g == oursAgent && p.Waits {
			n.deaf(g) // it drops the request
		}
		n.Processes[g].Phase, n.Processes[g].Result = processDone, result
		t.step(s, modelStep{words: "agent %d ends with result %d", a: g, b: int(result)}, n)
	}
	switch p.Phase {
	case processRuns:
		end(modelPassed)
		end(modelFailed)
	case processStops:
		end(modelStopped)
	}
	if s.Kills > 0 {
		n := *s
		n.Kills--
		n.deaf(g)
		q := &n.Processes[g]
		q.Disk, q.Phase = p.Phase, processDown
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
