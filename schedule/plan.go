package schedule

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/cron"
	"github.com/signalbox-ci/signalbox/store"
)

const (
	onTime   = time.Minute // a run that begins later than this was missed
	maxCount = 1000        // of missed runs that are counted
)

// Plan makes runs of all tasks that are due. Each task's next time is set by compare-and-set together with its run, so
// one of several servers makes it.
func (s *Scheduler) Plan(ctx context.Context) error {
	for {
		full := false
		if err := s.o.Store.Write(ctx, func(tx *store.Tx) error {
			due, err := tx.DueTasks(tx.Now, batch)
			if err != nil {
				return err
			}
			full = len(due) == batch
			for _, k := range due {
				if err := makeRun(tx, k); err != nil {
					return err
				}
			}
			return nil
		}); err != nil || !full {
			return err
		}
	}
}

func makeRun(tx *store.Tx, k *signalbox.Task) error {
	d := decide(k, tx.Now)
	won, err := tx.AdvanceTask(k, d.next)
	if err != nil || !won {
		return err
	}
	r := &signalbox.TaskRun{
		TaskID: k.ID, ProjectID: k.ProjectID, Token: token(d.due), DueAt: d.due, Requester: k.Owner, Ref: k.Ref, PipelineFile: k.PipelineFile,
		Parameters: Defaults(k.Parameters), Status: signalbox.TaskRunRunning, Note: d.note, Error: d.refused,
	}
	if r.Error == "" && k.Overlap == signalbox.OverlapSkip {
		open, err := tx.OpenTaskRuns(k.ID)
		if err != nil {
			return err
		}
		if len(open) > 0 {
			r.Error = "Skipped: the workflow of an earlier run has not ended, and overlap is skip."
		}
	}
	if r.Error != "" {
		r.Status, r.ScheduledAt = signalbox.TaskRunFailed, tx.Now
		r.Error = signalbox.CutText(r.Error, signalbox.MaxTaskError)
	}
	_, err = tx.CreateTaskRun(r, 0, Actor)
	return err
}

// token names one time that a task was due.
func token(due time.Time) string { return "due " + strconv.FormatInt(due.UnixMilli(), 10) }

// decision is what is to be done with a task that is due.
type decision struct {
	due, next time.Time // the time that counts, and the one to wait for
	note      string    // what was missed
	refused   string    // why nothing is started
}

// decide takes a task whose NextRunAt has come. Of several times that have passed the newest counts.
func decide(k *signalbox.Task, now time.Time) decision {
	first := k.NextRunAt
	e, err := cron.Parse(k.At)
	if err != nil {
		return decision{due: first, refused: signalbox.ErrorMessage(err)}
	}
	loc, err := cron.Zone(k.TimeZone)
	if err != nil {
		return decision{due: first, refused: signalbox.ErrorMessage(err)}
	}
	d := decision{due: first, next: e.Next(now, loc)}
	if newest := e.Newest(first, now, loc); !newest.IsZero() {
		d.due = newest
	}
	late := now.Sub(d.due) > onTime
	if d.due.Equal(first) && !late {
		return d
	}
	n := 1
	for t := first; t.Before(d.due) && n <= maxCount; n++ {
		if t = e.Next(t, loc); t.IsZero() {
			break
		}
	}
	const layout = "2006-01-02 15:04 MST"
	from, to := first.In(loc).Format(layout), d.due.In(loc).Format(layout)
	what := "1 run at " + from
	switch {
	case n > maxCount:
		what = fmt.Sprintf("more than %d runs between %s and %s", maxCount, from, to)
	case n > 1:
		what = fmt.Sprintf("%d runs between %s and %s", n, from, to)
	}
	if k.CatchUp == signalbox.CatchUpSkip && late {
		d.note = "missed: " + what + ", not run"
		d.refused = "Skipped: no server was there to start it in time, and catch_up is skip."
		return d
	}
	d.note = "missed: " + what + ", run once"
	return d
}
