package joblog

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

func TestFollowWhileAppending(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		// With an hour between rechecks only wake-ups can carry the follower on.
		l := New(Options{Store: s, Recheck: time.Hour})
		a := signalbox.NewID()
		batches := make(chan Batch, 100)
		ended := make(chan error, 1)
		go func() {
			ended <- l.Follow(t.Context(), a, 0, func(b Batch) error { batches <- b; return nil })
		}()
		for i := range 20 {
			push(t, l, a, int64(i), output(i))
			b := <-batches
			if b.From != int64(i) || len(b.Events) != 1 || string(b.Events[0]) != output(i) {
				t.Fatalf("batch %d is %+v", i, b)
			}
		}
		push(t, l, a, 19, output(19))
		push(t, l, a, 22, output(22))
		if b := <-batches; b.Gap == nil || *b.Gap != (Gap{20, 22, WhyMissing}) || b.Next() != 22 {
			t.Errorf("got %+v, want the gap", b)
		}
		if b := <-batches; b.From != 22 || len(b.Events) != 1 {
			t.Errorf("got %+v, want event 22", b)
		}
		if err := l.Close(context.Background(), a); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the follower ended with %v", err)
		}
		if len(batches) != 0 {
			t.Errorf("one more batch: %+v", <-batches)
		}
	})
}

func TestFollowLosesOnlyTimeWithoutWakeUps(t *testing.T) {
	// Two servers on one database that do not carry wake-ups to each other: the follower looks again by itself.
	url := storetest.PostgresURL(t)
	writer := New(Options{Store: storetest.Open(t, store.Options{URL: url})})
	reader := New(Options{Store: storetest.Open(t, store.Options{URL: url}), Recheck: time.Millisecond})
	a := signalbox.NewID()
	batches := make(chan Batch, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- reader.Follow(t.Context(), a, 0, func(b Batch) error { batches <- b; return nil })
	}()
	for i := range 3 {
		push(t, writer, a, int64(i), output(i))
		if b := <-batches; b.From != int64(i) {
			t.Fatalf("batch %d is %+v", i, b)
		}
	}
	if err := writer.Close(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestFollowEnds(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t), Recheck: time.Hour})
	a := signalbox.NewID()
	push(t, l, a, 0, output(0), output(1), output(2))
	broken := errors.New("broken pipe")
	if err := l.Follow(t.Context(), a, 0, func(Batch) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("with a failing reader: %v", err)
	}
	// An error of the reader that looks like the store's "not found" must not be taken for it.
	missing := signalbox.Errorf(signalbox.CodeNotFound, "gone")
	if err := l.Follow(t.Context(), a, 0, func(Batch) error { return missing }); !errors.Is(err, missing) {
		t.Errorf("with a reader that finds nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := l.Follow(ctx, a, 1, func(b Batch) error {
		if b.From != 1 || len(b.Events) != 2 {
			t.Errorf("got %+v, want two events from 1 on", b)
		}
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after its context ended: %v", err)
	}
	if err := l.Follow(t.Context(), a, -1, func(Batch) error { return nil }); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
		t.Errorf("from -1: %v", err)
	}
}

// message is one server-sent event, or with only Comment a line to keep the connection alive.
type message struct{ ID, Event, Data, Comment string }

func readMessage(t *testing.T, r *bufio.Reader) message {
	t.Helper()
	var m message
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("read the stream: %v, after %+v", err, m)
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			return m
		}
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "id":
			m.ID = value
		case "event":
			m.Event = value
		case "data":
			m.Data = value
		case "":
			m.Comment = value
		default:
			t.Fatalf("unexpected line %q", line)
		}
	}
}

// serve answers every request with the stream of one log and reports how each ended.
func serve(t *testing.T, l *Log, attempt string) (url string, ended chan error) {
	ended = make(chan error, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ended <- l.ServeSSE(w, r, attempt, 0)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, ended
}

func open(t *testing.T, ctx context.Context, url, lastID string) *bufio.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type is %q", got)
	}
	return bufio.NewReader(resp.Body)
}

