package auth

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// Keys returns the ids of the master keys in the ring, the one that seals first. An id tells nothing of its key.
func (k *Keyring) Keys() []string {
	var ids []string
	for _, m := range k.ring() {
		ids = append(ids, hex.EncodeToString(m.id[:]))
	}
	return ids
}

// Prepare adds a new master key behind the others: it opens and verifies, but seals nothing yet. It is on disk when this
// returns.
func (k *Keyring) Prepare() error {
	return k.rewrite(func(keys []*masterKey) ([]*masterKey, error) {
		fresh := make([]byte, keySize)
		_, _ = rand.Read(fresh) // never fails
		return append(keys, newMasterKey(fresh)), nil
	})
}

// Advance makes the newest master key the one that seals and signs.
func (k *Keyring) Advance() error {
	return k.rewrite(func(keys []*masterKey) ([]*masterKey, error) {
		last := len(keys) - 1
		return append([]*masterKey{keys[last]}, keys[:last]...), nil
	})
}

// Forget drops all master keys but the one that seals. What another one sealed opens no more.
func (k *Keyring) Forget() error {
	return k.rewrite(func(keys []*masterKey) ([]*masterKey, error) { return keys[:1:1], nil })
}

// rewrite replaces the file as a whole: a crash leaves the old one or the new one.
func (k *Keyring) rewrite(change func([]*masterKey) ([]*masterKey, error)) error {
	if k.file == "" {
		return signalbox.Errorf(signalbox.CodeInvalid, "the master key of this server is not in a file, so it cannot be changed here")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.load(); err != nil {
		return err
	}
	keys, err := change(append([]*masterKey(nil), k.keys...))
	if err != nil {
		return err
	}
	var lines []string
	for _, m := range keys {
		lines = append(lines, hex.EncodeToString(m.master))
	}
	dir := filepath.Dir(k.file)
	tmp, err := os.CreateTemp(dir, "."+MasterKeyFile+".*")
	if err != nil {
		return fmt.Errorf("write the master key: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(strings.Join(lines, "\n") + "\n")
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), k.file)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write the master key: %w", err)
	}
	return k.load()
}

// File returns where the master keys are, "" when they are in no file.
func (k *Keyring) File() string { return k.file }
