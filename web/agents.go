package web

import (
	"cmp"
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
	URL              string     // "" for a type that nobody made
	Known            bool       // false when jobs ask for a type that nobody made
	Agents           []agentRow // the first of them, where a page lists them
	shown            []agentPulse
	lamps            []Lamp // of all of them
	Total, More      int    // how many there are, and how many are not listed
	Busy, Idle, Gone int    // Gone counts the agents that are silent, in quarantine or about to leave
	Waiting, Running int
	BusyWidth        int // of 100, for the meter
	IdleWidth        int
	Sentence         string
}

type agentRow struct {
	Name, Host, System, Version, IP string
	URL, Type                       string
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
	Types  bool // each says of which type it is
}

type agentsBody struct {
	Types    []typeRow
	Manage   bool
	Refused  *refusedRow // the newest, when it was within the last hour
	Tabs     agentTabs
	Summary  []agentSummary
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
	usages, err := w.o.Fleet.Usages(r.Context(), fleet.UsageSpans[0])
	if err != nil {
		return err
	}
	err = w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b = agentsBody{Manage: manage, Problems: problems, Back: "/agents"}
		var err error
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		refused, err := b.Tabs.read(tx, r)
		if err != nil {
			return err
		}
		if len(refused) > 0 && tx.Now.Sub(refused[0].LastAt) < time.Hour {
			row := newRefusedRow(refused[0], tx.Now)
			b.Refused = &row
		}
		if b.Types, err = w.types(tx, tx.Now); err != nil {
			return err
		}
		if b.Summary, err = summaries(tx, b.Types, usages); err != nil {
			return err
		}
		return listAgents(tx, b.Types)
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
	name, agent, one := strings.Cut(name, "/agents/")
	switch {
	case of && one && action != fleet.Delete:
		return w.afterAgentChange(rw, r, name, agent, problems)
	case strings.HasPrefix(r.PostForm.Get("back"), allAgents+"?") && len(problems) == 0:
		http.Redirect(rw, r, relative(r.PostForm.Get("back")), http.StatusSeeOther)
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

// types counts the agents and the jobs of every type that exists or is asked for.
func (w *Web) types(tx *store.Tx, now time.Time) ([]typeRow, error) {
	loads, err := agentLoads(tx)
	if err != nil {
		return nil, err
	}
	types, err := tx.AgentTypes()
	if err != nil {
		return nil, err
	}
	pulses, err := tx.Pulses()
	if err != nil {
		return nil, err
	}
	known := map[string]*signalbox.AgentType{}
	for _, t := range types {
		known[t.Name] = t
	}
	of := map[string][]agentPulse{}
	for _, p := range pulses {
		of[p.AgentType] = append(of[p.AgentType], agentPulse{p, agentLamp(*p, p.HeardOf(w.o.Started), known[p.AgentType], now)})
	}
	rows := make([]typeRow, len(loads))
	for i, l := range loads {
		row := typeRow{Name: l.name, Known: known[l.name] != nil, Waiting: l.waiting, Running: l.running}
		if row.Known {
			row.URL = typesPath + url.PathEscape(l.name)
		}
		row.count(of[l.name])
		row.Sentence = typeSentence(row)
		rows[i] = row
	}
	return rows, nil
}

// listAgents fills in the agents that lists of types show.
func listAgents(tx *store.Tx, rows []typeRow) error {
	var ids []string
	for _, row := range rows {
		for _, p := range row.shown {
			ids = append(ids, p.ID)
		}
	}
	agents, err := tx.AgentsByID(ids)
	for i := range rows {
		for _, p := range rows[i].shown {
			if a := agents[p.ID]; a != nil {
				rows[i].Agents = append(rows[i].Agents, newAgentRow(a, p.SeenAt, p.lamp, tx.Now))
			}
		}
	}
	return err
}

type agentPulse struct {
	*signalbox.Pulse
	lamp Lamp
}

// agentsShown is how many agents of a type a list of types shows: those that ask for attention first.
const agentsShown = 50

// count counts the agents of a type, and notes those that a list shows.
func (row *typeRow) count(agents []agentPulse) {
	for _, a := range agents {
		row.lamps = append(row.lamps, a.lamp)
		switch a.lamp {
		case lampLost, lampSuspect, lampAside:
			row.Gone++
		case lampIdle:
			row.Idle++
		default:
			if !a.Working { // it is about to leave, and takes no job
				row.Gone++
			} else {
				row.Busy++
			}
		}
	}
	if row.Total = len(agents); row.Total == 0 {
		return
	}
	row.BusyWidth = 100 * row.Busy / row.Total
	row.IdleWidth = 100 - 100*(row.Busy+row.Gone)/row.Total
	if row.Total > agentsShown {
		agents = slices.Clone(agents)
		slices.SortStableFunc(agents, func(a, b agentPulse) int { return cmp.Compare(b.lamp.attention(), a.lamp.attention()) })
		agents, row.More = agents[:agentsShown], row.Total-agentsShown
	}
	row.shown = agents
}

// attention is how much an agent's state asks for somebody.
func (l Lamp) attention() int {
	return slices.Index([]Lamp{lampIdle, lampBusy, lampDraining, lampAside, lampSuspect, lampLost}, l)
}

func newAgentRow(a *signalbox.Agent, seen time.Time, lamp Lamp, now time.Time) agentRow {
	item := agentRow{
		Name: clip(a.Name, 80), URL: agentURL(a), Type: a.AgentType, Host: clip(a.Hostname, 80), System: clip(join(a.OS, a.Arch), 60), Version: clip(a.Version, 30),
		IP: clip(a.IP, 50), Lamp: lamp, Seen: moment(seen, now), Since: moment(a.CreatedAt, now),
	}
	item.Labels, item.Note = labelText(a.Labels), agentNote(a)
	item.Problems, item.Quarantine = clip(signalbox.ProblemText(a.Problems), 400), newQuarantineView(a.Quarantine)
	if a.JobID != "" {
		item.JobURL = "/jobs/" + a.JobID
	}
	return item
}

func agentURL(a *signalbox.Agent) string {
	return typesPath + url.PathEscape(a.AgentType) + "/agents/" + (&url.URL{Path: a.Name}).EscapedPath()
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

// agentLamp is how an agent stands that was last heard of at a time.
func agentLamp(p signalbox.Pulse, heard time.Time, t *signalbox.AgentType, now time.Time) Lamp {
	limit := signalbox.IdleLostAfter
	if p.Working {
		limit = signalbox.DefaultLostAfter
		if t != nil && t.LostAfter > 0 {
			limit = t.LostAfter
		}
	}
	switch {
	case !heard.IsZero() && now.Sub(heard) > limit:
		return lampLost
	case p.Leaving:
		return lampDraining
	case p.Aside:
		return lampAside
	case p.Connected && now.Sub(heard) > signalbox.SuspectAfter:
		return lampSuspect
	case p.Working:
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
	case t.Total == 0 && t.Waiting > 0:
		return "No agent is connected; " + waits
	case t.Total == 0:
		return "No agent is connected"
	case t.Waiting > 0:
		return plural(t.Busy, "agent", "agents") + " of " + count(t.Total) + " busy; " + waits
	}
	return count(t.Busy) + " of " + plural(t.Total, "agent", "agents") + " busy"
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
