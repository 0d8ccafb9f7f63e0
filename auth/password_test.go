package auth

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

func TestPassword(t *testing.T) {
	ctx := context.Background()
	hash, err := HashPassword(ctx, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || strings.Contains(hash, "horse") {
		t.Errorf("hash is %q", hash)
	}
	again, err := HashPassword(ctx, "correct horse")
	if err != nil || again == hash {
		t.Errorf("the second hash is %q (%v), the same as the first", again, err)
	}
	for _, c := range []struct {
		hash, password string
		want           bool
	}{
		{hash, "correct horse", true},
		{again, "correct horse", true},
		{hash, "correct horsf", false},
		{hash, "", false},
		{hash, "correct horse ", false},
		{"", "correct horse", false},
		{"", "", false},
		{hash, strings.Repeat("x", MaxPassword+1), false},
	} {
		got, err := VerifyPassword(ctx, c.hash, c.password)
		if err != nil || got != c.want {
			t.Errorf("VerifyPassword(%.20q, %.20q) = %v, %v, want %v", c.hash, c.password, got, err, c.want)
		}
	}
	if NeedsRehash(hash) {
		t.Error("a fresh hash needs no rehash")
	}
}

// What the reference implementation's program prints for: printf password | argon2 somesalt -id -t 1 -k 64 -p 1 -l 24
func TestVerifyForeignHash(t *testing.T) {
	const hash = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7"
	ok, err := VerifyPassword(context.Background(), hash, "password")
	if err != nil || !ok {
		t.Errorf("VerifyPassword = %v, %v", ok, err)
	}
	if !NeedsRehash(hash) {
		t.Error("a hash with weaker parameters must be replaced")
	}
}

func TestPasswordLength(t *testing.T) {
	for _, p := range []string{"", "1234567", strings.Repeat("x", MaxPassword+1)} {
		if _, err := HashPassword(context.Background(), p); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("a password of %d bytes gave %v, want CodeInvalid", len(p), err)
		}
	}
}

func TestDamagedHash(t *testing.T) {
	for _, hash := range []string{
		"x", "$", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
		"$argon2id$v=18$m=64,t=1,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
		"$argon2id$v=19$m=99999999,t=1,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
		"$argon2id$v=19$m=64,t=99999,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
		"$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
		"$argon2id$v=19$m=64,t=1,p=0$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
		"$argon2id$v=19$m=64,t=1,p=1,x=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
		"$argon2id$v=19$m=64,t=1,p=1$!!$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$",
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7$",
	} {
		if ok, err := VerifyPassword(context.Background(), hash, "password"); ok || err == nil {
			t.Errorf("VerifyPassword(%q) = %v, %v, want an error", hash, ok, err)
		}
	}
}

func TestHashingIsBounded(t *testing.T) {
	for range cap(hashing) {
		hashing <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := VerifyPassword(ctx, "", "password"); !errors.Is(err, context.Canceled) {
			t.Errorf("with all places taken VerifyPassword gave %v, want to wait until the context ends", err)
		}
	})
	cancel()
	wg.Wait()
	for range cap(hashing) {
		<-hashing
	}
}
