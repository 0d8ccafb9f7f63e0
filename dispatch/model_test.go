package dispatch

import (
	"fmt"
	"hash/maphash"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/attempt"
)

// The model is two jobs, two agents and what is on the way between them and the server. What the server does is what the
// program does: Decide, and the functions of package attempt on the same rows. The rest is small enough to visit every
// state: messages that are lost, late, doubled and overtaken, a server that dies between reading and writing, agents that
// die and come back, jobs that are stopped, agents that are drained, disabled, set aside, given up as lost.
//
// Time goes in ticks, each a little longer than a lease and shorter than a lease with its margin. Whatever was a tick ago when
// the next one comes has been two: an agent whose lease is over has ended its job by then.

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
		Lease                      bool // its agent has said that it keeps one
		Sure                       bool // it ended because of that
	}
	modelRow struct { // what the server has stored of an agent
		Try                          uint8 // 1 + its attempt, 0 is none
		Silent                       uint8 // ticks since it was heard of, where that counts
		Gone, Drain, Disabled, Aside bool
	}
	modelProcess struct {
		Phase, Job, Result uint8
		Reason             uint8 // of a result that is not that of the commands
		Lease              bool  // it keeps one for its job
		Alone              uint8 // ticks since it has sent the last sync that was answered
		Told               uint8 // 1 + the attempt that it was told of, if it remembers such things
		Runs               uint8 // 1 + the attempt whose payload it has; nobody but the test looks
		Disk               uint8 // what a process that was killed has left
		Waits              bool  // for the answer to a message
	}
	modelMessage struct {
		Kind, Agent, State, Job, Result, Reason, Told, Runs uint8
		Age                                                 uint8 // in ticks, while an answer of that age would count
		Lease, Awaited                                      bool
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
		Halves, Losses, Copies, Kills, Crashes, GivenUp, Stops, Fleet, Asides uint8
		Leases                                                                bool // jobs have leases, and machines serve for one of them
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

const ( // modelProcess.Reason
	reasonNone uint8 = iota
	reasonMachinery
	reasonLease
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

const (
	modelLease = signalbox.MinLease
	modelTick  = modelLease + time.Second
	modelAges  = 2 // more ticks than that make no difference
)

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
		Result: modelResults[t.Result], LateResult: modelResults[t.Late], StopRequestedAt: flag(t.Stop), Lease: span(t.Lease),
	}
}

func span(lease bool) (d time.Duration) {
	if lease {
		d = modelLease
	}
	return d
}

func (s *modelState) readJob(r *modelRows, job int) {
	j := &s.Jobs[job]
	r.job.ID, r.job.State, r.job.Result, r.job.AttemptN, r.job.Retries = modelIDs[job], modelJobStates[j.State], modelResults[j.Result], int(j.Tries), int(j.Retries)
	r.job.AttemptID, r.job.Spec.Retry = "", nil
	if j.Tries > 0 {
		r.job.AttemptID = modelIDs[job*modelTries+int(j.Tries)-1]
	}
	if job == 0 && !s.Leases { // the other is never run again by itself, unless its machine is the reason
		r.job.Spec.Retry = modelRetry
	}
}

func (s *modelState) readAgent(r *modelRows, agent int, row *modelRow) {
	a := &r.agent
	a.ID, a.State, a.SingleJob = modelIDs[agent], signalbox.AgentRegistered, agent == officialAgent
	a.Ephemeral, a.Lease = s.Leases, span(s.Leases)
	a.AttemptID, a.JobID = "", ""
	if row.Try > 0 {
		a.AttemptID, a.JobID = modelIDs[row.Try-1], modelIDs[int(row.Try-1)/modelTries]
	}
	a.GoneAt, a.DrainAt, a.DisabledAt, a.QuarantinedAt, a.IdleTimeout = flag(row.Gone), flag(row.Drain), flag(row.Disabled), flag(row.Aside), time.Minute
}

