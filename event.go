package signalbox

import "time"

// Event is one line of the history of a thing. Noun is the table's word ("pipeline", "job", "agent", ...), N counts
// from 1 within one (Noun, ID). Every state change writes one, with who did it and why.
type Event struct {
	Noun   string    `json:"noun"`
	ID     string    `json:"id"`
	N      int       `json:"n"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`  // "user:<name>", "agent:<name>", "engine", "dispatch", "server"
	Reason string    `json:"reason"` // a short machine word or phrase: "fetched", "agent_lost", "terminate: user"
	Detail string    `json:"detail,omitempty"`
}

// Outbox is a side effect that was decided in a transaction and is carried out after it (commit statuses,
// notifications). Key makes it idempotent: a second entry with the same key is not stored.
type Outbox struct {
	ID        string
	Key       string
	Kind      string
	Payload   []byte
	CreatedAt time.Time
	RunAt     time.Time
	Attempts  int
	LastError string
	DoneAt    time.Time
}
