package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

// TokenKind says what a random token is for, and so what it looks like.
type TokenKind string

const (
	TokenRegistration TokenKind = "registration" // lets agents of one type register
	TokenAccess       TokenKind = "access"       // is one registered agent
	TokenAPI          TokenKind = "api"          // acts for a user
	TokenSession      TokenKind = "session"      // is a signed-in browser
	TokenPassword     TokenKind = "password"     // lets somebody choose a password, once
)

// APITokenPrefix begins every API token, so that scanners find leaked ones. Agent tokens have no prefix, because
// official tools expect bare hexadecimal.
const APITokenPrefix = "sbt_"

// NewToken makes a random token: 40 bytes as 80 lower-case hexadecimal digits, after APITokenPrefix for API tokens.
// The plain text is shown or sent once; only the hash, as HashToken returns it, is stored.
func NewToken(kind TokenKind) (plain, hash string) {
	b := make([]byte, 40)
	_, _ = rand.Read(b) // never fails
	plain = hex.EncodeToString(b)
	if kind == TokenAPI {
		plain = APITokenPrefix + plain
	}
	return plain, HashToken(plain)
}

// HashToken returns the SHA-256 of a token, prefix included, in lower-case hexadecimal. A fast hash is right here:
// nobody guesses 320 random bits. Finding a row by this hash leaks no useful time either, since whoever could steer the
// comparison would have to choose hashes.
func HashToken(plain string) string {
	sum := sha256.Sum256([]byte(plain))
	return hex.EncodeToString(sum[:])
}
