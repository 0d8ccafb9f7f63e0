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

// BlockKind tells the blocks of a file from those that stand beside them.
type BlockKind string

const (
	BlockOfFile BlockKind = "block"
	BlockAfter  BlockKind = "after" // the jobs of after_pipeline; its index is AfterIndex
	BlockInit   BlockKind = "init"  // the initialization job; its index is InitIndex
)

// AfterIndex and InitIndex are the indexes of blocks that are none of the file's list.
const (
	InitIndex  = -1
	AfterIndex = 1 << 20
)

// Block is a group of jobs that run in parallel once the blocks it depends on have passed.
type Block struct {
	ID               string
	PipelineID       string
	Kind             BlockKind
	Index            int
	Name             string
	Dependencies     []int
	State            BlockState
	Result           Result
	Reason           Reason
	ErrorDescription string
	TerminateReason  Reason    // why it is stopping
	Deadline         time.Time // when its time is over, from running on; zero is never
	CreatedAt        time.Time
	RunningAt        time.Time
	DoneAt           time.Time
}
