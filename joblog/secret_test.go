package joblog

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// vault hands the same values to every attempt.
type vault struct {
	values []string
	asked  atomic.Int64
	err    error
}

func (v *vault) Handed(context.Context, string) (out []signalbox.SecretValue, final bool, err error) {
	v.asked.Add(1)
	for _, s := range v.values {
		out = append(out, signalbox.NewSecretValue(s))
	}
	return out, true, v.err
}

func ring(t *testing.T) *auth.Keyring {
	t.Helper()
	keys, err := auth.NewKeyring(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func printed(text string) string { return string(agentapi.AppendOutput(nil, 1700000000, []byte(text))) }

func word(kind, rest string) string {
	return `{"event":"` + kind + `","timestamp":1700000000` + rest + `}`
}

// pulled returns the text of all outputs as existing clients get them, and the events.
func pulled(t *testing.T, l *Log, attempt string) (text string, events []string) {
	t.Helper()
	for from, closed := int64(0), false; !closed; {
		page, next, end, err := l.Pull(context.Background(), attempt, from, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			events = append(events, string(e))
			text += string(outputOf(parse(e)))
		}
		if closed = end || next == from; !closed {
			from = next
		}
	}
	return text, events
}

func TestSecretsAreNotStored(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		v := &vault{values: []string{"hunter2-hunter2", "another-secret"}}
		l := New(Options{Store: s, Secrets: v, Keys: ring(t)})
		for _, c := range []struct {
			name   string
			events []string
			want   string // text of the closed log
		}{
			{"in one event", []string{printed("it is hunter2-hunter2.\n")}, "it is ***.\n"},
			{"over two events", []string{printed("it is hunter2"), printed("-hunter2.\n")}, "it is ***.\n"},
			{"over two events, but another text", []string{printed("it is hunter2"), printed("-hunter3.\n")}, "it is hunter2-hunter3.\n"},
			{"at the end", []string{printed("it is hunter2-hun")}, "it is hunter2-hun"},
			{
				"before the end of a command",
				[]string{word("cmd_started", `,"directive":"cat x"`), printed("it is hunter2"), word("cmd_finished", `,"directive":"cat x","exit_code":0`)},
				"cat x\nit is hunter2",
			},
			{
				"around the end of a command",
				[]string{printed("it is hunter2-"), word("cmd_finished", `,"directive":"x","exit_code":0`), printed("hunter2!")},
				"it is hunter2-***!",
			},
			{"into a directive", []string{printed("it is hunter2-"), word("cmd_started", `,"directive":"hunter2!"`)}, "it is hunter2-***!\n"},
			{"in a directive", []string{word("cmd_started", `,"directive":"echo another-secret"`), printed("x\n")}, "echo ***\nx\n"},
			{"behind a directive", []string{word("cmd_started", `,"directive":"echo another-"`), printed("secret\n")}, "echo another-\n***\n"},
			{"in a field that nobody knows", []string{word("cmd_output", `,"output":"x\n","more":{"a":["hunter2-hunter2"],"another-secret":1}`)}, "x\n"},
			{"in a field twice", []string{word("cmd_output", `,"output":"hunter2-hunter2","output":"x\n"`)}, "x\n"},
			{"in base64", []string{printed(base64.StdEncoding.EncodeToString([]byte("u:hunter2-hunter2")) + "\n")}, "dTp***=\n"},
			{"beside other exact bytes", []string{word("cmd_output", `,"output":"hunter2-hunter2","output_b64":"eAo="`)}, "x\n"},
			{"no JSON", []string{"it is hunter2-hunter2"}, "it is ***\n"},
			{"bytes that are not UTF-8", []string{printed("\xff hunter2-hunter2 \xfe\n")}, "\xff *** \xfe\n"},
		} {
			t.Run(c.name, func(t *testing.T) {
				for _, size := range []int{1, 2, 100} {
					a := signalbox.NewID()
					for i := 0; i < len(c.events); i += size {
						part := c.events[i:min(i+size, len(c.events))]
						if out := push(t, l, a, int64(i), part...); out.Stored != len(part) {
							t.Errorf("%+v", out)
						}
					}
					before := text(t, l, a)
					if !strings.HasPrefix(c.want, strings.TrimSuffix(before, "***")) {
						t.Errorf("while it is open: %q, want a beginning of %q", before, c.want)
					}
					if err := l.Close(context.Background(), a); err != nil {
						t.Fatal(err)
					}
					if got := text(t, l, a); got != c.want {
						t.Errorf("got %q, want %q", got, c.want)
					}
					_, events := pulled(t, l, a)
					for _, e := range events {
						if strings.Contains(e, "hunter2-hunter2") || strings.Contains(e, "another-secret") || !json.Valid([]byte(e)) {
							t.Errorf("existing clients get %s", e)
						}
					}
					f, err := l.View(context.Background(), a)
					if err != nil || f.Next != int64(len(c.events)) {
						t.Errorf("a view ends at event %d (%v), want %d", f.Next, err, len(c.events))
					}
					for _, cmd := range f.Commands {
						if strings.Contains(string(cmd.Output)+cmd.Directive, "hunter2-hunter2") {
							t.Errorf("%+v", cmd)
						}
					}
					// Repeating what was pushed is no contradiction, though something else is stored.
					if out := push(t, l, a, 0, c.events...); out.Duplicate != len(c.events) {
						t.Errorf("again: %+v", out)
					}
					lie := append([]string{printed("other")}, c.events[1:]...)
					if out := push(t, l, a, 0, lie...); out.Differing != 1 || out.Duplicate != len(c.events)-1 {
						t.Errorf("with another first event: %+v", out)
					}
				}
			})
		}
	})
}

