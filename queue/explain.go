package queue

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// Snapshot is what the dispatcher knows of a job and of those that it shares agents with, at one moment.
type Snapshot struct {
	Now     time.Time
	Job     *signalbox.Job
	Project string               // the job's, by name
	Agent   string               // the name of the agent of its newest attempt, "" before the first
	Type    *signalbox.AgentType // nil when there is none of the name that the job asks for
	Types   []string             // the names of those that there are, when Type is nil
	Agents  []AgentView
	Server  time.Time // when this server started, zero when it was long ago
	Gone    time.Time // when the last agent of the type went, zero when none ever did
	Lines   []LineView
	Ahead   int // queued jobs before it in its project's line
	Limits  []Limit
	Started []time.Time     // of the jobs that hold agents of the type; zero when only offered
	RanFor  []time.Duration // of the newest jobs of the type that passed
}

// AgentView is an agent and when it was last heard of.
type AgentView struct {
	Agent *signalbox.Agent
	Seen  time.Time
}

// LineView is a project's line as its length tells it.
type LineView struct {
	Line
	Queued int
}

// Limit is a limit of running jobs and how much of it is used.
type Limit struct {
	Of      string `json:"of"` // organization, project or agent_type
	Name    string `json:"name,omitempty"`
	Limit   int    `json:"limit"`
	Running int    `json:"running"`
}

func (l Limit) String() string {
	who := "the organization"
	switch l.Of {
	case "project":
		who = "project " + l.Name
	case "agent_type":
		who = "agent type " + l.Name
	}
	return fmt.Sprintf("%s may run %s at once and runs %d", who, count(l.Limit, "job"), l.Running)
}

// Explanation says why a job waits, or that it does not.
type Explanation struct {
	JobID     string             `json:"job_id"`
	State     signalbox.JobState `json:"state"`
	Text      string             `json:"text"`     // one sentence
	Blocked   bool               `json:"blocked"`  // nothing that happens by itself lets it start
	Position  int                `json:"position"` // in the order in which agents of its type are given, from 1; 0 when it is not queued
	Queued    int                `json:"queued"`   // jobs of all projects that wait for the same type
	AgentType string             `json:"agent_type"`
	Agents    AgentCount         `json:"agents"`
	Almost    []Almost           `json:"almost,omitempty"`   // agents that cannot take it, and what they lack
	Problems  []Almost           `json:"problems,omitempty"` // agents that can take it, and what is wrong with their machines
	HeldBy    []Limit            `json:"held_by,omitempty"`
	// Expected is when it starts if jobs take as long as they did lately and nothing comes before it; zero when there is
	// too little to tell from.
	Expected time.Time `json:"expected_start,omitzero"`
}

// AgentCount is the agents of a type by what they can do for a job.
type AgentCount struct {
	Free     int `json:"free"`
	Busy     int `json:"busy"`
	Draining int `json:"draining"` // they take no new job
	Disabled int `json:"disabled"`
	Aside    int `json:"quarantined"` // they stay, and take no jobs
	Suspect  int `json:"suspect"`     // not heard of lately, or disconnected
	Coming   int `json:"returning"`   // not heard of since this server started, just now
}

// Almost is an agent of the right type that cannot take a job.
type Almost struct {
	Agent   string `json:"agent"`
	Missing string `json:"missing"`
}

// maxAlmost is how many agents are named.
const maxAlmost = 10

// Explain answers why a job waits. It is a pure function of a snapshot.
func Explain(s Snapshot) Explanation {
	e := Explanation{JobID: s.Job.ID, State: s.Job.State, AgentType: s.Job.AgentType}
	switch s.Job.State {
	case signalbox.JobFinished:
		e.Text = "The job does not wait: it has ended and is " + string(s.Job.Result) + "."
		return e
	case signalbox.JobRunning:
		e.Text = "The job does not wait: it runs on agent " + s.Agent + "."
		return e
	case signalbox.JobOffered:
		e.Text = "Agent " + s.Agent + " was offered the job and is about to fetch it."
		return e
	}
	e.Position = position(s)
	for _, l := range s.Lines {
		e.Queued += l.Queued
	}
	e.countAgents(s)
	for _, l := range s.Limits {
		if l.Limit > 0 && l.Running >= l.Limit {
			e.HeldBy = append(e.HeldBy, l)
		}
	}
	e.say(s)
	if !e.Blocked && len(e.HeldBy) == 0 {
		e.Expected = expected(s, e)
	}
	return e
}

func (e *Explanation) countAgents(s Snapshot) {
	starting := !s.Server.IsZero() && s.Now.Sub(s.Server) < signalbox.SuspectAfter
	for _, v := range s.Agents {
		missing := ""
		switch a := v.Agent; {
		case a.State == signalbox.AgentDisconnected:
			e.Agents.Suspect++
			missing = "it has disconnected"
		case !a.DisabledAt.IsZero():
			e.Agents.Disabled++
			missing = "it is disabled"
		case !a.InterruptedAt.IsZero():
			e.Agents.Draining++
			missing = "its machine asked it to go"
		case !a.DrainAt.IsZero():
			e.Agents.Draining++
			missing = "it takes no new jobs: it is being drained"
		case !a.QuarantinedAt.IsZero():
			e.Agents.Aside++
			missing = "it is in quarantine"
			if a.Quarantine != nil {
				missing += ": " + a.Quarantine.Why
			}
		case starting && v.Seen.Before(s.Server):
			e.Agents.Coming++
			missing = "it has not come back since the server started " + ago(s.Now.Sub(s.Server))
		case s.Now.Sub(v.Seen) > signalbox.SuspectAfter:
			e.Agents.Suspect++
			missing = "it was last heard of " + ago(s.Now.Sub(v.Seen))
		case a.AttemptID != "":
			e.Agents.Busy++
		default:
			e.Agents.Free++
		}
		if missing != "" && len(e.Almost) < maxAlmost {
			if text := signalbox.ProblemText(v.Agent.Problems); text != "" {
				missing += "; it has problems: " + text
			}
			e.Almost = append(e.Almost, Almost{v.Agent.Name, missing})
		}
		if missing == "" && len(v.Agent.Problems) > 0 && len(e.Problems) < maxAlmost {
			e.Problems = append(e.Problems, Almost{v.Agent.Name, signalbox.ProblemText(v.Agent.Problems)})
		}
	}
}

