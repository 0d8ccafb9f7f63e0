package signalbox

import "time"

// BlockState is where a block stands (pipelines.md §2.3).
type BlockState string

const (
	BlockWaiting  BlockState = "waiting"
	BlockRunning  BlockState = "running"
	BlockStopping BlockState = "stopping"
	BlockDone     BlockState = "done"
)

// Block is a group of jobs that run in parallel once the blocks it depends on have passed.
type Block struct {
	ID               string
	PipelineID       string
	Index            int
	Name             string
	Dependencies     []int
	State            BlockState
	Result           Result
	Reason           Reason
	ErrorDescription string
	TerminateReason  Reason // why it is stopping
	CreatedAt        time.Time
	RunningAt        time.Time
	DoneAt           time.Time
}
