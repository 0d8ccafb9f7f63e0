package auth

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/signalbox-ci/signalbox"
)

// MasterKeyFile is the name of the key file in the data folder.
const MasterKeyFile = "master.key"

const keySize = 32

// Keyring seals and signs with keys derived from a master key, a different one for every purpose. Older master keys in
// the ring open and verify, but nothing else. Master keys are never in the database, so a copy of the database alone
// opens nothing. Methods may be called concurrently.
type Keyring struct {
	file string // "" when the ring is of no file and cannot change

	mu   sync.RWMutex
	keys []*masterKey // the first one seals and signs
	read fs.FileInfo  // the file as it was last read
}

// masterKey is one key of a ring. Its id is in the clear in everything that it sealed.
type masterKey struct {
	master []byte
	id     [idSize]byte
}

// NewKeyring returns the key ring of a master key of 32 bytes.
func NewKeyring(master []byte) (*Keyring, error) {
	if len(master) != keySize {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "the master key has %d bytes; it must have %d", len(master), keySize)
	}
	return &Keyring{keys: []*masterKey{newMasterKey(master)}}, nil
}

func newMasterKey(master []byte) *masterKey {
	m := &masterKey{master: bytes.Clone(master)}
	copy(m.id[:], m.key("id", nil))
	return m
}

// ParseKeyring returns the key ring of master keys written as 64 hexadecimal digits each, one on a line, the one that
// seals first; white space around is ignored.
func ParseKeyring(text string) (*Keyring, error) {
	keys, err := parseKeys(text)
	if err != nil {
		return nil, err
	}
	return &Keyring{keys: keys}, nil
}

func parseKeys(text string) ([]*masterKey, error) {
	var keys []*masterKey
	for _, line := range strings.Fields(text) {
		master, err := hex.DecodeString(line)
		if err != nil || len(master) != keySize {
			keys = nil
			break
		}
		keys = append(keys, newMasterKey(master))
	}
	if len(keys) == 0 {
		// without the cause, which would quote the key
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "the master key must be %d hexadecimal digits", 2*keySize)
	}
	return keys, nil
}

// OpenKeyring reads dir/master.key, and makes it with a random key if there is none. The key is on disk for good when
// this returns, because what it seals is worthless without it. A file that other users can read is refused.
func OpenKeyring(dir string) (*Keyring, error) {
	name := filepath.Join(dir, MasterKeyFile)
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the data folder: %w", err)
		}
		if err := createMasterKey(dir, name); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make the master key: %w", err)
		}
	}
	k := &Keyring{file: name}
	if err := k.load(); err != nil {
		return nil, err
	}
	return k, nil
}

// load reads the file. The caller holds the lock, or has the ring alone.
func (k *Keyring) load() error {
	info, err := os.Stat(k.file)
	if err != nil {
		return fmt.Errorf("read the master key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return signalbox.Errorf(signalbox.CodeInvalid,
			"%s can be read by other users of this machine (mode %04o); run: chmod 600 %s", k.file, info.Mode().Perm(), k.file)
	}
	text, err := os.ReadFile(k.file)
	if err != nil {
		return fmt.Errorf("read the master key: %w", err)
	}
	keys, err := parseKeys(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", k.file, err)
	}
	k.keys, k.read = keys, info
	return nil
}

// createMasterKey writes the key beside its place and links it there: the name appears with the whole key or not at
// all, and of two servers that start at once only one makes the key.
func createMasterKey(dir, name string) error {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	tmp, err := os.CreateTemp(dir, "."+MasterKeyFile+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := writeKey(tmp, key); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), name); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		// a file system without hard links
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if err := writeKey(f, key); err != nil {
			return errors.Join(err, os.Remove(name))
		}
	}
	return syncDir(dir)
}

func writeKey(f *os.File, key []byte) error {
	_, err := f.WriteString(hex.EncodeToString(key) + "\n")
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// key derives the key for a purpose. Changing a purpose's name makes everything sealed under it unreadable.
func (k *masterKey) key(purpose string, salt []byte) []byte {
	key, err := hkdf.Key(sha256.New, k.master, salt, "signalbox/"+purpose, keySize)
	if err != nil {
		panic("auth: " + err.Error()) // only for lengths that the code never asks for
	}
	return key
}

// Sign returns a URL-safe signature of message for one purpose; signatures for different purposes never match.
func (k *Keyring) Sign(purpose, message string) string { return k.first().sign(purpose, message) }

func (k *masterKey) sign(purpose, message string) string {
	mac := hmac.New(sha256.New, k.key("sign/"+purpose, nil))
	mac.Write([]byte(message))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Verify tells, in constant time, whether signature is what Sign returns for purpose and message, or returned while
// another key of the ring was the first.
func (k *Keyring) Verify(purpose, message, signature string) bool {
	return k.verify(purpose, message, signature) || k.refresh() && k.verify(purpose, message, signature)
}

func (k *Keyring) verify(purpose, message, signature string) bool {
	ok := false
	for _, m := range k.ring() {
		ok = hmac.Equal([]byte(m.sign(purpose, message)), []byte(signature)) || ok
	}
	return ok
}
