package schedule

import (
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

func fields(all []Problem) string {
	var out []string
	for _, p := range all {
		out = append(out, p.Field)
	}
	return strings.Join(out, " ")
}

// A form shows all that is wrong, each at its field.
func TestProblems(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	good := signalbox.Task{Name: "nightly", Recurring: true, At: "0 3 * * *", Ref: "main", PipelineFile: "p.yml"}
	for _, tt := range []struct {
		change func(*signalbox.Task)
		want   string
	}{
		{func(*signalbox.Task) {}, ""},
		{func(k *signalbox.Task) { *k = signalbox.Task{Recurring: true} }, "name at reference pipeline_file"},
		{func(k *signalbox.Task) { k.At = "0 0 31 2 *" }, "at"},
		{func(k *signalbox.Task) { k.At, k.TimeZone = "0 25 * * *", "Mars" }, "at time_zone"},
		{func(k *signalbox.Task) { k.Ref, k.PipelineFile = "a b", "\n" }, "reference pipeline_file"},
		{func(k *signalbox.Task) { k.Overlap, k.CatchUp = "x", "y" }, "overlap catch_up"},
		{func(k *signalbox.Task) { k.Description = strings.Repeat("x", 10001) }, "description"},
		{func(k *signalbox.Task) {
			k.Parameters = []signalbox.TaskParameter{{}, {Name: "A=B"}, {Name: "X"}, {Name: "X", Validate: true}, {Name: "Y", Pattern: "["}}
		}, "parameters.0.name parameters.1.name parameters.3.name parameters.3.regex_pattern parameters.4.regex_pattern"},
		{func(k *signalbox.Task) {
			k.Parameters = []signalbox.TaskParameter{{Name: "N", Default: "x", Validate: true, Pattern: "^[0-9]+$"}, {Name: "R", Required: true}}
		}, "parameters.0.default_value"},
		{func(k *signalbox.Task) { k.Parameters = make([]signalbox.TaskParameter, 101) }, "parameters"},
	} {
		k := good
		tt.change(&k)
		if got := fields(Problems(&k, now)); got != tt.want {
			t.Errorf("%+v: %q, want %q", k, got, tt.want)
		}
	}
}

func TestNowProblems(t *testing.T) {
	k := &signalbox.Task{Parameters: []signalbox.TaskParameter{{Name: "A", Required: true}, {Name: "B", Options: []string{"x"}}, {Name: "C", Default: "c", Required: true}}}
	if got := fields(NowProblems(k, Now{Parameters: map[string]string{"B": "y"}})); got != "reference pipeline_file parameters.A parameters.B" {
		t.Error(got)
	}
	if got := fields(NowProblems(k, Now{Ref: "main", PipelineFile: "p.yml", Parameters: map[string]string{"A": "a", "B": "x"}})); got != "" {
		t.Error(got)
	}
}

func TestLook(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	p, problems := Look("0 3 * * *", "Europe/Berlin", now, 5)
	if len(problems) > 0 || p.Words != "every day at 3:00" || len(p.Next) != 5 || !p.Next[0].Equal(time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v %v", p, problems)
	}
	for _, tt := range [][3]string{{"0 25 * * *", "Mars", "at time_zone"}, {"0 0 31 2 *", "", "at"}, {"", "", "at"}} {
		if _, problems := Look(tt[0], tt[1], now, 5); fields(problems) != tt[2] {
			t.Errorf("%v: %v", tt, problems)
		}
	}
}
