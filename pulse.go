package signalbox

import "time"

// Pulse is how a living agent stands, in so few words that those of ten thousand agents are read for one page.
type Pulse struct {
	ID, AgentType string
	Connected     bool // it has not said goodbye
	Working       bool // it has an attempt
	Leaving       bool // drained or disabled
	Aside         bool // in quarantine
	CreatedAt     time.Time
	SeenAt        time.Time // its last stored heartbeat, zero for none
}

// Pulse returns how an agent stands, of which a heartbeat was stored at a time, or none when that is zero.
func (a *Agent) Pulse(seen time.Time) Pulse {
	return Pulse{
		ID: a.ID, AgentType: a.AgentType, Connected: a.State == AgentRegistered, Working: a.AttemptID != "",
		Leaving: !a.DrainAt.IsZero() || !a.DisabledAt.IsZero(), Aside: !a.QuarantinedAt.IsZero(), CreatedAt: a.CreatedAt, SeenAt: seen,
	}
}

// HeardOf returns when the agent was last heard of for all that this server can know: a heartbeat, its registration, or, where
// both are older, the start of the server, before which nobody could listen.
func (p Pulse) HeardOf(started time.Time) time.Time {
	at := started
	for _, t := range []time.Time{p.SeenAt, p.CreatedAt} {
		if t.After(at) {
			at = t
		}
	}
	return at
}
