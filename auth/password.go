package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/signalbox-ci/signalbox"
)

// Lengths of passwords in bytes. The upper one only keeps hashing cheap.
const (
	MinPassword = 8
	MaxPassword = 1024
)

// parameters of argon2id; memory in KiB.
type parameters struct {
	memory, time uint32
	threads      uint8
}

var current = parameters{memory: 19 * 1024, time: 2, threads: 1}

// Bounds for what a stored hash may ask for, because a row of the database must not be able to exhaust the server.
const (
	maxMemory  = 256 * 1024
	maxTime    = 16
	maxThreads = 16
)

// hashing bounds how many hashes the process computes at once: each takes 19 MiB and a core, and anybody can ask for
// one by trying to sign in.
var hashing = make(chan struct{}, 2)

// HashPassword returns the argon2id hash of password as a PHC string ($argon2id$v=19$m=...). It refuses passwords
// shorter than MinPassword and longer than MaxPassword, and waits while two other hashes are being computed.
func HashPassword(ctx context.Context, password string) (string, error) {
	switch {
	case len(password) < MinPassword:
		return "", signalbox.Errorf(signalbox.CodeInvalid, "a password needs at least %d characters", MinPassword)
	case len(password) > MaxPassword:
		return "", signalbox.Errorf(signalbox.CodeInvalid, "a password may have at most %d characters", MaxPassword)
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	key, err := derive(ctx, password, salt, current, 32)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, current.memory, current.time, current.threads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)), nil
}

// VerifyPassword tells whether password belongs to hash. With hash "" (no such user, or one without a password) it does
// the same work and answers false, so that the time taken does not tell who exists. An error means that the hash
// cannot be read or ctx ended, not that the password is wrong.
func VerifyPassword(ctx context.Context, hash, password string) (bool, error) {
	if len(password) > MaxPassword {
		return false, nil
	}
	p, salt, want := current, make([]byte, 16), make([]byte, 32)
	if hash != "" {
		var err error
		if p, salt, want, err = parsePHC(hash); err != nil {
			return false, fmt.Errorf("read the password hash: %w", err)
		}
	}
	got, err := derive(ctx, password, salt, p, uint32(len(want)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && hash != "", nil
}

// NeedsRehash tells whether hash was made with other parameters than those used now; replace it at the next sign-in.
func NeedsRehash(hash string) bool {
	p, _, _, err := parsePHC(hash)
	return err != nil || p != current
}

func derive(ctx context.Context, password string, salt []byte, p parameters, length uint32) ([]byte, error) {
	select {
	case hashing <- struct{}{}:
		defer func() { <-hashing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return argon2.IDKey([]byte(password), salt, p.time, p.memory, p.threads, length), nil
}

func parsePHC(hash string) (p parameters, salt, key []byte, err error) {
	fields := strings.Split(hash, "$")
	if len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" {
		return p, nil, nil, errors.New("not an argon2id PHC string")
	}
	if fields[2] != "v="+strconv.Itoa(argon2.Version) {
		return p, nil, nil, fmt.Errorf("argon2 version %.20q is not known", fields[2])
	}
	var m, t, threads uint64
	for _, item := range strings.Split(fields[3], ",") {
		name, value, _ := strings.Cut(item, "=")
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return p, nil, nil, fmt.Errorf("parameter %.20q is not a number", item)
		}
		switch name {
		case "m":
			m = n
		case "t":
			t = n
		case "p":
			threads = n
		default:
			return p, nil, nil, fmt.Errorf("parameter %.20q is not known", item)
		}
	}
	if threads < 1 || threads > maxThreads || t < 1 || t > maxTime || m < 8*threads || m > maxMemory {
		return p, nil, nil, fmt.Errorf("parameters %.40q are out of bounds", fields[3])
	}
	if salt, err = base64.RawStdEncoding.DecodeString(fields[4]); err != nil || len(salt) < 8 || len(salt) > 64 {
		return p, nil, nil, errors.New("the salt is damaged")
	}
	if key, err = base64.RawStdEncoding.DecodeString(fields[5]); err != nil || len(key) < 16 || len(key) > 64 {
		return p, nil, nil, errors.New("the key is damaged")
	}
	return parameters{memory: uint32(m), time: uint32(t), threads: uint8(threads)}, salt, key, nil
}
