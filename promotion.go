package signalbox

import "time"

// Promotion is one request to start the pipeline that a promotion of another pipeline names.
type Promotion struct {
	ID                string
	PipelineID        string // whose file has the promotion
	Name              string
	Token             string // asking again with the same one is the same request
	Auto              bool
	Override          bool // asked for although the pipeline has not passed
	PromotedBy        string
	Parameters        []EnvVar
	CreatedPipelineID string // "" when it was refused
	Error             string // why it was refused
	CreatedAt         time.Time
}