func (s *modelState) write(r *modelRows, try int) {
	j := &s.Jobs[try/modelTries]
	j.State, j.Result = place(modelJobStates, r.job.State), place(modelResults, r.job.Result)
	j.Tries, j.Retries = uint8(r.job.AttemptN), uint8(r.job.Retries)
	t := &s.Tries[try]
	agent := t.Agent
	t.State, t.Result, t.Late, t.Stop = place(modelTryStates, r.try.State), place(modelResults, r.try.Result), place(modelResults, r.try.LateResult), !r.try.StopRequestedAt.IsZero()
	t.Lease = r.try.Lease > 0
	row := &s.Rows[agent]
	row.Try, row.Drain = 0, !r.agent.DrainAt.IsZero()
	if r.agent.AttemptID != "" {
		row.Try = 1 + r.agent.AttemptID[0] - '0'
	}
	if row.Try == 0 {
		row.Silent = 0
	}
}

// finish is Engine.Finish without the pipeline.
func (s *modelState) finish(try int, e attempt.End) {
	var r modelRows
	open := modelTryStates[s.Tries[try].State] != signalbox.AttemptEnded
	s.read(&r, try).Finish(e, noon)
	s.write(&r, try)
	s.Tries[try].Sure = s.Tries[try].Sure || open && (e.Surely || e.Reason == signalbox.ReasonLeaseEnded)
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
	switch {
	case m.Agent != oursAgent:
	case m.Reason == reasonLease:
		req.JobReason = string(signalbox.ReasonLeaseEnded)
	case m.Reason == reasonMachinery && m.Runs == 0:
		req.JobReason = string(signalbox.ReasonStartFailed)
	case m.Reason == reasonMachinery:
		req.JobReason = string(signalbox.ReasonAgentRestarted)
	}
	req.Lease = int(span(m.Lease) / time.Second)
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
		rows.Run(lease(m.request()), noon)
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
	if own := row.Try > 0 && int(row.Try) == 1+s.spokenOf(&m); out.Action == agentapi.ActionStopJob && own && !s.Tries[row.Try-1].Stop && !row.Disabled && v.Row == *row {
		t.failf(s, "agent %d is told to stop its job, which nobody wants", agent)
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
func (p *modelProcess) obey(m *modelMessage, v Verdict) {
	agent := int(m.Agent)
	p.Waits = false
	if p.Lease {
		p.Alone = min(p.Alone, m.Age)
	}
	switch v.Action {
	case agentapi.ActionRunJob:
		if p.Phase == processWaits {
			p.Phase, p.Job, p.Result, p.Runs, p.Told = processStarts, v.JobID[0]-'0', 0, 0, 0
			if agent == oursAgent {
				p.Told, p.Lease, p.Alone = 1+v.Attempt[0]-'0', v.Lease > 0, m.Age
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
	for _, v := range []uint8{m.Agent, m.State, m.Job, m.Result, m.Told, m.Runs, m.Reason, m.Age} {
		k = k*6 + uint32(v)
	}
	if m.Lease {
		k |= 1 << 30
	}
	if m.Awaited {
		k |= 1 << 31
	}
	return k
}

// forsake makes a message one whose answer nobody awaits.
func (m *modelMessage) forsake() { m.Awaited, m.Age = false, 0 }

// deaf makes an agent wait for no answer any more.
func (s *modelState) deaf(agent int) {
	for i := range s.Flight {
		if int(s.Flight[i].Agent) == agent {
			s.Flight[i].forsake()
		}
	}
	if int(s.View.Message.Agent) == agent {
		s.View.Message.forsake()
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
			fmt.Fprintf(&b, "try %d on %d %s %s late %s stop %v lease %v; ", i, t.Agent, modelTryStates[t.State], modelResults[t.Result], modelResults[t.Late], t.Stop, t.Lease)
		}
	}
	fmt.Fprintf(&b, "rows %+v processes %+v flight %+v view %+v", s.Rows, s.Processes, s.Flight, s.View)
	return b.String()
}
