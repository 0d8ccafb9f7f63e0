package schedule

import (
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/cron"
	"github.com/signalbox-ci/signalbox/store"
)

// Problem is one thing that is wrong with what somebody asks for, and where: name, description, at, time_zone, reference,
// pipeline_file, overlap, catch_up, parameters, or a parameter's place and field, parameters.0.name.
type Problem struct {
	Field string
	Err   error
}

// Check tells what is wrong with the settings of a task, and completes those that have a default.
func Check(k *signalbox.Task) error { return first(check(k)) }

// Problems tells all that is wrong with a task that somebody fills in at a time: what Check refuses, an expression that never
// comes true, and defaults that runs would refuse.
func Problems(k *signalbox.Task, now time.Time) []Problem {
	all := check(k)
	if len(all) == 0 {
		if err := plan(k, now); err != nil {
			all = append(all, Problem{"at", err})
		}
	}
	return append(all, defaultProblems(k.Parameters)...)
}

func first(all []Problem) error {
	if len(all) == 0 {
		return nil
	}
	return all[0].Err
}

func check(k *signalbox.Task) (out []Problem) {
	if k.Overlap == "" {
		k.Overlap = signalbox.OverlapAllow
	}
	if k.CatchUp == "" {
		k.CatchUp = signalbox.CatchUpOne
	}
	k.Ref = signalbox.ParseRef(k.Ref)
	wrong := func(field, format string, args ...any) {
		out = append(out, Problem{field, signalbox.Errorf(signalbox.CodeInvalid, format, args...)})
	}
	if err := signalbox.ValidateTaskName(k.Name); err != nil {
		out = append(out, Problem{"name", err})
	}
	kind, short := signalbox.RefParts(k.Ref)
	switch {
	case k.Recurring && k.At == "":
		wrong("at", "task %q is recurring, so it needs 'at': when it runs, such as \"0 3 * * *\"", k.Name)
	case k.At != "":
		if _, err := cron.Parse(k.At); err != nil {
			out = append(out, Problem{"at", err})
		}
	}
	switch {
	case k.Recurring && k.Ref == "":
		wrong("reference", "task %q is recurring, so it needs a branch or reference to run on", k.Name)
	case k.Ref != "" && (kind == "" || short == "" || strings.ContainsFunc(k.Ref, badInRef)):
		wrong("reference", "the reference %.100q is none; write a branch name, refs/heads/NAME, refs/tags/NAME or refs/pull/NUMBER/head", k.Ref)
	}
	switch {
	case k.Recurring && k.PipelineFile == "":
		wrong("pipeline_file", "task %q is recurring, so it needs a pipeline_file", k.Name)
	case len(k.PipelineFile) > 1000 || strings.ContainsFunc(k.PipelineFile, unicode.IsControl):
		wrong("pipeline_file", "pipeline_file %.100q is no path of a file in the repository", k.PipelineFile)
	}
	if len(k.Description) > 10000 {
		wrong("description", "the description is %d bytes long; at most 10000 are allowed", len(k.Description))
	}
	if k.Overlap != signalbox.OverlapAllow && k.Overlap != signalbox.OverlapSkip {
		wrong("overlap", "overlap %.40q is not known; use allow or skip", k.Overlap)
	}
	if k.CatchUp != signalbox.CatchUpOne && k.CatchUp != signalbox.CatchUpSkip {
		wrong("catch_up", "catch_up %.40q is not known; use one or skip", k.CatchUp)
	}
	if _, err := cron.Zone(k.TimeZone); err != nil {
		out = append(out, Problem{"time_zone", err})
	}
	return append(out, checkParameters(k.Parameters)...)
}

func badInRef(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(" ~^:?*[\\", r) }

// plan sets when a task runs next. An expression that names no time in reach is refused, also while the task is paused.
func plan(k *signalbox.Task, now time.Time) error {
	k.NextRunAt = time.Time{}
	if !k.Recurring {
		return nil
	}
	e, err := cron.Parse(k.At)
	if err != nil {
		return err
	}
	loc, err := cron.Zone(k.TimeZone)
	if err != nil {
		return err
	}
	next := e.Next(now, loc)
	if next.IsZero() {
		return e.Never()
	}
	if !k.Paused {
		k.NextRunAt = next
	}
	return nil
}

// Create checks, plans and stores a new task.
func Create(tx *store.Tx, k *signalbox.Task, actor string) error {
	if err := Check(k); err != nil {
		return err
	}
	if err := plan(k, tx.Now); err != nil {
		return err
	}
	return tx.CreateTask(k, actor)
}

// Update lets change set what it wants in a task, then checks, plans and stores it. The next run stays as it was planned
// unless its time itself changed, so a run that is due is not lost by another change. who is a user's name.
func Update(tx *store.Tx, id, who, actor string, change func(*signalbox.Task) error) (*signalbox.Task, error) {
	k, err := tx.LockTask(id)
	if err != nil {
		return nil, err
	}
	was := *k
	if err := change(k); err != nil {
		return nil, err
	}
	if err := Check(k); err != nil {
		return nil, err
	}
	what := changes(&was, k)
	if len(what) == 0 {
		return k, nil
	}
	reason := "changed"
	if was.Paused != k.Paused {
		k.PausedBy, k.PausedAt = who, tx.Now
		if reason = "resumed"; k.Paused {
			reason = "paused"
		}
	}
	moved := was.At != k.At || was.TimeZone != k.TimeZone || was.Recurring != k.Recurring
	switch {
	case moved, was.Paused && !k.Paused:
		if err := plan(k, tx.Now); err != nil {
			return nil, err
		}
	case k.Paused: // also a task whose last time is over
		k.NextRunAt = time.Time{}
	}
	return k, tx.UpdateTask(k, actor, reason, strings.Join(what, ", "))
}

// changes names what differs between two versions of a task.
func changes(was, is *signalbox.Task) (out []string) {
	for _, c := range []struct {
		what    string
		differs bool
	}{
		{"name", was.Name != is.Name},
		{"description", was.Description != is.Description},
		{"recurring", was.Recurring != is.Recurring},
		{"at", was.At != is.At},
		{"time zone", was.TimeZone != is.TimeZone},
		{"reference", was.Ref != is.Ref},
		{"pipeline file", was.PipelineFile != is.PipelineFile},
		{"parameters", (len(was.Parameters) > 0 || len(is.Parameters) > 0) && !reflect.DeepEqual(was.Parameters, is.Parameters)},
		{"paused", was.Paused != is.Paused},
		{"overlap", was.Overlap != is.Overlap},
		{"catch up", was.CatchUp != is.CatchUp},
	} {
		if c.differs {
			out = append(out, c.what)
		}
	}
	return out
}
