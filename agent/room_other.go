//go:build !linux && !darwin && !freebsd && !windows

package agent

import "errors"

// freeSpace cannot be told here.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }
