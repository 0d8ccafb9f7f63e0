package agent

import (
	"context"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// upload is what it takes to push the complete log as an artifact of its job.
type upload struct {
	URL   string     `json:"url"` // of the organization
	Token string     `json:"token"`
	When  UploadLogs `json:"when"`
}

func newUpload(when UploadLogs, p *agentapi.JobPayload) *upload { return nil }

// upload pushes the log as an artifact when that was asked for. It returns false when ctx ended first.
func (p *pusher) upload(ctx context.Context) bool {
	return true
}
