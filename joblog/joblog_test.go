package joblog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// onBoth runs a test on SQLite, and on PostgreSQL where there is one.
func onBoth(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Run("sqlite", func(t *testing.T) { test(t, storetest.OpenSQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, storetest.OpenPostgres(t)) })
}

func output(i int) string {
	return fmt.Sprintf(`{"event":"cmd_output","timestamp":1700000000,"output":"line %d\n"}`, i)
}

func push(t *testing.T, l *Log, attempt string, from int64, lines ...string) Outcome {
	t.Helper()
	out, err := l.Append(context.Background(), attempt, "job", from, []byte(strings.Join(lines, "\n")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func info(t *testing.T, l *Log, attempt string) Info {
	t.Helper()
	in, err := l.Info(context.Background(), attempt)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func text(t *testing.T, l *Log, attempt string) string {
	t.Helper()
	var b strings.Builder
	if err := l.Text(context.Background(), attempt, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAppend(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		l := New(Options{Store: s})
		a := signalbox.NewID()
		steps := []struct {
			name  string
			from  int64
			lines []string
			want  Outcome
			gaps  []Gap
			text  string
		}{
			{"first", 0, []string{output(0), output(1)}, Outcome{Stored: 2}, nil, "line 0\nline 1\n"},
			{"again", 0, []string{output(0), output(1)}, Outcome{Duplicate: 2}, nil, "line 0\nline 1\n"},
			{"nothing", 7, []string{"", ""}, Outcome{}, nil, "line 0\nline 1\n"},
			{"overlap and more", 1, []string{output(1), output(2)}, Outcome{Stored: 1, Duplicate: 1}, nil, "line 0\nline 1\nline 2\n"},
			{
				"a late start from 0 with other content", 0,
				[]string{output(100)},
				Outcome{Differing: 1},
				nil,
				"line 0\nline 1\nline 2\n",
			},
			{
				"differing overlap with a tail", 2,
				[]string{output(102), output(3)},
				Outcome{Stored: 1, Differing: 1},
				nil,
				"line 0\nline 1\nline 2\nline 3\n",
			},
			{
				"gap", 7,
				[]string{output(7)},
				Outcome{Stored: 1, Gap: true},
				[]Gap{{4, 7, WhyMissing}},
				"line 0\nline 1\nline 2\nline 3\n[events 4 to 6 of the log never arrived]\nline 7\n",
			},
			{
				"middle of the gap", 5,
				[]string{output(5)},
				Outcome{Stored: 1},
				[]Gap{{4, 5, WhyMissing}, {6, 7, WhyMissing}},
				"line 0\nline 1\nline 2\nline 3\n[event 4 of the log never arrived]\nline 5\n[event 6 of the log never arrived]\nline 7\n",
			},
			{
				"all of it", 0,
				[]string{output(0), output(1), output(2), output(3), output(4), output(5), output(6), output(7), output(8)},
				Outcome{Stored: 3, Duplicate: 6},
				nil,
				"line 0\nline 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\nline 8\n",
			},
		}
		for _, step := range steps {
			if diff := cmp.Diff(step.want, push(t, l, a, step.from, step.lines...)); diff != "" {
				t.Errorf("%s: outcome (-want +got):\n%s", step.name, diff)
			}
			if diff := cmp.Diff(step.gaps, info(t, l, a).Gaps); diff != "" {
				t.Errorf("%s: gaps (-want +got):\n%s", step.name, diff)
			}
			if diff := cmp.Diff(step.text, text(t, l, a)); diff != "" {
				t.Errorf("%s: text (-want +got):\n%s", step.name, diff)
			}
		}
		in := info(t, l, a)
		if in.NextEvent != 9 || in.JobID != "job" || in.Differing != 2 || in.Closed || in.Bytes != int64(9*(len(output(0))+1)) {
			t.Errorf("info is %+v", in)
		}
		evidence(t, l, a, []string{"0 " + output(100), "2 " + output(102)})
	})
}

func evidence(t *testing.T, l *Log, attempt string, want []string) {
	t.Helper()
	var got []string
	err := l.store.ReadLog(context.Background(), func(tx *store.LogTx) error {
		list, err := tx.LogEvidence(attempt)
		for _, c := range list {
			raw, err := l.dec.DecodeAll(c.Data, nil)
			if err != nil {
				return err
			}
			got = append(got, fmt.Sprintf("%d %s", c.First, raw))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t)})
	a := signalbox.NewID()
	push(t, l, a, 0, output(0))
	var want []string
	for i := range maxEvidence + 10 {
		push(t, l, a, 0, output(i+1))
		if i < maxEvidence {
			want = append(want, "0 "+output(i+1))
		}
	}
	evidence(t, l, a, want)
	if n := info(t, l, a).Differing; n != maxEvidence+10 {
		t.Errorf("%d contradictions were counted, want %d", n, maxEvidence+10)
	}
}

func TestQuota(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t), Quota: 100})
	a := signalbox.NewID()
	push(t, l, a, 0, output(0))
	if out := push(t, l, a, 1, output(1)); out.Stored != 1 || out.OverQuota {
		t.Errorf("the push that reaches the quota: %+v", out)
	}
	want := Outcome{Refused: 2, OverQuota: true}
	for range 2 {
		if out := push(t, l, a, 2, output(2), output(3)); out != want {
			t.Errorf("a push over the quota: %+v", out)
		}
	}
	if out := push(t, l, a, 0, output(0)); out.Duplicate != 1 {
		t.Errorf("a repeated push of what was stored: %+v", out)
	}
	push(t, l, a, 4, output(4))
	push(t, l, a, 8, output(8))
	in := info(t, l, a)
	wantGaps := []Gap{{2, 5, WhyQuota}, {5, 8, WhyMissing}, {8, 9, WhyQuota}}
	if diff := cmp.Diff(wantGaps, in.Gaps); diff != "" || in.Refused != 4 || in.NextEvent != 9 {
		t.Errorf("refused %d, next %d, gaps (-want +got):\n%s", in.Refused, in.NextEvent, diff)
	}
	if got := text(t, l, a); !strings.HasPrefix(got, "line 0\nline 1\n[events 2 to 4 of the log were not stored: the log reached its quota]\n") {
		t.Errorf("text is %q", got)
	}
	if raised := New(Options{Store: l.store, Quota: 10000}); push(t, raised, a, 2, output(2)).Stored != 1 {
		t.Error("with a higher quota the gap cannot be filled")
	}
}

func TestHostileBytes(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t)})
	a := signalbox.NewID()
	lines := []string{
		"not json", `["an array"]`, `{"event":`, "\x00\xff\xfe", `{"event":"cmd_output","output":5}`, `{"no":"event"}`,
		`{"event":"cmd_output","output":"` + "\xff" + `"}`, strings.Repeat("[", 20000), "  ", `{"event":"cmd_output","output_b64":"!","output":"x"}`,
		`{"event":"cmd_started","directive":["x"]}`, output(1) + "\r", `{"a":{},` + "\r" + `"b":1}`, "\u2028",
	}
	if out := push(t, l, a, 0, lines...); out.Stored != len(lines) {
		t.Fatalf("outcome %+v", out)
	}
	if out := push(t, l, a, 0, lines...); out.Duplicate != len(lines) {
		t.Errorf("repeated: %+v", out)
	}
	want := "not json\n[\"an array\"]\n{\"event\":\n\x00\xff\xfe\n\ufffd" + strings.Repeat("[", 20000) + "\n  \nx\nline 1\n\u2028\n"
	if diff := cmp.Diff(want, text(t, l, a)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	events, _, _, err := l.Pull(context.Background(), a, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(events); err != nil || !json.Valid(b) || bytes.Contains(b, []byte{0xff}) || len(events) != len(lines) {
		t.Errorf("%d events, %v", len(events), err)
	}
	for _, from := range []int64{-1, maxIndex + 1} {
		if _, err := l.Append(context.Background(), a, "job", from, []byte(output(0))); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("index %d: %v", from, err)
		}
	}
}

