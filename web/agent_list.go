package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// allAgents is the page with the agents of all types.
const allAgents = "/agents/all"

// agentPage is how many agents stand on one page.
const agentPage = 100

type agentListBody struct {
	Agents                            []agentRow
	Total, Found                      int
	From, To                          int
	Newer, Older                      string
	Query, State, Type, OS, Version   string
	States, AllTypes, Systems, Builds []string
	Filtered, Manage                  bool
	Back                              string
	Tabs                              agentTabs
}

var agentStates = []Lamp{lampIdle, lampBusy, lampDraining, lampAside, lampSuspect, lampLost}

func (w *Web) getAllAgents(rw http.ResponseWriter, r *http.Request) error {
	var b agentListBody
	var s Shell
	manage := may(r, auth.AgentTypeManage)
	q := r.URL.Query()
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b = agentListBody{
			Manage: manage, Query: clip(strings.TrimSpace(q.Get("q")), 200), State: q.Get("state"), Type: q.Get("type"), OS: q.Get("os"), Version: q.Get("version"),
			Back: allAgents + "?" + q.Encode(),
		}
		b.Filtered = b.Query+b.State+b.Type+b.OS+b.Version != ""
		var err error
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		if _, err := b.Tabs.read(tx, r); err != nil {
			return err
		}
		return w.findAgents(tx, &b, q)
	})
	if err != nil {
		return err
	}
	for _, l := range agentStates {
		b.States = append(b.States, l.Word)
	}
	s.Title, s.Section, s.Script, s.Topics = "All agents", "agents", "page", []string{"agents"}
	s.Crumbs = []Link{{"Agents", "/agents"}}
	return w.render(rw, http.StatusOK, "all-agents", s, b)
}

// findAgents filters all agents and makes rows of one page of those that are left.
func (w *Web) findAgents(tx *store.Tx, b *agentListBody, q url.Values) error {
	types, err := tx.AgentTypes()
	if err != nil {
		return err
	}
	known := map[string]*signalbox.AgentType{}
	for _, t := range types {
		known[t.Name] = t
		b.AllTypes = append(b.AllTypes, t.Name)
	}
	agents, err := tx.Agents("")
	if err != nil {
		return err
	}
	seen, err := tx.LastSeen()
	if err != nil {
		return err
	}
	b.Total = len(agents)
	systems, builds := map[string]bool{}, map[string]bool{}
	words := strings.Fields(strings.ToLower(b.Query))
	type hit struct {
		agent *signalbox.Agent
		lamp  Lamp
	}
	var hits []hit
	for _, a := range agents {
		system := join(a.OS, a.Arch)
		systems[system], builds[a.Version] = true, true
		if b.Type != "" && a.AgentType != b.Type || b.OS != "" && system != b.OS || b.Version != "" && a.Version != b.Version || !matches(a, words, b.Manage) {
			continue
		}
		pulse := a.Pulse(seen[a.ID].At)
		lamp := agentLamp(pulse, pulse.HeardOf(w.o.Started), known[a.AgentType], tx.Now)
		if b.State == "" || lamp.Word == b.State {
			hits = append(hits, hit{a, lamp})
		}
	}
	b.Systems, b.Builds = choices(systems), choices(builds)
	b.Found = len(hits)
	n, _ := strconv.Atoi(q.Get("page"))
	n = min(max(n, 1), max(1, (len(hits)+agentPage-1)/agentPage))
	from, to := (n-1)*agentPage, min(n*agentPage, len(hits))
	b.From, b.To = from+1, to
	at := func(page int) string {
		v := url.Values{}
		for k := range q {
			v.Set(k, q.Get(k))
		}
		v.Set("page", strconv.Itoa(page))
		return allAgents + "?" + v.Encode()
	}
	if n > 1 {
		b.Newer = at(n - 1)
	}
	if to < len(hits) {
		b.Older = at(n + 1)
	}
	for _, h := range hits[from:to] {
		row := newAgentRow(h.agent, seen[h.agent.ID].At, h.lamp, tx.Now)
		if !b.Manage {
			row.IP = ""
		}
		b.Agents = append(b.Agents, row)
	}
	return nil
}

// matches tells whether an agent has all words in what a list shows of it. Addresses are found by whoever may see them.
func matches(a *signalbox.Agent, words []string, manage bool) bool {
	if len(words) == 0 {
		return true
	}
	text := strings.ToLower(a.Name + " " + a.Hostname + " " + labelText(a.Labels))
	if manage {
		text += " " + a.IP
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// mostChoices bounds a list to choose from: agents say themselves what they are.
const mostChoices = 100

func choices(set map[string]bool) []string {
	delete(set, "")
	var out []string
	for c := range set {
		out = append(out, c)
	}
	slices.Sort(out)
	return out[:min(len(out), mostChoices)]
}
