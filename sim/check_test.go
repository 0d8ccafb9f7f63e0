package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/verify"
)

// check holds what is stored against what the simulated processes did and were told.
func (w *world) check() {
	w.look()
	w.verify()
	w.own(func(tx *store.Tx) error {
		pipelines, _, jobs, err := tx.PipelinesAfter("", 1000)
		if err != nil {
			return err
		}
		for _, p := range pipelines {
			if w.halted[p.ID] && p.Result == signalbox.ResultPassed {
				w.wrong("pipeline %s was stopped and has passed (I7)", p.ID)
			}
			w.count("pipeline " + string(p.Result))
		}
		for _, j := range jobs {
			attempts, err := tx.Attempts(j.ID)
			if err != nil {
				return err
			}
			w.checkJob(j, attempts)
		}
		return w.checkQuarantine(tx)
	})
}

func (w *world) checkJob(j *signalbox.Job, attempts []*signalbox.Attempt) {
	if j.Copied {
		w.count("job taken over by a repeat")
		return
	}
	w.count(strings.TrimSpace("job " + string(j.Result) + " " + string(j.Reason)))
	w.tally["job queued again"] += j.Retries
	if j.State != signalbox.JobFinished {
		w.wrong("job %s is %s (I1)", j.Name, j.State)
	}
	if w.stopped[j.ID] && j.Result != signalbox.JobStopped {
		w.wrong("job %s was stopped and has %s (I7)", j.Name, j.Result)
	}
	if most := w.mostRetries(j); j.Retries > most {
		w.wrong("job %s was run again %d times; its file says %+v", j.Name, j.Retries, j.Spec.Retry)
	}
	runs, passed := 0, false
	for i, a := range attempts {
		if a.N != i+1 {
			w.wrong("attempt %d of job %s comes after %d others (I2)", a.N, j.Name, i)
		}
		if !a.FetchedAt.IsZero() {
			runs++
		}
		if again := i < len(attempts)-1 && a.Result != ""; again && !w.retries(j, a) {
			w.wrong("job %s was run again after attempt %d: %s %s; its file says %+v", j.Name, a.N, a.Result, a.Reason, j.Spec.Retry)
		}
		passed = passed || a.Result == signalbox.JobPassed
		w.note("%s: attempt %d on %s: %s %s %s %s", j.Name, a.N, a.AgentName, a.Result, a.Reason, a.LateResult, a.EndedAt)
		w.checkAttempt(j, a)
		w.checkLease(j, a)
	}
	w.note("%s: %s %s %s", j.Name, j.Result, j.Reason, j.FinishedAt)
	if runs > j.Retries+1 {
		w.wrong("job %s was fetched %d times and queued again %d times (I2)", j.Name, runs, j.Retries)
	}
	if j.Result == signalbox.JobPassed && !passed {
		w.wrong("job %s has passed, and none of its attempts has (I2)", j.Name)
	}
}

// checkAttempt checks that an attempt ended as its own agent ended it, when it says so, and that its log is the events that
// this agent printed, in order, each once: of those it was told are stored, all.
func (w *world) checkAttempt(j *signalbox.Job, a *signalbox.Attempt) {
	w.count(strings.TrimSpace("attempt " + string(a.Result) + " " + string(a.Reason)))
	if a.LateResult != "" {
		w.count("late result kept as evidence")
	}
	if a.State != signalbox.AttemptEnded {
		w.wrong("attempt %d of job %s is %s (I1)", a.N, j.Name, a.State)
	}
	done := w.works[a.ID]
	if done == nil {
		done = &work{}
	}
	if said := a.Result; said == signalbox.JobPassed || said == signalbox.JobFailed && a.Reason == signalbox.ReasonTest {
		unread := said == signalbox.JobFailed && w.unread[j.ID+" "+a.AgentName]
		if (!done.ended || done.result != said) && !unread {
			w.wrong("attempt %d of job %s has %s, but its agent %s ended with %q (I2)", a.N, j.Name, said, a.AgentName, done.result)
		}
	}
	if w.jumps == 0 && w.tally["statement refused by the disk"] == 0 {
		w.checkOffer(j, a)
	}
	if a.Reason == signalbox.ReasonAgentLost && w.jumps == 0 && w.tally["people: force an agent"]+w.tally["people without an answer"] == 0 {
		w.checkLost(j, a)
	}
	w.checkLog(j, a, done)
}