func TestEventTooLarge(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t)})
	a := signalbox.NewID()
	fits := `{"event":"cmd_output","output":"` + strings.Repeat("x", MaxEvent-40) + `"}`
	large := `{"event":"cmd_output","output":"` + strings.Repeat("x", MaxEvent) + `"}`
	for i := range 2 {
		out := push(t, l, a, 0, output(0), large, fits, output(3))
		if out.Refused != 1 || out.Stored+out.Duplicate != 3 || out.OverQuota {
			t.Errorf("push %d: %+v", i, out)
		}
	}
	if diff := cmp.Diff([]Gap{{1, 2, WhyTooLarge}}, info(t, l, a).Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	got := text(t, l, a)
	if !strings.HasPrefix(got, "line 0\n[event 1 of the log was not stored: too large]\nxxx") || !strings.HasSuffix(got, "xxline 3\n") {
		t.Errorf("text begins %.80q", got)
	}
}

func TestConcurrentPushesOfOneLog(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		l := New(Options{Store: s})
		a := signalbox.NewID()
		var all []string
		for i := range 200 {
			all = append(all, output(i))
		}
		var group sync.WaitGroup
		for g := range 8 {
			group.Go(func() {
				for k := range 20 {
					from := (g*37 + k*53) % 180
					if _, err := l.Append(context.Background(), a, "job", int64(from), []byte(strings.Join(all[from:from+20], "\n"))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		push(t, l, a, 0, all...)
		in := info(t, l, a)
		if in.NextEvent != 200 || len(in.Gaps) != 0 || in.Differing != 0 {
			t.Errorf("info is %+v", in)
		}
		var want strings.Builder
		for i := range 200 {
			fmt.Fprintf(&want, "line %d\n", i)
		}
		if diff := cmp.Diff(want.String(), text(t, l, a)); diff != "" {
			t.Errorf("text (-want +got):\n%s", diff)
		}
	})
}

func TestUnknownLog(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t)})
	ctx, a := context.Background(), signalbox.NewID()
	_, infoErr := l.Info(ctx, a)
	_, _, _, pullErr := l.Pull(ctx, a, 0, 0)
	_, viewErr := l.View(ctx, a)
	for name, err := range map[string]error{"Info": infoErr, "Pull": pullErr, "View": viewErr, "Text": l.Text(ctx, a, io.Discard)} {
		if signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			t.Errorf("%s of an unknown log: %v", name, err)
		}
	}
}

