package storetest

import (
	"maps"
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func testPulses(s *suite) {
	w := s.world()
	now := time.UnixMilli(5)
	all := map[string]*signalbox.Agent{}
	for name, change := range map[string]func(*signalbox.Agent){
		"busy": func(a *signalbox.Agent) { a.AttemptID, a.JobID = "x", "y" }, "drained": func(a *signalbox.Agent) { a.DrainAt = now },
		"disabled": func(a *signalbox.Agent) { a.DisabledAt = now }, "aside": func(a *signalbox.Agent) { a.QuarantinedAt = now },
		"left": func(a *signalbox.Agent) { a.State = signalbox.AgentDisconnected }, "gone": func(a *signalbox.Agent) { a.GoneAt = now }, "free": nil,
	} {
		a := s.agent(w, name)
		if change != nil {
			change(a)
			s.write(func(t *store.Tx) error { return t.UpdateAgent(a, "", "dispatch", "", "") })
		}
		all[name] = a
	}
	at := time.Now().UTC().Truncate(time.Millisecond).Add(10 * time.Second)
	s.write(func(t *store.Tx) error {
		return t.SaveSeen([]store.Seen{{AgentID: all["busy"].ID, At: at, State: "running-job"}})
	})
	var want []signalbox.Pulse
	for _, name := range []string{"aside", "busy", "disabled", "drained", "free", "left"} {
		seen := all[name].CreatedAt
		if name == "busy" {
			seen = at
		}
		want = append(want, all[name].Pulse(seen))
	}
	var got []signalbox.Pulse
	for _, p := range get(s, (*store.Tx).Pulses) {
		got = append(got, *p)
	}
	s.equal("pulses", got, want)
	some := get(s, func(t *store.Tx) (map[string]*signalbox.Agent, error) {
		return t.AgentsByID([]string{all["busy"].ID, all["gone"].ID, "nobody"})
	})
	s.equal("by ids", slices.Collect(maps.Keys(some)), []string{all["busy"].ID})
}
