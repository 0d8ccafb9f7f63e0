//go:build !unix

package executor

import (
	"context"

	"github.com/signalbox-ci/signalbox"
)

// NewDocker is not there on this system.
func NewDocker(DockerOptions) (Executor, error) {
	return nil, signalbox.Errorf(signalbox.CodeInvalid, "This agent runs on an operating system on which it cannot run jobs in containers. Give the job to an agent on Linux or macOS.")
}

// CleanDocker has nothing to remove here.
func CleanDocker(context.Context, string, string) error { return nil }
