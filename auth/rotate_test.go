package auth

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

func TestEnvelope(t *testing.T) {
	k, other := newKeyring(t, 1), newKeyring(t, 2)
	key, data := k.SealEnvelope([]byte("plain text"), "a")
	if got, err := k.OpenEnvelope(key, data, "a"); err != nil || string(got) != "plain text" {
		t.Fatalf("%q, %v", got, err)
	}
	key2, data2 := k.SealEnvelope([]byte("plain text"), "b")
	if bytes.Equal(key, key2) || bytes.Equal(data, data2) {
		t.Error("two envelopes are equal")
	}
	for name, c := range map[string]struct {
		k          *Keyring
		key, data  []byte
		additional string
	}{
		"another master key":     {other, key, data, "a"},
		"another name":           {k, key, data, "b"},
		"the other one's data":   {k, key, data2, "a"},
		"the other one's key":    {k, key2, data, "a"},
		"the other one as whole": {k, key2, data2, "a"},
	} {
		if got, err := c.k.OpenEnvelope(c.key, c.data, c.additional); err == nil {
			t.Errorf("%s: opened as %q", name, got)
		}
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	k, err := OpenKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	replica, err := OpenKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	old, signature := k.Seal([]byte("x"), "a"), k.Sign("p", "m")
	token := k.AttemptToken(AttemptLog, signalbox.NewID(), 0)
	opens := func(what string, k *Keyring, sealed []byte) {
		t.Helper()
		if got, err := k.Open(sealed, "a"); err != nil || string(got) != "x" {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	if err := k.Prepare(); err != nil {
		t.Fatal(err)
	}
	if len(k.Keys()) != 2 || k.Stale(old) || k.Stale(k.Seal(nil, "a")) || k.Sign("p", "m") != signature {
		t.Error("a prepared key is in use")
	}
	if err := k.Advance(); err != nil {
		t.Fatal(err)
	}
	fresh := k.Seal([]byte("x"), "a")
	opens("the old value with the new ring", k, old)
	opens("a new value", k, fresh)
	opens("a new value on another server of the same file", replica, fresh)
	if !k.Stale(old) || k.Stale(fresh) || k.Stale([]byte("organization")) || k.Stale(nil) {
		t.Error("what is stale is not known")
	}
	if k.Sign("p", "m") == signature || !k.Verify("p", "m", signature) || k.Verify("p", "n", signature) {
		t.Error("signatures of the key before must stay valid, and new ones be made with the new key")
	}
	if _, _, _, err := k.ParseAttemptToken(token); err != nil {
		t.Errorf("a token of a running attempt: %v", err)
	}
	again, err := k.Reseal(old, "a")
	if err != nil || k.Stale(again) {
		t.Fatalf("%v", err)
	}
	if err := k.Forget(); err != nil {
		t.Fatal(err)
	}
	opens("sealed anew", k, again)
	if _, err := k.Open(old, "a"); err == nil || k.Verify("p", "m", signature) {
		t.Error("a key that was forgotten is known")
	}
	info, err := os.Stat(filepath.Join(dir, MasterKeyFile))
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", info, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v (%v), want the key only", entries, err)
	}
	loose, err := ParseKeyring(strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	if err := loose.Prepare(); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
		t.Errorf("a ring that is in no file: %v", err)
	}
}

// A value as it was sealed before sealed values named their key.
func TestTheFirstFormOpens(t *testing.T) {
	k := newKeyring(t, 1)
	v2 := k.Seal([]byte("x"), "a")
	v1 := append([]byte{sealVersion1}, v2[1+idSize:]...)
	if got, err := k.Open(v1, "a"); err != nil || string(got) != "x" || !k.Stale(v1) {
		t.Errorf("%q, %v", got, err)
	}
}