// An event in which there is no secret is stored byte for byte, whatever its form.
func TestEventsWithoutSecretsStayAsTheyAre(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t), Secrets: &vault{values: []string{"hunter2"}}, Keys: ring(t)})
	a := signalbox.NewID()
	events := []string{
		`{"event": "job_started" , "timestamp": 1700000000, "x":[1, 2.50,"a\u0062"]}`,
		`{"event":"cmd_output","output":"\u0061\/b.\n"}`, `{"event":"cmd_output","output":"\ufffd\ufffd\n","output_b64":"//8K"}`,
		`{"event":"cmd_output","output":"\ufffd\n","output_b64":"//8K"}`,
		`{"event":"cmd_output"}`, `{}`, `{"event":"cmd_finished","exit_code":123456789}`, `{"event":7}`,
	}
	push(t, l, a, 0, events...)
	var got []string
	if _, _, err := l.scan(context.Background(), a, 0, func(b Batch) error {
		for _, e := range b.Events {
			got = append(got, string(e))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(events, got); diff != "" {
		t.Errorf("(-pushed +stored):\n%s", diff)
	}
}

func TestAFollowerWaitsForTheTailOnly(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t), Secrets: &vault{values: []string{"hunter2"}}, Keys: ring(t)})
	a := signalbox.NewID()
	got := make(chan string, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- l.Follow(t.Context(), a, 0, func(b Batch) error {
			for _, e := range b.Events {
				got <- string(textOf(e))
			}
			return nil
		})
	}()
	next := func(want string) {
		t.Helper()
		if text := <-got; text != want {
			t.Errorf("%q came, want %q", text, want)
		}
	}
	push(t, l, a, 0, printed("Continue? hun"))
	next("Continue? ")
	push(t, l, a, 1, printed("dred\nhunt"))
	next("hundred\n")
	push(t, l, a, 2, word("cmd_finished", ""))
	next("hunt")
	next("")
	push(t, l, a, 3, printed("hunte"))
	next("")
	if err := l.Close(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	next("hunte")
	if err := <-ended; err != nil || len(got) > 0 {
		t.Errorf("%v, and %d more", err, len(got))
	}
}

