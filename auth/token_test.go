package auth

import (
	"regexp"
	"testing"
)

func TestNewToken(t *testing.T) {
	bare, prefixed := regexp.MustCompile(`^[0-9a-f]{80}$`), regexp.MustCompile(`^sbt_[0-9a-f]{80}$`)
	seen := map[string]bool{}
	for kind, shape := range map[TokenKind]*regexp.Regexp{
		TokenRegistration: bare, TokenAccess: bare, TokenSession: bare, TokenAPI: prefixed,
	} {
		for range 20 {
			plain, hash := NewToken(kind)
			if !shape.MatchString(plain) {
				t.Errorf("%s token %q has not the shape %s", kind, plain, shape)
			}
			if hash != HashToken(plain) || seen[plain] {
				t.Errorf("%s token %q: hash %q, seen before: %v", kind, plain, hash, seen[plain])
			}
			seen[plain] = true
		}
	}
}

func TestHashToken(t *testing.T) {
	// the published SHA-256 test vector
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := HashToken("abc"); got != want {
		t.Errorf("HashToken = %s, want %s", got, want)
	}
}
