package joblog

import (
	"context"
	"slices"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

func TestPushesAreTold(t *testing.T) {
	type told struct {
		out    Outcome
		stored int64
	}
	var got []told
	l := New(Options{Store: storetest.OpenSQLite(t), Quota: 50, OnAppend: func(out Outcome, stored int64) { got = append(got, told{out, stored}) }})
	attempt := signalbox.NewID()
	line := `{"event":"job_started","timestamp":1}`
	size := int64(len(line)) + 1
	for _, from := range []int64{0, 0, 1, 2} {
		push(t, l, attempt, from, line)
	}
	if _, err := l.Append(context.Background(), attempt, "job", -1, []byte(line)); err == nil {
		t.Error("a push from -1 is taken")
	}
	want := []told{{Outcome{Stored: 1}, size}, {Outcome{Duplicate: 1}, 0}, {Outcome{Stored: 1}, size}, {Outcome{Refused: 1, OverQuota: true}, 0}}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