// What is held back is not on the disk in plain text, and any server goes on with it.
func TestAnyServerGoesOnWithTheTail(t *testing.T) {
	dir := t.TempDir()
	s := storetest.Open(t, store.Options{Dir: dir})
	v := &vault{values: []string{"correct-horse-battery-staple"}}
	one, two := New(Options{Store: s, Secrets: v, Keys: ring(t)}), New(Options{Store: s, Secrets: v, Keys: ring(t)})
	a := signalbox.NewID()
	push(t, one, a, 0, printed("it is correct-horse-bat"))
	push(t, two, a, 1, printed("tery-staple\n"))
	push(t, one, a, 1, printed("tery-staple\n"), printed("more of correct-horse\n"))
	push(t, two, a, 2, printed("a lie: correct-horse-battery-staple\n"))
	if got := text(t, one, a); got != "it is ***\nmore of " {
		t.Errorf("%q", got)
	}
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, needle := range []string{"correct-horse", base64.StdEncoding.EncodeToString([]byte("correct-horse"))[:12], hex.EncodeToString([]byte("correct-horse"))} {
			if bytes.Contains(b, []byte(needle)) {
				t.Errorf("%s holds %s", filepath.Base(path), needle)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	err := s.ReadLog(t.Context(), func(tx *store.LogTx) error {
		evidence, err := tx.LogEvidence(a)
		if len(evidence) != 1 {
			t.Errorf("%d pieces of evidence, want 1", len(evidence))
		}
		for _, e := range evidence {
			if plain, err := one.dec.DecodeAll(e.Data, nil); err == nil {
				t.Errorf("evidence is in plain text: %s", plain)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestGapsAndSecrets(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t), Secrets: &vault{values: []string{"hunter2"}}, Keys: ring(t)})
	a := signalbox.NewID()
	push(t, l, a, 0, printed("a hun"))
	push(t, l, a, 3, printed("r2 b hunt"))
	if got := text(t, l, a); got != "a [events 1 to 2 of the log never arrived]\nr2 b " {
		t.Errorf("%q", got)
	}
	push(t, l, a, 2, printed("e"))
	push(t, l, a, 1, printed("t"))
	if got := text(t, l, a); strings.Contains(got, "hunter2") {
		t.Errorf("%q", got)
	}
	b := signalbox.NewID()
	push(t, l, b, 0, printed("a hun"))
	push(t, l, b, 2, printed("d"))
	if err := l.Close(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := text(t, l, b); got != "a hun[event 1 of the log never arrived]\nd" {
		t.Errorf("%q", got)
	}
	push(t, l, b, 1, printed("t"))
	if got := text(t, l, b); got != "a huntd" {
		t.Errorf("%q", got)
	}
}

func TestALogWhoseSecretsAreForgottenTakesNothingMore(t *testing.T) {
	s := storetest.OpenSQLite(t)
	l := New(Options{Store: s, Secrets: &vault{values: []string{"hunter2"}}, Keys: ring(t)})
	a := signalbox.NewID()
	push(t, l, a, 0, printed("one\n"), printed("hun"))
	forgetful := New(Options{Store: s, Secrets: &vault{}, Keys: ring(t)})
	if err := forgetful.Close(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if out := push(t, forgetful, a, 0, printed("one\n"), printed("hun"), printed("ter2\n")); out != (Outcome{Duplicate: 2, Refused: 1}) {
		t.Errorf("%+v", out)
	}
	if got := text(t, l, a); got != "one\n***[event 2 of the log was not stored: the log was closed, and which secrets to hide is not known any more]\n" {
		t.Errorf("%q", got)
	}
}

func TestTheVaultIsAskedOnce(t *testing.T) {
	for name, v := range map[string]*vault{"with": {values: []string{"hunter2"}}, "without": {}} {
		l := New(Options{Store: storetest.OpenSQLite(t), Secrets: v, Keys: ring(t)})
		a := signalbox.NewID()
		for i := range 5 {
			push(t, l, a, int64(i), output(i))
		}
		if n := v.asked.Load(); n != 1 {
			t.Errorf("%s secrets: asked %d times", name, n)
		}
	}
	broken := New(Options{Store: storetest.OpenSQLite(t), Secrets: &vault{err: errors.New("no key")}, Keys: ring(t)})
	if _, err := broken.Append(t.Context(), signalbox.NewID(), "job", 0, []byte(output(0))); err == nil {
		t.Error("events were stored although nobody knows the secrets")
	}
}

func TestGuardsAreBounded(t *testing.T) {
	l := New(Options{Store: storetest.OpenSQLite(t), Secrets: &vault{values: []string{strings.Repeat("0123456789", 500)}}, Keys: ring(t)})
	for range 200 {
		if _, err := l.guards.of(t.Context(), signalbox.NewID()); err != nil {
			t.Fatal(err)
		}
	}
	if l.guards.size > maxGuardSize || l.guards.line.Len() != len(l.guards.by) {
		t.Errorf("%d matchers of %d bytes, %d in the map", l.guards.line.Len(), l.guards.size, len(l.guards.by))
	}
}

// TestNoSecretIsEverStored pushes what a job printed in any order, in pieces, twice, to two servers.
func TestNoSecretIsEverStored(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		keys := ring(t)
		rapid.Check(t, func(t *rapid.T) {
			secret := rapid.StringOfN(rapid.SampledFrom([]rune("abc+ /é\n")), 8, 20, -1).Draw(t, "secret")
			needle := strings.NewReplacer("\r", "", "\n", "").Replace(strings.TrimSpace(secret))
			if len(needle) < 6 {
				t.Skip("too short")
			}
			v := &vault{values: []string{secret}}
			servers := []*Log{New(Options{Store: s, Secrets: v, Keys: keys}), New(Options{Store: s, Secrets: v, Keys: keys})}
			encode := rapid.SampledFrom([]func(string) string{
				func(s string) string { return s },
				func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
				func(s string) string { return hex.EncodeToString([]byte(s)) },
				func(s string) string { b, _ := json.Marshal(s); return string(b) },
				func(s string) string { return strings.ReplaceAll(s, "a", "a\x1b[0m") },
			}).Draw(t, "encode")
			trimmed := strings.TrimSpace(secret)
			stream := ""
			for range rapid.IntRange(0, 3).Draw(t, "parts") {
				stream += rapid.StringOfN(rapid.SampledFrom([]rune("abc \n")), 0, 6, -1).Draw(t, "other") + encode(trimmed)
			}
			stream += rapid.StringOfN(rapid.SampledFrom([]rune("abc \n")), 0, 6, -1).Draw(t, "end")
			var truth []string
			directives := 0
			for rest := stream; rest != ""; {
				n := rapid.IntRange(1, min(len(rest), 9)).Draw(t, "bytes")
				truth = append(truth, printed(rest[:n]))
				rest = rest[n:]
				switch rapid.IntRange(0, 9).Draw(t, "kind") {
				case 0:
					truth = append(truth, word("cmd_finished", `,"directive":"x","exit_code":0`))
				case 1:
					directives++
					truth = append(truth, word("cmd_started", `,"directive":"ab"`))
				}
			}
			if len(truth) == 0 {
				t.Skip("nothing printed")
			}
			attempt := signalbox.NewID()
			m := &model{events: map[int64]string{}}
			send := func(from, to int) {
				l := servers[rapid.IntRange(0, 1).Draw(t, "server")]
				got, err := l.Append(context.Background(), attempt, "job", int64(from), []byte(strings.Join(truth[from:to], "\n")))
				if err != nil {
					t.Fatal(err)
				}
				if want := m.push(int64(from), truth[from:to]); got != want {
					t.Fatalf("push of events %d to %d: %+v, want %+v", from, to, got, want)
				}
			}
			check := func(final bool) string {
				var b strings.Builder
				if err := servers[0].Text(context.Background(), attempt, &b); err != nil {
					t.Fatal(err)
				}
				pulled, from := "", int64(0)
				for {
					page, next, closed, err := servers[1].Pull(context.Background(), attempt, from, 2)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range page {
						pulled += string(textOf(e))
					}
					if closed || next == from {
						break
					}
					from = next
				}
				for _, text := range []string{b.String(), pulled} {
					flat := strings.NewReplacer("\r", "", "\n", "", "\x1b[0m", "").Replace(text)
					if strings.Contains(flat, needle) || strings.Contains(flat, strings.Trim(encode(needle), `"=`)) && !strings.Contains(needle, "*") {
						t.Fatalf("of the secret %q, printed as %q, the log holds it: %q", secret, truth, text)
					}
				}
				if final && pulled != strings.ToValidUTF8(b.String(), "\ufffd") && strings.ToValidUTF8(pulled, "") != strings.ToValidUTF8(b.String(), "") && !strings.Contains(pulled, "\ufffd") {
					t.Fatalf("text is %q, pulled %q", b.String(), pulled)
				}
				return b.String()
			}
			for range rapid.IntRange(0, 6).Draw(t, "pushes") {
				from := rapid.IntRange(0, len(truth)-1).Draw(t, "from")
				send(from, rapid.IntRange(from+1, len(truth)).Draw(t, "to"))
				check(false)
			}
			if rapid.Bool().Draw(t, "close early") {
				if err := servers[0].Close(context.Background(), attempt); err != nil {
					t.Fatal(err)
				}
			}
			send(0, len(truth))
			if err := servers[1].Close(context.Background(), attempt); err != nil {
				t.Fatal(err)
			}
			got := check(true)
			if !strings.Contains(got, "***") && directives == 0 && got != stream {
				t.Fatalf("no secret, but %q is %q", stream, got)
			}
		})
	})
}
