package web

import (
	"net/http"
	"net/url"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

type typeRow struct {
	Name             string
	Known            bool // false when jobs ask for a type that nobody made
	Agents           []agentRow
	Busy, Idle, Gone int // Gone counts the agents that fell silent
	Waiting, Running int
	BusyWidth        int // of 100, for the meter
	IdleWidth        int
	Sentence         string
}

type agentRow struct {
	Name, Host, System, Version, IP string
	Lamp                            Lamp
	JobURL                          string
	Seen                            *Moment
	Since                           *Moment
}

type agentsBody struct {
	Types []typeRow
}

func (w *Web) getAgents(rw http.ResponseWriter, r *http.Request) error {
	var b agentsBody
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		var err error
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		b.Types, err = w.types(tx, tx.Now)
		return err
	})
	if err != nil {
		return err
	}
	s.Title, s.Section, s.Script = "Agents", "agents", "page"
	return w.render(rw, http.StatusOK, "agents", s, b)
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
		for _, a := range agents {
			if a.AgentType != l.name {
				continue
			}
			lamp := agentLamp(a, seen[a.ID].At, known[l.name], now)
			switch lamp {
			case lampLost:
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
