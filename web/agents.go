package web

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

type typeRow struct {
	Name             string
	URL              string // "" for a type that nobody made
	Known            bool   // false when jobs ask for a type that nobody made
	Agents           []agentRow
	Busy, Idle, Gone int // Gone counts the agents that are silent or in quarantine
	Waiting, Running int
	BusyWidth        int // of 100, for the meter
	IdleWidth        int
	Sentence         string
}

type agentRow struct {
	Name, Host, System, Version, IP string
	Labels, Note, Problems          string
	Quarantine                      *quarantineView
	Lamp                            Lamp
	JobURL                          string
	Seen                            *Moment
	Since                           *Moment
}

// quarantineView is why an agent is set aside, or was to be.
type quarantineView struct {
	Why, Kept string
	Evidence  []evidenceView
}

type evidenceView struct {
	JobURL, Reason      string
	Elsewhere, OtherURL string // the agent on which it passed, and where; "" when it did not
}

func newQuarantineView(q *signalbox.Quarantine) *quarantineView {
	if q == nil {
		return nil
	}
	v := &quarantineView{Why: clip(q.Why, 200), Kept: clip(q.Kept, 200)}
	for _, e := range q.Evidence {
		row := evidenceView{JobURL: "/jobs/" + e.JobID, Reason: strings.ReplaceAll(string(e.Reason), "_", " ")}
		if w := e.Elsewhere; w != nil && w.Result == signalbox.JobPassed {
			row.Elsewhere, row.OtherURL = clip(w.Agent, 80), "/jobs/"+w.JobID
		}
		v.Evidence = append(v.Evidence, row)
	}
	return v
}

// agentTable is a list of agents, with something to tick for whoever may change them.
type agentTable struct {
	Agents []agentRow
	Manage bool
}

type agentsBody struct {
	Types    []typeRow
	Manage   bool
	Refused  *refusedRow // the newest, when it was within the last hour
	Refusals int
	Problems []fleet.Outcome
	Back     string // where forms lead back to
}

func (w *Web) getAgents(rw http.ResponseWriter, r *http.Request) error {
	return w.showAgents(rw, r, nil)
}

func (w *Web) showAgents(rw http.ResponseWriter, r *http.Request, problems []fleet.Outcome) error {
	var b agentsBody
	var s Shell
	manage := may(r, auth.AgentTypeManage)
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b = agentsBody{Manage: manage, Problems: problems, Back: "/agents"}
		var err error
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		if manage {
			refused, err := tx.Refused("*", 10*signalbox.RefusedLimit)
			if err != nil {
				return err
			}
			b.Refusals = len(refused)
			if len(refused) > 0 && tx.Now.Sub(refused[0].LastAt) < time.Hour {
				row := newRefusedRow(refused[0], tx.Now)
				b.Refused = &row
			}
		}
		b.Types, err = w.types(tx, tx.Now)
		return err
	})
	if err != nil {
		return err
	}
	if !manage {
		hideAddresses(b.Types)
	}
	s.Title, s.Section, s.Script = "Agents", "agents", "page"
	s.Topics = []string{"agents", "queue"}
	return w.render(rw, http.StatusOK, "agents", s, b)
}

// hideAddresses takes out what only those need who look after the machines.
func hideAddresses(types []typeRow) {
	for i := range types {
		for j := range types[i].Agents {
			types[i].Agents[j].IP = ""
		}
	}
}

// postAgents does something to the agents that were ticked, or to all of a type. What could not be done is told above
// the page.
func (w *Web) postAgents(rw http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read")
	}
	action, err := fleet.ParseAction(r.PostForm.Get("action"))
	if err != nil {
		return err
	}
	s := fleet.Selection{Names: r.PostForm["agent"], AgentType: r.PostForm.Get("type"), OnlyIdle: r.PostForm.Get("only_idle") == "true"}
	if len(s.Names) == 0 && s.AgentType == "" {
		return signalbox.Errorf(signalbox.CodeInvalid, "No agent was chosen; tick one in the list and try again")
	}
	outcomes, err := w.o.Fleet.ChangeAgents(r.Context(), s, action, route.ActorFrom(r.Context()).Name())
	if err != nil {
		return err
	}
	problems := slices.DeleteFunc(outcomes, func(o fleet.Outcome) bool { return o.Why == "" })
	name, of := strings.CutPrefix(r.PostForm.Get("back"), typesPath)
	switch {
	case len(problems) == 0 && of:
		http.Redirect(rw, r, typesPath+url.PathEscape(name), http.StatusSeeOther)
	case len(problems) == 0:
		http.Redirect(rw, r, "/agents", http.StatusSeeOther)
	case of:
		return w.showAgentType(rw, r, name, nil, problems)
	default:
		return w.showAgents(rw, r, problems)
	}
	return nil
}

