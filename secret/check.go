package secret

import (
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
)

// Check tells whether a version of a secret opens with the keys. What it holds is forgotten at once.
func Check(keys *auth.Keyring, s *signalbox.Secret, v *signalbox.SecretVersion) error {
	_, _, err := (&Secrets{Options: Options{Keys: keys}}).open(scopeOf(s), v)
	return err
}
