package auth

import (
	"net/url"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
)

func TestAttemptToken(t *testing.T) {
	k, id := newKeyring(t, 1), signalbox.NewID()
	seen := map[string]bool{}
	for _, kind := range []string{AttemptLog, AttemptArtifact, AttemptCache, AttemptOIDC} {
		for _, generation := range []int{0, 1, 12} {
			token := k.AttemptToken(kind, id, generation)
			if token != k.AttemptToken(kind, id, generation) || seen[token] {
				t.Errorf("token %q is not derived from its arguments alone", token)
			}
			seen[token] = true
			if url.PathEscape(token) != token || url.QueryEscape(token) != token {
				t.Errorf("token %q is not safe in a URL", token)
			}
			gotKind, gotID, gotGeneration, err := k.ParseAttemptToken(token)
			if err != nil || gotKind != kind || gotID != id || gotGeneration != generation {
				t.Errorf("ParseAttemptToken(%q) = %q, %q, %d, %v", token, gotKind, gotID, gotGeneration, err)
			}
		}
	}
}

func TestParseAttemptTokenRefuses(t *testing.T) {
	k, id := newKeyring(t, 1), signalbox.NewID()
	token := k.AttemptToken(AttemptLog, id, 1)
	parts := strings.Split(token, ".")
	with := func(i int, s string) string {
		p := append([]string(nil), parts...)
		p[i] = s
		return strings.Join(p, ".")
	}
	for name, bad := range map[string]string{
		"empty":              "",
		"dots":               "...",
		"other kind":         with(0, AttemptArtifact),
		"unknown kind":       k.AttemptToken("shell", id, 1),
		"other attempt":      with(1, signalbox.NewID()),
		"upper case attempt": with(1, strings.ToUpper(id)),
		"not an attempt":     k.AttemptToken(AttemptLog, "x", 1),
		"other generation":   with(2, "2"),
		"spelt differently":  with(2, "01"),
		"plus sign":          with(2, "+1"),
		"not a number":       with(2, "x"),
		"no signature":       with(3, ""),
		"cut signature":      token[:len(token)-1],
		"longer":             token + "A",
		"one part more":      token + ".",
		"another key":        newKeyring(t, 2).AttemptToken(AttemptLog, id, 1),
		"another purpose":    strings.Join(parts[:3], ".") + "." + k.Sign("csrf", strings.Join(parts[:3], ".")),
		"huge":               strings.Repeat(token, 1000),
	} {
		if _, _, _, err := k.ParseAttemptToken(bad); signalbox.ErrorCode(err) != signalbox.CodeUnauthorized {
			t.Errorf("%s: %.60q gave %v, want CodeUnauthorized", name, bad, err)
		}
	}
}
