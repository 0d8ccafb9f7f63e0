package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
)

// A sealed value is version, id of the master key, salt, nonce, ciphertext with tag. Each gets a key of its own by the
// salt, because random nonces under a single key would have to end after 2^32 values. Version 1 has no id.
const (
	sealVersion1 = 1
	sealVersion  = 2
	idSize       = 4
	sealSaltSize = 12
	sealHeader   = 1 + idSize + sealSaltSize + 12
)

func (k *masterKey) aead(salt []byte) cipher.AEAD {
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

// open decrypts salt, nonce and ciphertext.
func (k *masterKey) open(body []byte, additional string) ([]byte, error) {
	salt, nonce, sealed := body[:sealSaltSize], body[sealSaltSize:sealSaltSize+12], body[sealSaltSize+12:]
	return k.aead(salt).Open(nil, nonce, sealed, []byte(additional))
}

// Seal encrypts plain with AES-256-GCM. The same additional text is needed to open it: name the row it belongs to, so
// that two sealed values cannot be swapped. The result is 45 bytes longer than plain.
func (k *Keyring) Seal(plain []byte, additional string) []byte {
	m := k.first()
	out := make([]byte, sealHeader, sealHeader+len(plain)+16)
	out[0] = sealVersion
	copy(out[1:], m.id[:])
	body := out[1+idSize:]
	_, _ = rand.Read(body) // never fails
	return m.aead(body[:sealSaltSize]).Seal(out, body[sealSaltSize:], plain, []byte(additional))
}

// Open decrypts what Seal returned for the same additional text, under any key of the ring.
func (k *Keyring) Open(sealed []byte, additional string) ([]byte, error) {
	body, keys, err := k.keysFor(sealed)
	if err != nil {
		return nil, err
	}
	for _, m := range keys {
		if plain, err := m.open(body, additional); err == nil {
			return plain, nil
		}
	}
	return nil, fmt.Errorf("auth: the sealed value of %q does not open: it was changed, or the master key is another one", additional)
}

// keysFor returns what a sealed value holds behind its id, and the keys that may open it.
func (k *Keyring) keysFor(sealed []byte) (body []byte, keys []*masterKey, err error) {
	switch {
	case len(sealed) >= sealHeader && sealed[0] == sealVersion:
		id := [idSize]byte(sealed[1:])
		if keys = k.known(id); keys == nil && k.refresh() {
			keys = k.known(id)
		}
		return sealed[1+idSize:], keys, nil
	case len(sealed) >= sealHeader-idSize && sealed[0] == sealVersion1:
		return sealed[1:], k.ring(), nil
	}
	return nil, nil, errors.New("auth: not a sealed value")
}

// Stale tells whether a sealed value should be sealed anew: by another key than the first, or in an older form. What is
// no sealed value is not stale.
func (k *Keyring) Stale(sealed []byte) bool {
	switch {
	case len(sealed) >= sealHeader && sealed[0] == sealVersion:
		return [idSize]byte(sealed[1:]) != k.first().id
	case len(sealed) >= sealHeader-idSize && sealed[0] == sealVersion1:
		return true
	}
	return false
}

func (k *Keyring) first() *masterKey { return k.ring()[0] }

func (k *Keyring) ring() []*masterKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys
}

func (k *Keyring) known(id [idSize]byte) (found []*masterKey) {
	for _, m := range k.ring() {
		if m.id == id {
			found = append(found, m)
		}
	}
	return found
}

// refresh reads the file again if it has changed, because another server may have been given a new key.
func (k *Keyring) refresh() bool {
	if k.file == "" {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.file)
	if err != nil || os.SameFile(info, k.read) && info.ModTime().Equal(k.read.ModTime()) && info.Size() == k.read.Size() {
		return false
	}
	return k.load() == nil
}
