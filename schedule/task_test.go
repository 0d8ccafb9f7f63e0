package schedule

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func TestCheck(t *testing.T) {
	good := func() *signalbox.Task {
		return &signalbox.Task{Name: "nightly", Recurring: true, At: "0 3 * * *", Ref: "main", PipelineFile: "ci.yml"}
	}
	k := good()
	if err := Check(k); err != nil || k.Ref != "refs/heads/main" || k.Overlap != signalbox.OverlapAllow || k.CatchUp != signalbox.CatchUpOne {
		t.Errorf("%+v %v", k, err)
	}
	if err := Check(&signalbox.Task{Name: "by hand"}); err != nil {
		t.Errorf("a task that is only run by hand: %v", err)
	}
	param := func(p ...signalbox.TaskParameter) func(*signalbox.Task) {
		return func(k *signalbox.Task) { k.Parameters = p }
	}
	for _, c := range []struct {
		want   string
		change func(*signalbox.Task)
	}{
		{"a task needs a name", func(k *signalbox.Task) { k.Name = " " }},
		{"begins or ends with a space", func(k *signalbox.Task) { k.Name = "x " }},
		{"cannot be shown", func(k *signalbox.Task) { k.Name = "a\x1b[2J" }},
		{"looks like an id", func(k *signalbox.Task) { k.Name = signalbox.NewID() }},
		{"at most 255", func(k *signalbox.Task) { k.Name = strings.Repeat("x", 256) }},
		{"so it needs 'at'", func(k *signalbox.Task) { k.At = "" }},
		{"needs a branch or reference", func(k *signalbox.Task) { k.Ref = "" }},
		{"needs a pipeline_file", func(k *signalbox.Task) { k.PipelineFile = "" }},
		{"Invalid cron expression in 'at' field: ", func(k *signalbox.Task) { k.At = "0 25 * * *" }},
		{"Invalid cron expression in 'at' field: ", func(k *signalbox.Task) { k.Recurring, k.At = false, "nonsense" }},
		{"IANA name", func(k *signalbox.Task) { k.TimeZone = "Mars/Olympus" }},
		{`"refs/notes/x" is none`, func(k *signalbox.Task) { k.Ref = "refs/notes/x" }},
		{"is none", func(k *signalbox.Task) { k.Ref = "refs/heads/" }},
		{"is none", func(k *signalbox.Task) { k.Ref = "a b" }},
		{"is no path", func(k *signalbox.Task) { k.PipelineFile = "a\nb" }},
		{"use allow or skip", func(k *signalbox.Task) { k.Overlap = "queue" }},
		{"use one or skip", func(k *signalbox.Task) { k.CatchUp = "all" }},
		{"at most 10000", func(k *signalbox.Task) { k.Description = strings.Repeat("x", 10001) }},
		{"parameter 1 of the task has no name", param(signalbox.TaskParameter{})},
		{"becomes a variable", param(signalbox.TaskParameter{Name: "A=B"})},
		{"twice", param(signalbox.TaskParameter{Name: "A"}, signalbox.TaskParameter{Name: "A"})},
		{"no regex_pattern", param(signalbox.TaskParameter{Name: "A", Validate: true})},
		{"at most 512", param(signalbox.TaskParameter{Name: "A", Pattern: strings.Repeat("x", 513)})},
		{"cannot be read", param(signalbox.TaskParameter{Name: "A", Pattern: "("})},
		{"at most 100", param(make([]signalbox.TaskParameter, 101)...)},
	} {
		k := good()
		c.change(k)
		if err := Check(k); signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestChangesOfATask(t *testing.T) {
	bubble(t, func(w *world) {
		k := w.task("0 3 * * *", nil)
		at := func(h int) time.Time { return time.Date(2000, 1, 1, h, 0, 0, 0, time.UTC) }
		change := func(fn func(*signalbox.Task)) *signalbox.Task {
			t.Helper()
			w.write(func(tx *store.Tx) (err error) {
				k, err = Update(tx, k.ID, "bob", "user:bob", func(k *signalbox.Task) error { fn(k); return nil })
				return err
			})
			return k
		}
		if !k.NextRunAt.Equal(at(3)) {
			t.Fatalf("planned for %s", k.NextRunAt)
		}
		time.Sleep(4 * time.Hour)
		// It is due and nobody was there: a change of something else does not lose that.
		if change(func(k *signalbox.Task) { k.Description = "x" }); !k.NextRunAt.Equal(at(3)) {
			t.Errorf("another text planned it for %s", k.NextRunAt)
		}
		version := k.Version
		if change(func(*signalbox.Task) {}); k.Version != version {
			t.Error("a change of nothing was stored")
		}
		if change(func(k *signalbox.Task) { k.At = "0 6 * * *" }); !k.NextRunAt.Equal(at(6)) {
			t.Errorf("another time planned it for %s", k.NextRunAt)
		}
		if change(func(k *signalbox.Task) { k.TimeZone = "Asia/Tokyo" }); !k.NextRunAt.Equal(at(21)) {
			t.Errorf("another zone planned it for %s", k.NextRunAt)
		}
		if change(func(k *signalbox.Task) { k.Paused = true }); !k.NextRunAt.IsZero() || k.PausedBy != "bob" || !k.PausedAt.Equal(at(4)) {
			t.Errorf("paused: %+v", k)
		}
		time.Sleep(48 * time.Hour)
		if change(func(k *signalbox.Task) { k.Paused = false }); !k.NextRunAt.Equal(at(21).AddDate(0, 0, 2)) {
			t.Errorf("resumed for %s", k.NextRunAt) // the paused days were not missed
		}
		var reasons []string
		w.write(func(tx *store.Tx) error {
			reasons = nil
			events, err := tx.Events("task", k.ID)
			for _, e := range events {
				reasons = append(reasons, e.Reason+" "+e.Detail)
			}
			return err
		})
		if d := cmp.Diff([]string{"created 0 3 * * *", "changed description", "changed at", "changed time zone", "paused paused", "resumed paused"}, reasons); d != "" {
			t.Error(d)
		}
		err := w.st.Write(context.Background(), func(tx *store.Tx) error {
			_, err := Update(tx, k.ID, "bob", "user:bob", func(k *signalbox.Task) error { k.At = "0 0 31 2 *"; return nil })
			return err
		})
		if signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), "never happens") {
			t.Errorf("31 February: %v", err)
		}
		err = w.st.Write(context.Background(), func(tx *store.Tx) error {
			return Create(tx, &signalbox.Task{ProjectID: w.project.ID, Name: "x", Recurring: true, At: "0 0 1 1 * 1999", Ref: "main", PipelineFile: "x"}, "test")
		})
		if signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), "never happens") {
			t.Errorf("a year that is over: %v", err)
		}
		err = w.st.Write(context.Background(), func(tx *store.Tx) error {
			return Create(tx, &signalbox.Task{ProjectID: w.project.ID, Name: "x", Recurring: true, Paused: true, At: "0 0 31 2 *", Ref: "main", PipelineFile: "x"}, "test")
		})
		if signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), "never happens") {
			t.Errorf("31 February, paused: %v", err)
		}
		if change(func(k *signalbox.Task) { k.At = "0 0 4 1 * 2000" }); k.NextRunAt.IsZero() {
			t.Error("a last time was not planned")
		}
		time.Sleep(48 * time.Hour)
		if change(func(k *signalbox.Task) { k.Paused = true }); !k.Paused {
			t.Error("a task whose last time is over cannot be paused")
		}
	})
}