// say chooses the sentence: first what keeps the job for good, then what holds it, then how it stands in line.
func (e *Explanation) say(s Snapshot) {
	able := e.Agents.Free + e.Agents.Busy
	switch {
	case s.Type == nil:
		e.Blocked = true
		e.Text = "No agent can take the job: there is no agent type " + e.AgentType + "."
		if len(s.Types) > 0 {
			e.Text += " There is " + strings.Join(s.Types, ", ") + "."
		}
	case len(s.Agents) == 0 && s.Gone.IsZero():
		e.Blocked = true
		e.Text = "No agent can take the job: no agent of type " + e.AgentType + " was ever connected."
	case len(s.Agents) == 0:
		e.Blocked = true
		e.Text = "No agent can take the job: no agent of type " + e.AgentType + " is connected; the last one went " + ago(s.Now.Sub(s.Gone)) + "."
	case able == 0 && e.Agents.Coming > 0:
		are := map[bool]string{true: " is", false: " are"}[e.Agents.Coming == 1]
		e.Text = "The server started " + ago(s.Now.Sub(s.Server)) + ": " + count(e.Agents.Coming, "agent") + " of type " + e.AgentType + are + " to come back."
	case able == 0:
		e.Blocked = true
		e.Text = "No agent can take the job: of those of type " + e.AgentType + " " + e.Agents.unable() + "."
	case len(e.HeldBy) > 0:
		e.Text = "The job waits for room: " + e.HeldBy[0].String() + "."
	case e.Agents.Free >= e.Position:
		e.Text = "An agent of type " + e.AgentType + " is free; the job is about to be offered."
	default:
		e.Text = fmt.Sprintf("Number %d of %d in line for an agent of type %s: %s.", e.Position, e.Queued, e.AgentType, e.Agents.able())
	}
}

func (c AgentCount) able() string {
	switch {
	case c.Free > 0:
		return fmt.Sprintf("%d free, %d busy", c.Free, c.Busy)
	case c.Busy == 1:
		return "the only one that is connected is busy"
	}
	return fmt.Sprintf("all %d are busy", c.Busy)
}

func (c AgentCount) unable() string {
	var out []string
	for _, p := range []struct {
		n    int
		what string
	}{{c.Draining, "taking no new jobs"}, {c.Disabled, "disabled"}, {c.Aside, "in quarantine"}, {c.Suspect, "silent"}} {
		if p.n > 0 {
			out = append(out, fmt.Sprintf("%d %s %s", p.n, map[bool]string{true: "is", false: "are"}[p.n == 1], p.what))
		}
	}
	return strings.Join(out, ", ")
}

// position returns the job's place in the order of Assign when nothing ends and nothing new is queued, from 1. Before
// the job its project has a number of jobs on agents; every other project is given one more for as long as it has fewer,
// and where it has as many, if it comes first there: who had more when the order began, or else waited longer.
func position(s Snapshot) int {
	at := slices.IndexFunc(s.Lines, func(l LineView) bool { return l.ProjectID == s.Job.ProjectID })
	if at < 0 {
		return 1
	}
	own := &s.Lines[at]
	level := own.Running + s.Ahead
	n := s.Ahead + 1
	for i := range s.Lines {
		o := &s.Lines[i]
		if i == at {
			continue
		}
		before := max(level-o.Running, 0)
		first := o.Running > own.Running || o.Running == own.Running && o.before(&own.Line)
		if first && o.Running <= level {
			before++
		}
		n += min(before, o.Queued)
	}
	return n
}

// enough is how many jobs of a type must have passed lately before they tell how long one takes.
const enough = 10

// maxExpected is the farthest position that a start is expected for.
const maxExpected = 10_000

// expected plays the queue through: every agent is free when its job has run for as long as most did lately.
func expected(s Snapshot, e Explanation) time.Time {
	if len(s.RanFor) < enough || e.Position > maxExpected {
		return time.Time{}
	}
	ran := slices.Clone(s.RanFor)
	slices.Sort(ran)
	usual := ran[len(ran)/2]
	var free []time.Time // when each agent is, sorted
	for _, started := range s.Started {
		end := s.Now.Add(usual)
		if !started.IsZero() {
			end = started.Add(usual)
		}
		if end.Before(s.Now) {
			end = s.Now
		}
		free = append(free, end)
	}
	free = free[:min(len(free), e.Agents.Busy)]
	for range e.Agents.Free {
		free = append(free, s.Now)
	}
	if len(free) == 0 {
		return time.Time{}
	}
	slices.SortFunc(free, time.Time.Compare)
	for range e.Position - 1 {
		next := free[0].Add(usual)
		at, _ := slices.BinarySearchFunc(free, next, time.Time.Compare)
		at = max(at, 1)
		copy(free, free[1:at])
		free[at-1] = next
	}
	return free[0]
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// ago says how long something is past, in its largest unit.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return count(int(d/time.Second), "second") + " ago"
	case d < time.Hour:
		return count(int(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return count(int(d/time.Hour), "hour") + " ago"
	}
	return count(int(d/(24*time.Hour)), "day") + " ago"
}
