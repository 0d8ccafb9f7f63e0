package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// through sends a text through a matcher in pieces, which end at the given places.
func through(m *Matcher, text string, cuts ...int) string {
	var out []byte
	var s State
	last := 0
	for _, cut := range append(cuts, len(text)) {
		var o []byte
		o, s = m.Next(s, []byte(text[last:cut]))
		out = append(out, o...)
		last = cut
	}
	o, _ := m.Flush(s)
	return string(append(out, o...))
}

// everyWay checks a text cut nowhere, at each place, and at all places.
func everyWay(t *testing.T, m *Matcher, text, want string) {
	t.Helper()
	if got := through(m, text); got != want {
		t.Errorf("%q gives %q, want %q", text, got, want)
	}
	var all []int
	for i := range len(text) {
		if got := once(through(m, text, i)); got != want {
			t.Errorf("%q cut at %d gives %q, want %q", text, i, got, want)
		}
		all = append(all, i)
	}
	if got := once(through(m, text, all...)); got != want {
		t.Errorf("%q cut everywhere gives %q, want %q", text, got, want)
	}
	if got := string(m.Text([]byte(text))); got != want {
		t.Errorf("%q as a whole gives %q, want %q", text, got, want)
	}
}

func TestText(t *testing.T) {
	m := New([]string{"hunter2", "abcdef", "defghi", "  with space\n", "short", "aaaaaa", "line one\nline two", "a/b?c&d=\"e\"", "\x00\xff\xfe\x01bin"})
	for text, want := range map[string]string{
		"":                                 "",
		"nothing here\n":                   "nothing here\n",
		"it is hunter2.\n":                 "it is ***.\n",
		"hunter":                           "hunter",
		"hunter1hunter2hunter3":            "hunter1***hunter3",
		"hunter2hunter2":                   "***",
		"abcdefghi":                        "***",
		"abcdefgh":                         "***gh",
		"xabcdeabcdef":                     "xabcde***",
		"short is too short":               "short is too short",
		"with space":                       "***",
		"aaaaaaaaaaaaaaaaaab":              "***b",
		"aaaaab":                           "aaaaab",
		"hun\nter2":                        "***",
		"hun\r\n\r\nter2\r\n":              "***\r\n",
		"line one\r\nline two\r\n":         "***\r\n",
		"\x1b[31mhunter2\x1b[0m":           "\x1b[31m***\x1b[0m",
		"hun\x1b[31mter\x1b[1;31m2\x1b[0m": "***\x1b[0m",
		"\x1b]0;hunter2\x07":               "\x1b]0;***\x07",
		"hun\x1b]0;title\x1b\\ter2":        "***",
		"hun\x1b[3":                        "hun\x1b[3",
		"a%2Fb%3Fc%26d%3D%22e%22":          "***",
		"a%2fb%3fc%26d%3d%22e%22":          "***",
		`{"k":"a/b?c&d=\"e\""}`:            `{"k":"***"}`,
		`a\/b?c&d=\"e\"`:                   "***",
		`a/b?c\u0026d=\"e\"`:               "***",
		"x\x00\xff\xfe\x01biny":            "x***y",
		"68756e74657232":                   "***",
		"68756E74657232":                   "***",
		"hunter***2":                       "hunter***2",
	} {
		everyWay(t, m, text, want)
	}
	if New(nil) != nil || New([]string{"", "short", " a "}) != nil {
		t.Error("there is a matcher of nothing")
	}
}

func TestFlush(t *testing.T) {
	m := New([]string{"hunter2"})
	out, s := m.Next(State{}, []byte("it is hunt"))
	if string(out) != "it is " || string(s.Tail) != "hunt" || !s.Held() {
		t.Fatalf("%q, %+v", out, s)
	}
	out, s = m.Flush(s)
	if string(out) != "hunt" || s.Held() {
		t.Fatalf("%q, %+v", out, s)
	}
	// What came out is still the beginning of a secret.
	out, s = m.Next(s, []byte("er2, it is"))
	if string(out) != "***, it is" || len(s.Tail) != 0 {
		t.Errorf("%q, %+v", out, s)
	}
	for following, want := range map[string]string{"er2!": "***", "er": "hunt", "": "hunt"} {
		_, s := m.Next(State{}, []byte("it is hunt"))
		if got := string(m.Join(s, []byte(following))); got != want {
			t.Errorf("before %q: %q, want %q", following, got, want)
		}
	}
}

func TestTheTailIsNoLongerThanABeginning(t *testing.T) {
	m := New([]string{"hunter2-and-more"})
	for text, want := range map[string]string{
		"done\n": "", "done\nh": "h", "hunter": "hunter", "hunter2-and-mor": "hunter2-and-mor", "hunter2-and-more": "", "hunterhunt": "hunt",
		"x\nhun\n": "hun\n", "hunter3": "", "hun\x1b[0": "hun\x1b[0", "h" + strings.Repeat("\n", 10000): "",
	} {
		if _, s := m.Next(State{}, []byte(text)); string(s.Tail) != want {
			t.Errorf("%.40q leaves the tail %.40q, want %q", text, s.Tail, want)
		}
	}
}

