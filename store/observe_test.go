package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

func TestJobChangesAreToldOnceTheyAreDurable(t *testing.T) {
	var told []store.JobChange
	st := storetest.Open(t, store.Options{Dir: t.TempDir(), OnJob: func(c store.JobChange) { told = append(told, c) }})
	_, j, _ := queueOne(t, st)
	begin := time.UnixMilli(1_000).UTC()
	write := func(fn func(*store.Tx) error) error { return st.Write(context.Background(), fn) }
	running := *j
	running.State, running.StartedAt = signalbox.JobRunning, begin
	undone := errors.New("undone")
	if err := write(func(tx *store.Tx) error {
		return errors.Join(tx.UpdateJob(&running, signalbox.JobQueued, "test", "started", ""), undone)
	}); !errors.Is(err, undone) {
		t.Fatal(err)
	}
	if len(told) > 0 {
		t.Errorf("told of a change that was undone: %+v", told)
	}
	if err := write(func(tx *store.Tx) error {
		if err := tx.UpdateJob(&running, signalbox.JobQueued, "test", "started", ""); err != nil {
			return err
		}
		if len(told) > 0 {
			t.Error("told of a change that was not durable yet")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := write(func(tx *store.Tx) error { return tx.UpdateJob(&running, signalbox.JobQueued, "test", "again", "") }); signalbox.ErrorCode(err) != signalbox.CodeConflict {
		t.Fatal(err)
	}
	ended := running
	ended.State, ended.Result, ended.FinishedAt, ended.Retries = signalbox.JobFinished, signalbox.JobPassed, begin.Add(time.Second), 2
	if err := write(func(tx *store.Tx) error { return tx.UpdateJob(&ended, signalbox.JobRunning, "test", "passed", "") }); err != nil {
		t.Fatal(err)
	}
	want := []store.JobChange{
		{AgentType: "s1-linux", From: signalbox.JobQueued, To: signalbox.JobRunning, QueuedAt: j.QueuedAt, StartedAt: begin},
		{
			AgentType: "s1-linux", From: signalbox.JobRunning, To: signalbox.JobFinished, Result: signalbox.JobPassed, Retries: 2,
			QueuedAt: j.QueuedAt, StartedAt: begin, FinishedAt: begin.Add(time.Second),
		},
	}
	if !slices.Equal(told, want) {
		t.Errorf("got  %+v\nwant %+v", told, want)
	}
}

func TestTransactionsAreTold(t *testing.T) {
	var told []store.Transaction
	st := storetest.Open(t, store.Options{Dir: t.TempDir(), OnTransaction: func(x store.Transaction) {
		if x.Took <= 0 {
			t.Errorf("%+v took no time", x)
		}
		x.Took = 0
		told = append(told, x)
	}})
	ctx := context.Background()
	none := func(*store.Tx) error { return nil }
	log := func(*store.LogTx) error { return nil }
	if err := errors.Join(st.Read(ctx, none), st.ReadFirst(ctx, none), st.Write(ctx, none), st.WriteFirst(ctx, none), st.ReadLog(ctx, log), st.WriteLog(ctx, log)); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("failed")
	if err := st.Write(ctx, func(*store.Tx) error { return failed }); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	want := []store.Transaction{{}, {}, {Write: true}, {Write: true}, {Log: true}, {Log: true, Write: true}, {Write: true}}
	if !slices.Equal(told, want) {
		t.Errorf("got  %+v\nwant %+v", told, want)
	}
}
