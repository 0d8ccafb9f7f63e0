package auth

import "crypto/rand"

// SealEnvelope encrypts plain under a data key of its own and seals that key. A new master key then needs only the small
// sealed key to be sealed anew, see Reseal. The same additional text is needed to open the two.
func (k *Keyring) SealEnvelope(plain []byte, additional string) (key, data []byte) {
	fresh := make([]byte, keySize)
	_, _ = rand.Read(fresh) // never fails
	ring := &Keyring{keys: []*masterKey{newMasterKey(fresh)}}
	defer clear(fresh)
	return k.Seal(fresh, "key of "+additional), ring.Seal(plain, additional)
}

// OpenEnvelope decrypts what SealEnvelope returned for the same additional text.
func (k *Keyring) OpenEnvelope(key, data []byte, additional string) ([]byte, error) {
	plain, err := k.Open(key, "key of "+additional)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	ring, err := NewKeyring(plain)
	if err != nil {
		return nil, err
	}
	return ring.Open(data, additional)
}

// ResealEnvelope seals the key of an envelope with the first key of the ring; the data stays as it is.
func (k *Keyring) ResealEnvelope(key []byte, additional string) ([]byte, error) {
	return k.Reseal(key, "key of "+additional)
}

// Reseal seals a value with the first key of the ring.
func (k *Keyring) Reseal(sealed []byte, additional string) ([]byte, error) {
	plain, err := k.Open(sealed, additional)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return k.Seal(plain, additional), nil
}
