package store

import (
	"time"

	"github.com/signalbox-ci/signalbox"
)

// JobChange is a change of a job's state. Only what no job has of its own is in it: it is made to be counted.
type JobChange struct {
	AgentType  string
	From, To   signalbox.JobState
	Result     signalbox.JobResult // once finished
	Retries    int
	QueuedAt   time.Time
	StartedAt  time.Time
	FinishedAt time.Time
}

// jobChanged notes a change for whoever observes, once the transaction is durable.
func (t *Tx) jobChanged(j *signalbox.Job, from signalbox.JobState) {
	t.changes = append(t.changes, JobChange{
		AgentType: j.AgentType, From: from, To: j.State, Result: j.Result, Retries: j.Retries,
		QueuedAt: j.QueuedAt, StartedAt: j.StartedAt, FinishedAt: j.FinishedAt,
	})
}

// Transaction is one transaction that ended, however it ended.
type Transaction struct {
	Log   bool // of the log database
	Write bool
	Took  time.Duration // from the call to its end, waiting for others and for the disk included
}

// timed reports a transaction when what it returns is called.
func (s *Store) timed(log, write bool) func() {
	if s.onTransaction == nil {
		return func() {}
	}
	begin := time.Now()
	return func() {
		s.onTransaction(Transaction{Log: log, Write: write, Took: time.Since(begin)})
	}
}

// tell reports changes that are durable.
func (s *Store) tell(changes []JobChange) {
	if s.onJob == nil {
		return
	}
	for _, c := range changes {
		s.onJob(c)
	}
}
