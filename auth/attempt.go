package auth

import (
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// Kinds of attempt tokens: what a job or its agent may do with one.
const (
	AttemptLog      = "log"
	AttemptArtifact = "artifact"
	AttemptCache    = "cache"
	AttemptOIDC     = "oidc"
)

const attemptPurpose = "attempt"

// AttemptToken returns the token of one kind for one attempt: kind.attempt.generation.signature. It is derived, not
// stored, so the same arguments give the same token on every server that shares the master key; a new generation makes
// another one. It says nothing about whether the attempt still lives: whoever accepts it must look.
func (k *Keyring) AttemptToken(kind, attemptID string, generation int) string {
	claim := kind + "." + attemptID + "." + strconv.Itoa(generation)
	return claim + "." + k.Sign(attemptPurpose, claim)
}

// ParseAttemptToken checks the signature of a token made by AttemptToken and returns what it was made from. Any token
// that is not exactly as AttemptToken writes it is refused with CodeUnauthorized.
func (k *Keyring) ParseAttemptToken(token string) (kind, attemptID string, generation int, err error) {
	refused := &signalbox.Error{Code: signalbox.CodeUnauthorized, Message: "the job token is not valid"}
	parts := strings.Split(token, ".")
	if len(token) > 200 || len(parts) != 4 || !signalbox.IsID(parts[1]) {
		return "", "", 0, refused
	}
	generation, err = strconv.Atoi(parts[2])
	if err != nil {
		return "", "", 0, refused
	}
	switch parts[0] {
	case AttemptLog, AttemptArtifact, AttemptCache, AttemptOIDC:
	default:
		return "", "", 0, refused
	}
	// The claim is made anew: other spellings of the same number do not pass, nor do those of a signature.
	claim := parts[0] + "." + parts[1] + "." + strconv.Itoa(generation)
	if token != claim+"."+parts[3] || !k.Verify(attemptPurpose, claim, parts[3]) {
		return "", "", 0, refused
	}
	return parts[0], parts[1], generation, nil
}
