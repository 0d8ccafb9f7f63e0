package storybook

import (
	"context"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/schedule"
)

// errClosed is the answer to whatever would start or change something.
var errClosed = signalbox.Errorf(signalbox.CodeConflict, "This is the storybook: its data is made up, and nothing can be started or changed in it. Go back, or open another story at /storybook.")

// closed starts and stops nothing. No request gets so far; it is there so that none ever can.
type closed struct{}

func (closed) StopPipeline(context.Context, string, string) error { return errClosed }
func (closed) StopJob(context.Context, string, string) error      { return errClosed }

func (closed) Debug(context.Context, string, route.Actor, time.Duration) (*signalbox.Job, error) {
	return nil, errClosed
}

func (closed) Promote(context.Context, string, string, []signalbox.EnvVar, bool, string, string) (string, error) {
	return "", errClosed
}

func (closed) RerunPipeline(context.Context, string, string, string) (string, error) {
	return "", errClosed
}

func (closed) RerunJob(context.Context, string, string, string) (workflow, created string, err error) {
	return "", "", errClosed
}

func (closed) RerunWorkflow(context.Context, string, string, string) (string, error) {
	return "", errClosed
}

func (closed) RunNow(context.Context, string, schedule.Now) (*signalbox.TaskRun, error) {
	return nil, errClosed
}

func (closed) CreateTarget(context.Context, *signalbox.DeploymentTarget, []signalbox.SecretVar, []signalbox.SecretFile, string, string) error {
	return errClosed
}

func (closed) ChangeTarget(context.Context, *signalbox.DeploymentTarget, []signalbox.SecretVar, []signalbox.SecretFile, string, string) error {
	return errClosed
}

func (closed) CordonTarget(context.Context, string, bool, string, string) error { return errClosed }

// brokenLogs are logs that do not answer.
type brokenLogs struct{ err error }

func (b brokenLogs) Info(context.Context, string) (joblog.Info, error) { return joblog.Info{}, b.err }

func (b brokenLogs) Read(context.Context, string, int64, int64, func(joblog.Batch) error) (joblog.Mark, error) {
	return joblog.Mark{}, b.err
}