func TestCloseAndDelete(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		ctx := context.Background()
		l := New(Options{Store: s})
		a := signalbox.NewID()
		for range 2 {
			if err := l.Close(ctx, a); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Follow(ctx, a, 0, func(Batch) error { return nil }); err != nil {
			t.Errorf("follow a log that was closed empty: %v", err)
		}
		if out := push(t, l, a, 0, output(0)); out.Stored != 1 {
			t.Errorf("a late push: %+v", out)
		}
		if in := info(t, l, a); !in.Closed || in.ClosedAt.IsZero() || in.JobID != "job" {
			t.Errorf("info is %+v", in)
		}
		for range 2 {
			if err := l.Delete(ctx, a); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Info(ctx, a); signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			t.Errorf("info of a deleted log: %v", err)
		}
	})
}

// counter counts lines and, now and then, looks how much memory is in use.
type counter struct {
	lines, bytes, sinceLook int
	peak                    uint64
}

func (c *counter) Write(p []byte) (int, error) {
	c.lines += bytes.Count(p, []byte("\n"))
	c.bytes += len(p)
	if c.sinceLook += len(p); c.sinceLook > 8<<20 {
		c.sinceLook = 0
		c.peak = max(c.peak, heap())
	}
	return len(p), nil
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestMillionLines(t *testing.T) {
	const pushes, lines = 500, 2000
	l := New(Options{Store: storetest.OpenSQLite(t)})
	a := signalbox.NewID()
	// Numbers that do not compress, so that not even the compressed log fits into the bound.
	random := rand.New(rand.NewPCG(1, 2))
	var body bytes.Buffer
	for p := range pushes {
		body.Reset()
		for i := range lines {
			fmt.Fprintf(&body, `{"event":"cmd_output","timestamp":1700000000,"output":"%07d built %016x %016x\n"}`+"\n", p*lines+i, random.Uint64(), random.Uint64())
		}
		if out, err := l.Append(context.Background(), a, "job", int64(p*lines), body.Bytes()); err != nil || out.Stored != lines {
			t.Fatal(out, err)
		}
	}
	before := heap()
	var c counter
	start := time.Now()
	if err := l.Text(context.Background(), a, &c); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MB of text in %v, %d KB of memory at most", c.bytes>>20, time.Since(start), (int64(c.peak)-int64(before))>>10)
	if c.lines != pushes*lines {
		t.Errorf("%d lines, want %d", c.lines, pushes*lines)
	}
	if c.peak == 0 || c.peak > before+12<<20 {
		t.Errorf("reading used %d MB of memory, from %d MB before", c.peak>>20, before>>20)
	}
}