func TestValues(t *testing.T) {
	all := []signalbox.TaskParameter{
		{Name: "FREE"},
		{Name: "WITH", Default: "d"},
		{Name: "MUST", Required: true},
		{Name: "ONE", Options: []string{"a", "b"}, Default: "z"},
		{Name: "DIGITS", Validate: true, Pattern: `^\d+$`},
		{Name: "UNCHECKED", Pattern: `^\d+$`},
	}
	for _, c := range []struct {
		given map[string]string
		want  string
	}{
		{map[string]string{"MUST": "x"}, "WITH=d MUST=x ONE=z"},
		{map[string]string{"MUST": " x ", "FREE": "1", "WITH": " ", "OTHER": "y"}, "FREE=1 WITH=d MUST=x ONE=z"},
		{map[string]string{"MUST": "x", "WITH": "e", "ONE": "b", "DIGITS": "12", "UNCHECKED": "x"}, "WITH=e MUST=x ONE=b DIGITS=12 UNCHECKED=x"},
		{map[string]string{"MUST": "x", "ONE": "z"}, "WITH=d MUST=x ONE=z"},
		{nil, "Parameter 'MUST' is required."},
		{map[string]string{"MUST": "  "}, "Parameter 'MUST' is required."},
		{map[string]string{"MUST": "x", "DIGITS": "1a"}, "Parameter 'DIGITS' value does not match required format."},
		{map[string]string{"MUST": "x", "ONE": "c"}, "Parameter 'ONE' value is not one of its options: a, b."},
		{map[string]string{"MUST": strings.Repeat("x", maxValue+1)}, fmt.Sprintf("Parameter 'MUST' value is %d bytes long; at most %d are allowed.", maxValue+1, maxValue)},
	} {
		vars, err := Values(all, c.given)
		var got []string
		for _, v := range vars {
			got = append(got, v.Name+"="+v.Value)
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = signalbox.ErrorMessage(err)
		}
		if text != c.want {
			t.Errorf("%v: %q, want %q", c.given, text, c.want)
		}
	}
	_, err := Values([]signalbox.TaskParameter{{Name: "D", Default: "x", Validate: true, Pattern: `^\d+$`}}, nil)
	if want := "Parameter 'D' default value does not match required format; provide an explicit value or fix the default."; signalbox.ErrorMessage(err) != want {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestRunNow(t *testing.T) {
	bubble(t, func(w *world) {
		s := w.scheduler()
		ask := func(k *signalbox.Task, n Now) (*signalbox.TaskRun, string) {
			t.Helper()
			n.By = "bob"
			r, err := s.RunNow(context.Background(), k.ID, n)
			if err != nil {
				return r, signalbox.ErrorMessage(err)
			}
			return r, ""
		}
		paused := w.task("@daily", func(k *signalbox.Task) { k.Paused = true; k.Parameters = k.Parameters[:1] })
		r, problem := ask(paused, Now{Token: "once"})
		if problem != "" || r.WorkflowID == "" || r.Status != signalbox.TaskRunPassed {
			t.Fatalf("%+v %s", r, problem)
		}
		if again, problem := ask(paused, Now{Token: "once"}); problem != "" || again.WorkflowID != r.WorkflowID || again.ID != r.ID {
			t.Errorf("the same token gave %+v %s", again, problem)
		}
		got := w.starts[0]
		if got.TriggeredBy() != signalbox.TriggeredByManualRun || got.Requester != "bob" || got.Actor != "user:bob" || got.Ref != "refs/heads/main" || got.PipelineFile != "nightly.yml" {
			t.Errorf("it asked for %+v", got)
		}
		if r, problem = ask(paused, Now{Ref: "refs/tags/v1", PipelineFile: "other.yml", Parameters: map[string]string{"LEVEL": "9"}}); problem != "" {
			t.Fatal(problem)
		}
		got = w.starts[1]
		if got.Ref != "refs/tags/v1" || got.PipelineFile != "other.yml" || len(got.Parameters) != 1 || got.Parameters[0].Value != "9" || r.Parameters[0].Value != "9" {
			t.Errorf("it asked for %+v", got)
		}
		if n := len(w.workflows()); n != 2 {
			t.Errorf("%d workflows", n)
		}

		bare := w.task("", func(k *signalbox.Task) { k.Recurring, k.Ref, k.PipelineFile, k.Name = false, "", "", "bare" })
		for _, c := range []struct {
			now  Now
			want string
		}{
			{Now{}, "You have to provide reference for this task"},
			{Now{Ref: "main"}, "You have to provide pipeline file for this task"},
			{Now{Ref: "main", PipelineFile: "x.yml"}, "Parameter 'NAME' is required."},
		} {
			if _, problem := ask(bare, c.now); problem != c.want {
				t.Errorf("%q, want %q", problem, c.want)
			}
		}
		w.expect(bare) // what is refused leaves no run

		w.fail = func(int) error { return signalbox.Errorf(signalbox.CodeNotFound, "no such thing") }
		for ref, want := range map[string]string{
			"refs/heads/x": "Branch 'x' does not exist in the repository", "refs/tags/x": "Tag 'x' does not exist in the repository",
			"refs/pull/7/head": "Cannot find git reference refs/pull/7/head.",
		} {
			r, problem := ask(paused, Now{Ref: ref})
			if problem != want || r.Status != signalbox.TaskRunFailed || r.Error != "Cannot find git reference "+ref+"." {
				t.Errorf("%s: %q, %+v", ref, problem, r)
			}
		}
		w.fail = func(int) error { return signalbox.Errorf(signalbox.CodeUnavailable, "away") }
		if r, problem := ask(paused, Now{Token: "away"}); problem != "away" || r.Status != signalbox.TaskRunFailed {
			t.Errorf("%q %+v", problem, r)
		}
		w.fail = nil
		if _, problem := ask(paused, Now{Token: "away"}); problem != "away" {
			t.Errorf("a run that has failed, asked for again: %q", problem)
		}
		w.write(func(tx *store.Tx) error { return tx.DeleteTask(bare, "test") })
		for _, id := range []string{bare.ID, signalbox.NewID()} {
			if _, err := s.RunNow(context.Background(), id, Now{}); signalbox.ErrorCode(err) != signalbox.CodeNotFound || err.Error() != "Scheduler with id:'"+id+"' not found." {
				t.Errorf("%v", err)
			}
		}
	})
}

func TestASlowRunNowIsLeftAlone(t *testing.T) {
	bubble(t, func(w *world) {
		k := w.task("@yearly", func(k *signalbox.Task) { k.Parameters = nil })
		w.takes = 5 * time.Minute
		defer w.serve()()
		if _, err := w.scheduler().RunNow(context.Background(), k.ID, Now{By: "bob"}); err != nil {
			t.Fatal(err)
		}
		if n := len(w.starts); n != 1 {
			t.Errorf("%d starts", n)
		}
	})
}

// Somebody asked, and the server died before the workflow was there: it comes all the same.
func TestACrashDuringRunNow(t *testing.T) {
	bubble(t, func(w *world) {
		k := w.task("@yearly", func(k *signalbox.Task) { k.Paused, k.Parameters = true, nil })
		w.takes = time.Hour
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if _, err := w.scheduler().RunNow(ctx, k.ID, Now{By: "bob"}); err == nil {
			t.Fatal("it says that it worked")
		}
		w.takes = 0
		defer w.serve()()
		time.Sleep(time.Minute)
		if all := w.workflows(); len(all) != 1 || all[0].TriggeredBy != signalbox.TriggeredByManualRun || all[0].Requester != "bob" {
			t.Errorf("%+v", all)
		}
	})
}