// encodings are ways in which a job may print a secret, with other text around it.
var encodings = map[string]func(before, secret, after string) string{
	"plain":  func(b, s, a string) string { return b + s + a },
	"base64": func(b, s, a string) string { return base64.StdEncoding.EncodeToString([]byte(b + s + a)) },
	"base64url": func(b, s, a string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(b + s + a))
	},
	"base64 twice": func(b, s, a string) string {
		return base64.StdEncoding.EncodeToString([]byte("x" + base64.StdEncoding.EncodeToString([]byte(b+s+a))))
	},
	"hex":     func(b, s, a string) string { return hex.EncodeToString([]byte(b + s + a)) },
	"HEX":     func(b, s, a string) string { return strings.ToUpper(hex.EncodeToString([]byte(b + s + a))) },
	"query":   func(b, s, a string) string { return b + url.QueryEscape(s) + a },
	"path":    func(b, s, a string) string { return b + url.PathEscape(s) + a },
	"json":    func(b, s, a string) string { j, _ := json.Marshal(b + s + a); return string(j) },
	"wrapped": func(b, s, a string) string { return wrap(b+s+a, 7, "\n") },
	"wrapped base64": func(b, s, a string) string {
		return wrap(base64.StdEncoding.EncodeToString([]byte(b+s+a)), 76, "\r\n")
	},
	"wrapped hex": func(b, s, a string) string { return wrap(hex.EncodeToString([]byte(b+s+a)), 60, "\n") },
	"coloured":    func(b, s, a string) string { return b + s[:3] + "\x1b[1;31m" + s[3:] + "\x1b[0m" + a },
}

func wrap(s string, width int, end string) string {
	var b strings.Builder
	for len(s) > width {
		b.WriteString(s[:width] + end)
		s = s[width:]
	}
	return b.String() + s
}

// plainly removes what does not matter in a stream.
func plainly(s string) string { return unwrapped(stripped(s)) }

// check sends an encoded secret through in pieces and looks for it in what comes out.
func check(t interface{ Fatalf(string, ...any) }, name, secret, text string, cuts []int, m *Matcher) {
	got := through(m, text, cuts...)
	for _, form := range forms(secret, true) {
		if strings.Contains(plainly(got), string(form)) || strings.Contains(unwrapped(got), string(form)) {
			t.Fatalf("%s: %q cut at %v gives %q, which holds %q of the secret %q", name, text, cuts, got, form, secret)
		}
	}
	if !strings.Contains(got, Mark) {
		t.Fatalf("%s: %q cut at %v gives %q without a mark for %q", name, text, cuts, got, secret)
	}
	// However it is cut, the same comes out, but for how often a mark stands for two secrets side by side.
	if a, b := once(got), once(string(m.Text([]byte(text)))); a != b {
		t.Fatalf("%s: %q cut at %v gives %q, uncut %q", name, text, cuts, a, b)
	}
}

func once(s string) string {
	for strings.Contains(s, Mark+Mark) {
		s = strings.ReplaceAll(s, Mark+Mark, Mark)
	}
	return s
}

func TestAnySecretInAnyEncodingCutAnywhere(t *testing.T) {
	alphabets := []string{"ab", "abcdefghijklmnopqrstuvwxyz0123456789", "a/+= \"\\&<%\n", "\x00\xff\xc3\xa9\x1bz[m"}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(what string, from, to int) string {
			letters := rapid.SampledFrom(alphabets).Draw(t, what+" of")
			return rapid.Map(rapid.SliceOfN(rapid.IntRange(0, len(letters)-1), from, to), func(is []int) string {
				b := make([]byte, len(is))
				for i, k := range is {
					b[i] = letters[k]
				}
				return string(b)
			}).Draw(t, what)
		}
		secret := draw("secret", 6, 90)
		if len(unwrapped(strings.TrimSpace(secret))) < MinLength || len(unwrapped(stripped(strings.TrimSpace(secret)))) < MinLength {
			t.Skip("too short")
		}
		m := New([]string{secret, draw("another", 6, 20)})
		before, after := draw("before", 0, 30), draw("after", 0, 30)
		for name, encode := range encodings {
			if name == "coloured" && strings.ContainsRune(secret+before, escape) || name == "wrapped" && strings.ContainsRune(before+secret, escape) {
				continue // then the sequences are cut, and what they hide is another text
			}
			if name == "json" && !strings.HasPrefix(fmt.Sprintf("%q", secret+before+after), `"`) {
				continue
			}
			text := encode(before, secret, after)
			if name == "json" && strings.ContainsRune(text, '\ufffd') || strings.Contains(text, `\ufffd`) {
				continue // JSON cannot hold these bytes
			}
			var cuts []int
			for range rapid.IntRange(0, 6).Draw(t, "cuts") {
				cuts = append(cuts, rapid.IntRange(0, len(text)).Draw(t, "cut"))
			}
			check(t, name, strings.TrimSpace(secret), text, sorted(cuts), m)
		}
	})
}

