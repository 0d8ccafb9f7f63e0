package auth

import (
	"crypto/aes"
	"crypto/cipher"
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

	"github.com/signalbox-ci/signalbox"
)

// MasterKeyFile is the name of the key file in the data folder.
const MasterKeyFile = "master.key"

const keySize = 32

// Keyring seals and signs with keys derived from one master key, a different one for every purpose. The master key is
// never in the database, so a copy of the database alone opens nothing. Methods may be called concurrently.
type Keyring struct {
	master []byte
}

// NewKeyring returns the key ring of a master key of 32 bytes.
func NewKeyring(master []byte) (*Keyring, error) {
	if len(master) != keySize {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "the master key has %d bytes; it must have %d", len(master), keySize)
	}
	return &Keyring{master: append([]byte(nil), master...)}, nil
}

// ParseKeyring returns the key ring of a master key written as 64 hexadecimal digits; white space around is ignored.
func ParseKeyring(text string) (*Keyring, error) {
	master, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(master) != keySize {
		// without the cause, which would quote the key
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "the master key must be %d hexadecimal digits", 2*keySize)
	}
	return NewKeyring(master)
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
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read the master key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, signalbox.Errorf(signalbox.CodeInvalid,
			"%s can be read by other users of this machine (mode %04o); run: chmod 600 %s", name, info.Mode().Perm(), name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the master key: %w", err)
	}
	k, err := ParseKeyring(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return k, nil
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
func (k *Keyring) key(purpose string, salt []byte) []byte {
	key, err := hkdf.Key(sha256.New, k.master, salt, "signalbox/"+purpose, keySize)
	if err != nil {
		panic("auth: " + err.Error()) // only for lengths that the code never asks for
	}
	return key
}

// A sealed value is version, salt, nonce, ciphertext with tag. Each gets a key of its own by the salt, because random
// nonces under a single key would have to end after 2^32 values.
const (
	sealVersion  = 1
	sealSaltSize = 12
	sealHeader   = 1 + sealSaltSize + 12
)

func (k *Keyring) aead(salt []byte) cipher.AEAD {
	block, err := aes.NewCipher(k.key("seal", salt))
	if err != nil {
		panic("auth: " + err.Error()) // only for key sizes that the code never uses
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("auth: " + err.Error())
	}
	return aead
}

// Seal encrypts plain with AES-256-GCM. The same additional text is needed to open it: name the row it belongs to, so
// that two sealed values cannot be swapped. The result is 41 bytes longer than plain.
func (k *Keyring) Seal(plain []byte, additional string) []byte {
	out := make([]byte, sealHeader, sealHeader+len(plain)+16)
	out[0] = sealVersion
	_, _ = rand.Read(out[1:]) // never fails
	return k.aead(out[1:1+sealSaltSize]).Seal(out, out[1+sealSaltSize:], plain, []byte(additional))
}

// Open decrypts what Seal returned for the same additional text.
func (k *Keyring) Open(sealed []byte, additional string) ([]byte, error) {
	if len(sealed) < sealHeader || sealed[0] != sealVersion {
		return nil, errors.New("auth: not a sealed value")
	}
	plain, err := k.aead(sealed[1:1+sealSaltSize]).Open(nil, sealed[1+sealSaltSize:sealHeader], sealed[sealHeader:], []byte(additional))
	if err != nil {
		return nil, fmt.Errorf("auth: the sealed value of %q does not open: it was changed, or the master key is another one", additional)
	}
	return plain, nil
}

// Sign returns a URL-safe signature of message for one purpose; signatures for different purposes never match.
func (k *Keyring) Sign(purpose, message string) string {
	mac := hmac.New(sha256.New, k.key("sign/"+purpose, nil))
	mac.Write([]byte(message))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Verify tells, in constant time, whether signature is what Sign returns for purpose and message.
func (k *Keyring) Verify(purpose, message, signature string) bool {
	return hmac.Equal([]byte(k.Sign(purpose, message)), []byte(signature))
}
