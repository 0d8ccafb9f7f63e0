package artifact

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
)

func keys(t *testing.T) *auth.Keyring {
	t.Helper()
	k, err := auth.NewKeyring(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// What is signed is read back the same, whatever the path holds; the client re-reads URLs, so they must survive that.
func FuzzGrant(f *testing.F) {
	for _, p := range []string{"a", "sp ace", "ü/ö", "q?x#y&z=1", "100%", "%2e%2e", "a+b", ";,:@$!'()*", "\"<>^`{|}", "x//y", "..", "a\nb"} {
		f.Add(p, p)
	}
	id := signalbox.NewID()
	f.Fuzz(func(t *testing.T, asked, rest string) {
		k := keys(t)
		full := "artifacts/jobs/" + id + "/" + asked
		object := full
		if rest != "" {
			object += "/" + rest
		}
		if _, err := parsePath(object); err != nil {
			return
		}
		if _, err := parsePath(full); err != nil {
			return
		}
		g := grant{method: "GET", project: id, path: object, attempt: id, expires: 10}
		text := named(g.sign(k, "https://ci.example.com"), full, object)
		u, err := url.Parse(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := url.Parse(u.String())
		if err != nil {
			t.Fatalf("%q: %v", u, err)
		}
		path := strings.TrimPrefix(again.Path, objectBase+id+"/")
		got, err := parseGrant(k, id, path, again.Query(), time.Unix(9, 0))
		if err != nil || got != g {
			t.Errorf("%q: got %+v (%v), want %+v", text, got, err, g)
		}
		if _, err := parseGrant(k, id, path, again.Query(), time.Unix(10, 0)); signalbox.ErrorCode(err) != signalbox.CodeForbidden {
			t.Errorf("at its end: %v", err)
		}
	})
}

func TestNamed(t *testing.T) {
	const base = "https://h:1/_store/v1/x?s=1"
	for _, c := range [][3]string{
		{"p/a", "p/a", "#https://o/b/p/fff?"},
		{"p", "p/a.txt", "#https://o/b/p/f/a.txt?"},
		{"p", "p/ü", "&o=https://o/b/p/f/ü?"},
		{"p", "p/50%", "&o=https://o/b/p/f/50%?"},
		{"p", "p/a b", "#https://o/b/p/f/a%20b?"},
		{"ü", "ü/a", "#https://o/b/p/ff/a?"}, // bytes, not characters
	} {
		if got := named(base, c[0], c[1]); got != base+c[2] {
			t.Errorf("%q of %q: %s", c[1], c[0], got)
		}
	}
}

func TestByName(t *testing.T) {
	for in, want := range map[string]string{
		"https://127.0.0.1:8443": "https://localhost:8443", "http://127.0.0.1": "http://localhost", "https://127.0.0.10": "https://127.0.0.10",
		"https://ci.example.com": "https://ci.example.com", "http://[::1]:1": "http://[::1]:1",
	} {
		if got := byName(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestGrantsDoNotMix(t *testing.T) {
	id := signalbox.NewID()
	seen := map[string]bool{}
	for _, g := range []grant{
		{"GET", id, "artifacts/jobs/x/a", id, 1, false},
		{"GET", id, "artifacts/jobs/x/a", id, 11, false},
		{"GET", id, "artifacts/jobs/x/a", id, 1, true},
		{"PUT", id, "artifacts/jobs/x/a", id, 1, false},
		{"GET", id + "/artifacts", "jobs/x/a", id, 1, false},
		{"GET", id, "artifacts/jobs/x/a1", id, 1, false},
		{"GET", id, "artifacts/jobs/x/a", signalbox.NewID(), 1, false},
	} {
		if seen[g.message()] {
			t.Errorf("%+v has the text of another grant", g)
		}
		seen[g.message()] = true
	}
}
