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

func TestRetries(t *testing.T) {
	lost := End{Result: signalbox.JobFailed, Reason: signalbox.ReasonAgentLost}
	gone := lost
	gone.Surely = true
	failed := func(r signalbox.Reason) End { return End{Result: signalbox.JobFailed, Reason: r} }
	interrupted := End{Result: signalbox.JobStopped, Reason: signalbox.ReasonInterrupted}
	asks := &signalbox.Retry{On: []signalbox.Reason{signalbox.ReasonAgentLost, signalbox.ReasonInterrupted}, Limit: 2}
	for _, c := range []struct {
		name      string
		retry     *signalbox.Retry
		ephemeral bool
		retried   int
		debug     bool
		end       End
		want      bool
	}{
		{"nobody asks", nil, false, 0, false, gone, false},
		{"the job asks", asks, false, 1, false, lost, true},
		{"the job has asked often enough", asks, false, 2, false, lost, false},
		{"the job asks for other reasons", asks, true, 0, false, failed(signalbox.ReasonStartFailed), false},
		{"interrupted, as the job asks", asks, false, 0, false, interrupted, true},
		{"stopped by somebody", asks, true, 0, false, End{Result: signalbox.JobStopped, Reason: signalbox.ReasonUser}, false},
		{"a machine for one job, interrupted", nil, true, 0, false, interrupted, true},
		{"a machine for one job, silent", nil, true, 0, false, lost, false},
		{"a machine for one job, surely gone", nil, true, 0, false, gone, true},
		{"a machine for one job, its lease ended", nil, true, 0, false, failed(signalbox.ReasonLeaseEnded), true},
		{"a machine for one job, again", nil, true, 1, false, gone, false},
		{"a machine for one job, failing tests", nil, true, 0, false, failed(signalbox.ReasonTest), false},
		{"a machine for one job, debugging", nil, true, 0, true, gone, false},
	} {
		j := &signalbox.Job{Retries: c.retried}
		j.Spec.Retry = c.retry
		if c.debug {
			j.DebugOf = "x"
		}
		if got := retries(j, &signalbox.Agent{Ephemeral: c.ephemeral}, c.end); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if retries(&signalbox.Job{}, nil, gone) {
		t.Error("a job without an agent row is run again")
	}
}