func (w *Web) types(tx *store.Tx, now time.Time) ([]typeRow, error) {
	loads, err := agentLoads(tx)
	if err != nil {
		return nil, err
	}
	types, err := tx.AgentTypes()
	if err != nil {
		return nil, err
	}
	agents, err := tx.Agents("")
	if err != nil {
		return nil, err
	}
	seen, err := tx.LastSeen()
	if err != nil {
		return nil, err
	}
	known := map[string]*signalbox.AgentType{}
	for _, t := range types {
		known[t.Name] = t
	}
	rows := make([]typeRow, len(loads))
	for i, l := range loads {
		row := typeRow{Name: l.name, Known: known[l.name] != nil, Waiting: l.waiting, Running: l.running}
		if row.Known {
			row.URL = typesPath + url.PathEscape(l.name)
		}
		for _, a := range agents {
			if a.AgentType != l.name {
				continue
			}
			lamp := agentLamp(a, a.HeardOf(seen[a.ID].At, w.o.Started), known[l.name], now)
			switch lamp {
			case lampLost, lampSuspect, lampAside:
				row.Gone++
			case lampIdle:
				row.Idle++
			default:
				row.Busy++
			}
			item := agentRow{
				Name: clip(a.Name, 80), Host: clip(a.Hostname, 80), System: clip(join(a.OS, a.Arch), 60), Version: clip(a.Version, 30),
				IP: clip(a.IP, 50), Lamp: lamp, Seen: moment(seen[a.ID].At, now), Since: moment(a.CreatedAt, now),
			}
			item.Labels, item.Note = labelText(a.Labels), agentNote(a)
			item.Problems, item.Quarantine = clip(signalbox.ProblemText(a.Problems), 400), newQuarantineView(a.Quarantine)
			if a.JobID != "" {
				item.JobURL = "/jobs/" + a.JobID
			}
			row.Agents = append(row.Agents, item)
		}
		if n := len(row.Agents); n > 0 {
			row.BusyWidth = 100 * row.Busy / n
			row.IdleWidth = 100 - 100*(row.Busy+row.Gone)/n
		}
		row.Sentence = typeSentence(row)
		rows[i] = row
	}
	return rows, nil
}

func labelText(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, strings.TrimSuffix(k+"="+labels[k], "="))
	}
	return strings.Join(out, " ")
}

// agentNote says what an agent will do next, where its lamp does not.
func agentNote(a *signalbox.Agent) string {
	leaves := "Leaves now"
	if a.AttemptID != "" {
		leaves = "Leaves after its job"
	}
	switch {
	case a.State != signalbox.AgentRegistered:
		return "Has left; its name is kept"
	case !a.DisabledAt.IsZero():
		return "Disabled: stops its job and leaves"
	case !a.InterruptedAt.IsZero():
		return "Its machine wants it to leave"
	case !a.QuarantinedAt.IsZero():
		return "Stays, and gets no jobs until it is released"
	case !a.DrainAt.IsZero():
		return leaves
	}
	return ""
}

func agentLamp(a *signalbox.Agent, seen time.Time, t *signalbox.AgentType, now time.Time) Lamp {
	limit := signalbox.IdleLostAfter
	if a.AttemptID != "" {
		limit = signalbox.DefaultLostAfter
		if t != nil && t.LostAfter > 0 {
			limit = t.LostAfter
		}
	}
	switch {
	case !seen.IsZero() && now.Sub(seen) > limit:
		return lampLost
	case !a.DrainAt.IsZero() || !a.DisabledAt.IsZero():
		return lampDraining
	case !a.QuarantinedAt.IsZero():
		return lampAside
	case a.State == signalbox.AgentRegistered && now.Sub(seen) > signalbox.SuspectAfter:
		return lampSuspect
	case a.AttemptID != "":
		return lampBusy
	}
	return lampIdle
}

// typeSentence says how a type stands, the way a reason is said: thing, number.
func typeSentence(t typeRow) string {
	waits := plural(t.Waiting, "job waits", "jobs wait")
	switch {
	case !t.Known:
		return "This type does not exist; " + waits + " for it"
	case len(t.Agents) == 0 && t.Waiting > 0:
		return "No agent is connected; " + waits
	case len(t.Agents) == 0:
		return "No agent is connected"
	case t.Waiting > 0:
		return plural(t.Busy, "agent", "agents") + " of " + count(len(t.Agents)) + " busy; " + waits
	}
	return count(t.Busy) + " of " + plural(len(t.Agents), "agent", "agents") + " busy"
}

func join(parts ...string) string {
	out := ""
	for _, p := range parts {
		if p == "" {
			continue
		}
		if out != "" {
			out += ", "
		}
		out += p
	}
	return out
}

// withoutPassword hides credentials that somebody wrote into a repository's address.
func withoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), "xxxxx")
	}
	return u.String()
}
