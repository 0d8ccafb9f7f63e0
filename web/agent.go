package web

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/store"
)

// agentBody is the page of one agent.
type agentBody struct {
	Agent     agentRow
	Here      bool // it is connected
	Manage    bool
	Busy      bool
	Off       bool // it gets no more jobs
	Undo      fleet.Action
	Aside     bool
	Gone      *Moment
	GoneWhy   string
	PID       int
	UserAgent string
	Mode      string
	Token     string
	Job       *store.JobPath
	Jobs      []agentJobRow
	Events    []eventView
	Problems  []fleet.Outcome
	TypeURL   string
}

type agentJobRow struct {
	Lamp                         Lamp
	URL, Name, Project, Pipeline string
	Agent, AgentURL              string // where a list is of several agents
	Took                         Took
	Ended                        *Moment
}

// jobsShown is how many of the jobs of an agent are listed.
const jobsShown = 50

func (w *Web) getAgent(rw http.ResponseWriter, r *http.Request) error {
	return w.showAgent(rw, r, r.PathValue("type"), r.PathValue("name"), nil)
}

// afterAgentChange leads back to the agent's page, or shows what could not be done.
func (w *Web) afterAgentChange(rw http.ResponseWriter, r *http.Request, typeName, escaped string, problems []fleet.Outcome) error {
	typeName, err := url.PathUnescape(typeName)
	if err == nil {
		escaped, err = url.PathUnescape(escaped)
	}
	if err != nil {
		return notFound("agent")
	}
	if len(problems) > 0 {
		return w.showAgent(rw, r, typeName, escaped, problems)
	}
	http.Redirect(rw, r, typesPath+url.PathEscape(typeName)+"/agents/"+(&url.URL{Path: escaped}).EscapedPath(), http.StatusSeeOther)
	return nil
}

func (w *Web) showAgent(rw http.ResponseWriter, r *http.Request, typeName, name string, problems []fleet.Outcome) error {
	var b agentBody
	var s Shell
	manage := may(r, auth.AgentTypeManage)
	id := ""
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b = agentBody{Manage: manage, Problems: problems, TypeURL: typesPath + url.PathEscape(typeName)}
		t, err := tx.AgentType(typeName)
		if err != nil {
			return orNotFound(err, "agent type")
		}
		a, err := tx.LastAgentNamed(t.ID, name)
		if err != nil {
			return orNotFound(err, "agent")
		}
		id = a.ID
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		seen, err := tx.SeenOf(a.ID)
		if err != nil {
			return err
		}
		lamp := lampGone
		if b.Here = a.GoneAt.IsZero() && a.State == signalbox.AgentRegistered; a.GoneAt.IsZero() {
			pulse := a.Pulse(seen.At)
			lamp = agentLamp(pulse, pulse.HeardOf(w.o.Started), t, tx.Now)
		}
		b.Agent = newAgentRow(a, seen.At, lamp, tx.Now)
		b.Busy, b.Off, b.Aside = a.AttemptID != "", !a.DrainAt.IsZero() || !a.DisabledAt.IsZero(), a.Quarantine != nil
		if b.Undo = fleet.Undrain; !a.DisabledAt.IsZero() {
			b.Undo = fleet.Enable
		}
		b.Gone, b.GoneWhy, b.PID, b.UserAgent = moment(a.GoneAt, tx.Now), strings.ReplaceAll(string(a.GoneReason), "_", " "), a.PID, clip(a.UserAgent, 100)
		b.Mode = agentMode(a)
		if !manage {
			b.Agent.IP = ""
		}
		if a.JobID != "" {
			paths, err := tx.PathsOf([]string{a.JobID})
			if err != nil {
				return err
			}
			b.Job = paths[a.JobID]
		}
		if err := b.read(tx, a); err != nil {
			return err
		}
		events, err := tx.Events("agent", a.ID)
		b.Events = eventViews(events, tx.Now)
		return err
	})
	if err != nil {
		return err
	}
	s.Title, s.Section, s.Script, s.Favicon = clip(name, 80), "agents", "page", b.Agent.Lamp.Class
	s.Topics = []string{"agent:" + id}
	s.Crumbs = []Link{{"Agents", "/agents"}, {typeName, b.TypeURL}}
	return w.render(rw, http.StatusOK, "agent", s, b)
}

// read lists what ran on an agent.
func (b *agentBody) read(tx *store.Tx, a *signalbox.Agent) error {
	jobs, err := tx.AgentJobs(a.Name, jobsShown)
	b.Jobs = agentJobRows(jobs, tx.Now)
	return err
}

func agentJobRows(jobs []*store.AgentJob, now time.Time) (out []agentJobRow) {
	for _, j := range jobs {
		row := agentJobRow{URL: "/jobs/" + j.JobID, Name: clip(j.Name, 80), Project: j.Project, Pipeline: clip(j.Pipeline, 60), Took: took(j.Start, j.End, now), Ended: moment(j.End, now)}
		switch j.Result {
		case signalbox.JobPassed:
			row.Lamp = lampPassed
		case signalbox.JobFailed:
			row.Lamp = failedLamp(j.Reason)
		default:
			row.Lamp = lampStopped
		}
		out = append(out, row)
	}
	return out
}

// agentMode says how long an agent stays.
func agentMode(a *signalbox.Agent) string {
	mode := "runs jobs one after another"
	if a.SingleJob {
		mode = "runs one job and leaves"
	}
	if a.IdleTimeout > 0 {
		mode += "; leaves after " + clock(a.IdleTimeout) + " without a job"
	}
	if a.GracePeriod > 0 {
		mode += "; when its machine wants it to leave, a job gets " + clock(a.GracePeriod.Round(time.Second))
	}
	return mode
}
