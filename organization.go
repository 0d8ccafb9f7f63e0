package signalbox

// Organization is what holds for all projects of a server.
type Organization struct {
	Name             string // "" until somebody gave it one
	PublicURL        string // scheme://host[:port] that people and agents use, "" is as each of them asks
	PublicURLProblem string // why the server could not reach itself there when it was set, "" when it could
	Initialization   Initialization
	MaxRunningJobs   int // how many jobs may hold agents at once, 0 is no limit
}

// MaxJobLimit is the highest limit of running jobs that can be set.
const MaxJobLimit = 1_000_000

// ValidateJobLimit checks a limit of running jobs.
func ValidateJobLimit(n int) error {
	if n < 0 || n > MaxJobLimit {
		return Errorf(CodeInvalid, "max_running_jobs is %d; it must be a number from 1 to %d, or 0 for no limit", n, MaxJobLimit)
	}
	return nil
}
