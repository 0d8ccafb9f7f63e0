package auth

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

func newKeyring(t *testing.T, fill byte) *Keyring {
	t.Helper()
	k, err := NewKeyring(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestOpenKeyring(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	first, err := OpenKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, MasterKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %o", info.Mode().Perm())
	}
	text, err := os.ReadFile(filepath.Join(dir, MasterKeyFile))
	if err != nil || len(text) != 65 {
		t.Errorf("the file is %q (%v), want 64 digits and a line end", text, err)
	}
	second, err := OpenKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := second.Open(first.Seal([]byte("x"), "a"), "a"); err != nil || string(got) != "x" {
		t.Errorf("the second opening has another key: %q, %v", got, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v (%v), want the key only", entries, err)
	}
}

func TestKeyringsOpenedAtOnceAgree(t *testing.T) {
	dir := t.TempDir()
	rings := make([]*Keyring, 8)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			var err error
			if rings[i], err = OpenKeyring(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range rings {
		if k != nil && k.Sign("p", "m") != rings[0].Sign("p", "m") {
			t.Error("two openings made two keys")
		}
	}
}

func TestOpenKeyringRefuses(t *testing.T) {
	good := strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"readable by others": {good, 0o644, "chmod 600"},
		"writable by group":  {good, 0o620, "chmod 600"},
		"empty":              {"", 0o600, "64 hexadecimal digits"},
		"short":              {good[2:], 0o600, "64 hexadecimal digits"},
		"long":               {good + "ab", 0o600, "64 hexadecimal digits"},
		"not hexadecimal":    {"zz" + good[2:], 0o600, "64 hexadecimal digits"},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && c.mode != 0o600 {
				return // files have no such modes there
			}
			file := filepath.Join(t.TempDir(), MasterKeyFile)
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := OpenKeyring(filepath.Dir(file))
			if signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want CodeInvalid with %q", err, c.want)
			}
			if err != nil && len(c.text) > 10 && strings.Contains(err.Error(), c.text[2:10]) {
				t.Errorf("the error quotes the key: %v", err)
			}
		})
	}
}

func TestSeal(t *testing.T) {
	k, other := newKeyring(t, 1), newKeyring(t, 2)
	for _, plain := range []string{"", "x", strings.Repeat("secret ", 1000)} {
		sealed := k.Seal([]byte(plain), "row/1")
		if len(sealed) != len(plain)+45 || len(plain) > 1 && bytes.Contains(sealed, []byte(plain[:6])) {
			t.Errorf("sealed %d bytes to %d", len(plain), len(sealed))
		}
		if bytes.Equal(sealed, k.Seal([]byte(plain), "row/1")) {
			t.Error("sealing twice gave the same bytes")
		}
		got, err := k.Open(sealed, "row/1")
		if err != nil || string(got) != plain {
			t.Errorf("Open = %.20q, %v", got, err)
		}
		if _, err := k.Open(sealed, "row/2"); err == nil {
			t.Error("opened under another name")
		}
		if _, err := other.Open(sealed, "row/1"); err == nil {
			t.Error("opened with another key")
		}
		for i := 0; i < len(sealed); i += 1 + len(sealed)/50 {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1
			if _, err := k.Open(bad, "row/1"); err == nil {
				t.Errorf("opened with byte %d changed", i)
			}
			if _, err := k.Open(sealed[:i], "row/1"); err == nil {
				t.Errorf("opened when cut to %d bytes", i)
			}
		}
	}
}

func TestSign(t *testing.T) {
	k := newKeyring(t, 1)
	s := k.Sign("csrf", "session")
	for _, c := range []struct {
		k                  *Keyring
		purpose, msg, sign string
		want               bool
	}{
		{k, "csrf", "session", s, true},
		{k, "csrf", "session2", s, false},
		{k, "other", "session", s, false},
		{k, "csrf", "session", s[1:], false},
		{k, "csrf", "session", "", false},
		{newKeyring(t, 2), "csrf", "session", s, false},
	} {
		if got := c.k.Verify(c.purpose, c.msg, c.sign); got != c.want {
			t.Errorf("Verify(%q, %q, %q) = %v", c.purpose, c.msg, c.sign, got)
		}
	}
}
