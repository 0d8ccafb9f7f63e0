package web

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/store"
)

// agentSummary is what the table of all types says of one.
type agentSummary struct {
	typeRow
	System  string // of its agents
	Builds  string // versions
	States  []stateCount
	Words   string // how many agents are in which state
	Oldest  Took
	Most    string // within which 95 of 100 jobs began in the last day, "" where none did
	Load    string
	UsageOf string // address
	UsedBy  int    // projects, in the last day
}

// stateCount is a part of the meter of a type's agents, of 100.
type stateCount struct {
	Class       string
	N, X, Width int
}

// summaries says of each type how its agents and its line are, and how they were in the last day.
func summaries(tx *store.Tx, rows []typeRow, usages map[string]*fleet.Usage) (out []agentSummary, err error) {
	lines, err := tx.LineCounts()
	if err != nil {
		return nil, err
	}
	oldest := map[string]time.Time{}
	for _, l := range lines {
		oldest[l.AgentType] = l.Oldest
	}
	builds, err := tx.Builds()
	if err != nil {
		return nil, err
	}
	of := map[string][]*store.Build{}
	for _, b := range builds {
		of[b.AgentType] = append(of[b.AgentType], b)
	}
	for _, row := range rows {
		s := agentSummary{typeRow: row, Oldest: took(oldest[row.Name], time.Time{}, tx.Now)}
		s.System, s.Builds = systemsOf(of[row.Name]), versionsOf(of[row.Name])
		s.States, s.Words = meterOf(row.lamps)
		if u := usages[row.Name]; u != nil {
			v := newUsageView(row.Name, u, tx.Now)
			s.Most, s.Load, s.UsageOf, s.UsedBy = v.Most, v.Load, v.URL, u.Projects
		}
		out = append(out, s)
	}
	return out, nil
}

// meterLamps are the states of agents in the order in which a meter has them.
var meterLamps = []Lamp{lampBusy, lampDraining, lampAside, lampSuspect, lampLost, lampIdle}

// meterOf counts agents by how they stand, in words and as parts of a meter.
func meterOf(lamps []Lamp) (parts []stateCount, words string) {
	n := map[Lamp]int{}
	for _, l := range lamps {
		n[l]++
	}
	var said []string
	done := 0
	for _, l := range meterLamps {
		if n[l] == 0 {
			continue
		}
		said = append(said, count(n[l])+" "+strings.ToLower(l.Word))
		x := 100 * done / len(lamps)
		done += n[l]
		parts = append(parts, stateCount{l.Class, n[l], x, 100*done/len(lamps) - x})
	}
	return parts, strings.Join(said, ", ")
}

// mostSaid is how many different systems or versions are named; of more there is only the number.
const mostSaid = 3

func systemsOf(builds []*store.Build) string {
	return fewOf(builds, "systems", func(b *store.Build) string { return clip(join(b.OS, b.Arch), 60) })
}

func versionsOf(builds []*store.Build) string {
	return fewOf(builds, "versions", func(b *store.Build) string { return clip(b.Version, 30) })
}

// fewOf names what builds have, or says how many different ones there are.
func fewOf(builds []*store.Build, many string, what func(*store.Build) string) string {
	var out []string
	for _, b := range builds {
		if s := what(b); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if len(out) > mostSaid {
		return strconv.Itoa(len(out)) + " " + many
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}
