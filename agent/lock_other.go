//go:build !unix

package agent

import "os"

// lockFile opens path. This system has no lock of the kind that is used elsewhere.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}
