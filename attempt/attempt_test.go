package attempt

import (
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

func TestTimeUp(t *testing.T) {
	start := time.Unix(1000, 0)
	j := signalbox.Job{DebugOf: "x", TimeLimit: time.Minute, StartedAt: start}
	for _, c := range []struct {
		name   string
		change func(*signalbox.Job)
		result signalbox.JobResult
		at     time.Duration
		want   bool
	}{
		{"the wait ended", nil, signalbox.JobPassed, time.Minute, true},
		{"the wait was cut short from inside", nil, signalbox.JobPassed, 59 * time.Second, false},
		{"the machinery failed late", nil, signalbox.JobFailed, 2 * time.Minute, false},
		{"an ordinary job", func(j *signalbox.Job) { j.DebugOf = "" }, signalbox.JobPassed, 2 * time.Minute, false},
		{"without a limit", func(j *signalbox.Job) { j.TimeLimit = 0 }, signalbox.JobPassed, 2 * time.Minute, false},
		{"never started", func(j *signalbox.Job) { j.StartedAt = time.Time{} }, signalbox.JobPassed, 2 * time.Minute, false},
	} {
		k := j
		if c.change != nil {
			c.change(&k)
		}
		if got := timeUp(&k, c.result, start.Add(c.at)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestFetch(t *testing.T) {
	at := time.Unix(1000, 0)
	for _, c := range []struct {
		state, want signalbox.AttemptState
		changed     bool
		code        signalbox.Code
	}{
		{signalbox.AttemptOffered, signalbox.AttemptFetched, true, ""},
		{signalbox.AttemptFetched, signalbox.AttemptFetched, false, ""},
		{signalbox.AttemptRunning, signalbox.AttemptRunning, false, ""},
		{signalbox.AttemptEnded, signalbox.AttemptEnded, false, signalbox.CodeNotFound},
	} {
		r := Rows{Job: &signalbox.Job{State: signalbox.JobOffered}, Attempt: &signalbox.Attempt{State: c.state}}
		change, err := r.Fetch(at)
		if r.Attempt.State != c.want || (change != Change{}) != c.changed || signalbox.ErrorCode(err) != c.code {
			t.Errorf("%s: %s, %+v, %v", c.state, r.Attempt.State, change, err)
		}
	}
}