// checkOffer checks that an offer that nobody fetched went back soon, where there was a server to take it back.
func (w *world) checkOffer(j *signalbox.Job, a *signalbox.Attempt) {
	if !a.FetchedAt.IsZero() || a.EndedAt.Sub(a.OfferedAt) < 2*time.Minute {
		return
	}
	for _, t := range w.boots {
		// The store knows milliseconds, and what arrives first at a new server may be of the same one.
		if a.OfferedAt.Before(t) && !a.EndedAt.Before(t.Truncate(time.Millisecond)) {
			return
		}
	}
	w.wrong("attempt %d of job %s was offered at %s, never fetched, and ended at %s (I3)", a.N, j.Name, a.OfferedAt, a.EndedAt)
}

// checkLost checks that an agent that counts as lost was silent for as long as that takes, with a server there to hear it. A
// clock that jumps may end that early.
func (w *world) checkLost(j *signalbox.Job, a *signalbox.Attempt) {
	w.count("agent lost while clocks are right")
	heard := slices.Clone(w.boots)
	for _, token := range w.tokens[a.AgentName] {
		heard = append(heard, w.heard[token]...)
	}
	least := 5 * time.Minute
	if a.Lease > 0 {
		least = a.Lease + time.Minute
		w.count("agent lost because of its lease")
	}
	for _, t := range heard {
		if t.Before(a.EndedAt) && a.EndedAt.Sub(t) < least-time.Second {
			w.wrong("attempt %d of job %s: its agent counts as lost since %s, and it, or the server, was there at %s (I1)", a.N, j.Name, a.EndedAt, t)
			return
		}
	}
}

func (w *world) checkLog(j *signalbox.Job, a *signalbox.Attempt, done *work) {
	bad := func(format string, args ...any) {
		w.wrong("the log of attempt %d of job %s: %s", a.N, j.Name, fmt.Sprintf(format, args...))
	}
	logs := joblog.New(joblog.Options{Store: w.st})
	in, err := logs.Info(context.Background(), a.ID)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		if done.acked > 0 {
			bad("there is none, but %d events were acknowledged (I5)", done.acked)
		}
		return
	}
	var text, want strings.Builder
	if err == nil {
		err = logs.Text(context.Background(), a.ID, &text)
	}
	switch {
	case err != nil:
		bad("%v", err)
		return
	case !in.Closed:
		bad("it is open, and the attempt has ended")
	case in.Differing > 0 || len(in.Gaps) > 0:
		bad("%d events differ, gaps are %v (I6)", in.Differing, in.Gaps)
	case in.NextEvent < int64(done.acked) || in.NextEvent > int64(len(done.lines)):
		bad("it has %d events, %d were acknowledged, %d were printed (I5)", in.NextEvent, done.acked, len(done.lines))
		return
	}
	w.tally["log event"] += int(in.NextEvent)
	if int(in.NextEvent) == len(done.lines) {
		w.count("log that is whole to the end")
	}
	for _, line := range done.lines[:in.NextEvent] {
		if _, out, ok := strings.Cut(line, `"output":"`); ok {
			out, _, _ = strings.Cut(out, `\n`)
			want.WriteString(out + "\n")
		}
	}
	if text.String() != want.String() {
		bad("it is %q, printed was %q (I5)", text.String(), want.String())
	}
}

// verify runs the checks of "signalbox admin verify".
func (w *world) verify() {
	s, err := store.OpenSnapshot(context.Background(), store.Options{Dir: w.dir})
	if err != nil {
		w.Fatal(err)
	}
	defer s.Close()
	all, err := verify.Run(context.Background(), verify.Options{Snapshot: s, Keys: w.keys})
	if err != nil {
		w.Fatal(err)
	}
	for _, o := range all {
		for _, v := range o.Violations {
			w.wrong("verify: %s: %s %s: %s", o.ID, v.Noun, v.ID, v.What)
		}
	}
}
