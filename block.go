package signalbox

import "time"

// BlockState is where a block stands; docs/design/states.md draws the moves.
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