func sorted(cuts []int) []int {
	for i := range cuts {
		for j := i; j > 0 && cuts[j] < cuts[j-1]; j-- {
			cuts[j], cuts[j-1] = cuts[j-1], cuts[j]
		}
	}
	return cuts
}

func TestOtherTextComesOutByteForByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New([]string{"hunter2", "correct horse battery staple"})
		text := rapid.StringOf(rapid.SampledFrom([]rune("hunter1 corect\n\r\x1b[m0é"))).Draw(t, "text")
		if len(mustFind(m, text)) > 0 {
			t.Skip("holds a secret")
		}
		var cuts []int
		for range rapid.IntRange(0, 6).Draw(t, "cuts") {
			cuts = append(cuts, rapid.IntRange(0, len(text)).Draw(t, "cut"))
		}
		if got := through(m, text, sorted(cuts)...); got != text {
			t.Fatalf("%q cut at %v gives %q", text, cuts, got)
		}
	})
}

func mustFind(m *Matcher, text string) []span {
	found, _ := m.scan([]byte(text))
	return found
}

func TestLargeValues(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	file := make([]byte, 1<<20)
	for i := range file {
		file[i] = "abcdefghijklmnopqrstuvwxyz0123456789\n"[r.IntN(37)]
	}
	secret := strings.TrimSpace(string(file))
	m := New([]string{secret, "hunter2"})
	if m.blocks == nil {
		t.Fatal("a value of 1 MiB is in the tree")
	}
	for name, text := range map[string]string{
		"plain": secret, "crlf": strings.ReplaceAll(secret, "\n", "\r\n"), "base64": wrap(base64.StdEncoding.EncodeToString([]byte("ab"+secret)), 76, "\n"),
		"hex": hex.EncodeToString([]byte(secret)),
	} {
		var out bytes.Buffer
		var s State
		piece := 10007
		whole := "before\n" + text + "\nafter hunter2\n"
		for i := 0; i < len(whole); i += piece {
			var o []byte
			o, s = m.Next(s, []byte(whole[i:min(i+piece, len(whole))]))
			out.Write(o)
			if len(s.Tail) > 200 {
				t.Fatalf("%s: a tail of %d bytes", name, len(s.Tail))
			}
		}
		o, _ := m.Flush(s)
		out.Write(o)
		// A line end between two blocks stays, and so does what base64 makes of other text.
		if got := once(unwrapped(out.String())); !strings.HasPrefix(got, "before") || !strings.HasSuffix(got, "***after ***") || len(got) > 24 {
			t.Errorf("%s: %d bytes come out: %.300q", name, out.Len(), got)
		}
	}
	if got := through(m, "nothing of it"); got != "nothing of it" {
		t.Errorf("%q", got)
	}
	t.Logf("a matcher of 1 MiB takes about %d KiB", m.Size()>>10)
}

func FuzzRedact(f *testing.F) {
	f.Add("hunter2", "it is hunter2", uint8(7))
	f.Add("a\x1b[mbcdef", "a\x1b[mbcdef", uint8(3))
	f.Add("aaaaaaa", "aaaaaaaaaaaaa", uint8(2))
	f.Fuzz(func(t *testing.T, secret, text string, piece uint8) {
		m := New([]string{secret})
		if m == nil {
			return
		}
		var cuts []int
		for i := int(piece); piece > 0 && i < len(text); i += int(piece) {
			cuts = append(cuts, i)
		}
		got := through(m, text, cuts...)
		for _, form := range forms(secret, true) {
			if strings.Contains(unwrapped(got), string(form)) && !strings.Contains(string(form), "*") {
				t.Fatalf("%q cut every %d gives %q, which holds %q", text, piece, got, form)
			}
		}
		if len(mustFind(m, text)) == 0 && got != text {
			t.Fatalf("%q holds no secret and gives %q", text, got)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	text := []byte(strings.Repeat("2026-01-01 12:00:00 compile internal/server/handler_test.go: ok\n", 1000))
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprintf("%d values", n), func(b *testing.B) {
			var values []string
			for i := range n {
				values = append(values, fmt.Sprintf("%x-secret-value-%d", rand.Uint64(), i))
			}
			m := New(values)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				m.Next(State{}, text)
			}
		})
	}
}