func TestServeSSE(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t), Recheck: time.Hour, Heartbeat: time.Hour})
	a := signalbox.NewID()
	url, ended := serve(t, l, a)
	odd := `{"event":"x","a":` + "\r" + `"` + "\xff" + `"}`
	push(t, l, a, 0, output(0), odd)

	r := open(t, t.Context(), url, "")
	expect := func(r *bufio.Reader, want message) {
		t.Helper()
		if diff := cmp.Diff(want, readMessage(t, r)); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
	}
	expect(r, message{Comment: "following"})
	expect(r, message{ID: "2", Event: "log", Data: "[" + output(0) + `,{"event":"x","a":"` + "\ufffd" + `"}]`})
	push(t, l, a, 2, output(2))
	expect(r, message{ID: "3", Event: "log", Data: "[" + output(2) + "]"})
	push(t, l, a, 5, output(5))
	expect(r, message{ID: "5", Event: "gap", Data: `{"from":3,"to":5,"why":"missing"}`})
	expect(r, message{ID: "6", Event: "log", Data: "[" + output(5) + "]"})

	again := open(t, t.Context(), url, "2")
	expect(again, message{Comment: "following"})
	expect(again, message{ID: "3", Event: "log", Data: "[" + output(2) + "]"})

	if err := l.Close(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	expect(r, message{Event: "end", Data: "{}"})
	for range 2 {
		if err := <-ended; err != nil {
			t.Errorf("a stream ended with %v", err)
		}
	}
}

func TestSSEHeartbeatAndLeaving(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t), Heartbeat: time.Millisecond})
	url, ended := serve(t, l, signalbox.NewID())
	ctx, leave := context.WithCancel(t.Context())
	r := open(t, ctx, url, "nonsense")
	for _, want := range []string{"following", "still here", "still here"} {
		if m := readMessage(t, r); m.Comment != want {
			t.Errorf("got %+v, want the comment %q", m, want)
		}
	}
	leave()
	if err := <-ended; err != nil {
		t.Errorf("a reader that left made an error: %v", err)
	}
}

func TestPullAsExistingClientsKnowIt(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t)})
	a := signalbox.NewID()
	push(t, l, a, 0,
		`{"event":"job_started","timestamp":1}`,
		`{"event":"cmd_output","timestamp":1,"output":"\ufffd","output_b64":"/w==","later":1}`,
	)
	push(t, l, a, 4, `{"event":"job_finished","timestamp":2,"result":"passed"}`, `{"event":"job_finished","result":"failed","job_result":"x"}`)
	if err := l.Close(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"event":"job_started","timestamp":1}`,
		`{"event":"cmd_output","timestamp":1,"output":"\ufffd","later":1}`,
		`{"event":"cmd_output","timestamp":0,"output":"[events 2 to 3 of the log never arrived]\n"}`,
		`{"event":"job_finished","timestamp":2,"result":"passed","job_result":"passed"}`,
		`{"event":"job_finished","result":"failed","job_result":"x"}`,
	}
	tests := []struct {
		from   int64
		limit  int
		want   []string
		next   int64
		closed bool
	}{
		{0, 0, want, 6, true},
		{0, 5, want, 6, true},
		{0, 4, want[:4], 5, false},
		{0, 2, want[:2], 2, false},
		{0, 3, want[:3], 4, false},
		{3, 1, []string{`{"event":"cmd_output","timestamp":0,"output":"[event 3 of the log never arrived]\n"}`}, 4, false},
		{5, 9, want[4:], 6, true},
		{6, 9, nil, 6, true},
		{60, 9, nil, 60, true},
	}
	for _, test := range tests {
		events, next, closed, err := l.Pull(t.Context(), a, test.from, test.limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range events {
			got = append(got, string(e))
			if !json.Valid(e) {
				t.Errorf("%s is no JSON", e)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" || next != test.next || closed != test.closed {
			t.Errorf("from %d, at most %d: next %d, closed %t, want %d, %t; events (-want +got):\n%s",
				test.from, test.limit, next, closed, test.next, test.closed, diff)
		}
	}
	if got, want := text(t, l, a), "\xff[events 2 to 3 of the log never arrived]\n"; got != want {
		t.Errorf("text is %q, want %q", got, want)
	}
}
