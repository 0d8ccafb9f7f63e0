// Package queue decides whose turn it is: which queued job the next free agent gets, fairly between projects and within
// limits, and what to say to a job that waits. Both are pure functions of what was read from the store in one
// transaction. It hands out nothing itself; package dispatch does.
package queue

import (
	"cmp"
	"math"

	"github.com/signalbox-ci/signalbox/store"
)

// View is the queued jobs of one agent type when agents of it are free: a line for each project.
type View struct {
	Lines []Line
	Room  int   // how many more jobs may start by the limits of the organization and the agent type
	Turn  int64 // the newest turn that any project got
}

// Line is the jobs that one project has queued for an agent type.
type Line struct {
	ProjectID string
	Running   int                // its jobs that hold agents of this type
	Turn      int64              // when it last got one, 0 for never
	Room      int                // how many more of its jobs may start by its own limit
	Jobs      []*store.QueuedJob // next first
}

// NoLimit is the room that there is where no limit is set.
const NoLimit = math.MaxInt

// roomOf returns how many more jobs a limit lets start.
func roomOf(limit, running int) int {
	if limit == 0 {
		return NoLimit
	}
	return max(limit-running, 0)
}

// Pick gives a job to an agent, by its place among those that wait.
type Pick struct {
	Agent int
	Job   *store.QueuedJob
	Turn  int64
}

// Assign gives queued jobs to free agents. The next job comes from the project with the fewest jobs on agents of the
// type; of several, from the one whose last turn is the longest ago; within a project the highest priority comes first,
// then the oldest. So priorities order the jobs of a project and never push another project aside, and a project that
// has nothing running waits at most one turn of each other project. The agent that has waited longest gets it, of those
// that fit. No agent stays without a job that fits it and may start.
func Assign(q View, agents int, fits func(agent int, j *store.QueuedJob) bool) []Pick {
	lines := make([]Line, len(q.Lines))
	copy(lines, q.Lines)
	free := make([]int, agents)
	for i := range free {
		free[i] = i
	}
	var picks []Pick
	for len(free) > 0 && q.Room > len(picks) {
		l := nextLine(lines)
		if l == nil {
			break
		}
		j := l.Jobs[0]
		l.Jobs = l.Jobs[1:]
		for i, agent := range free {
			if fits != nil && !fits(agent, j) {
				continue
			}
			q.Turn++
			picks = append(picks, Pick{Agent: agent, Job: j, Turn: q.Turn})
			l.Running, l.Turn = l.Running+1, q.Turn
			if l.Room != NoLimit {
				l.Room--
			}
			free = append(free[:i], free[i+1:]...)
			break
		}
	}
	return picks
}

// nextLine returns the line whose turn it is, nil when no job may start.
func nextLine(lines []Line) *Line {
	var best *Line
	for i := range lines {
		l := &lines[i]
		if len(l.Jobs) > 0 && l.Room > 0 && (best == nil || l.before(best)) {
			best = l
		}
	}
	return best
}

func (l *Line) before(o *Line) bool {
	if c := cmp.Or(cmp.Compare(l.Running, o.Running), cmp.Compare(l.Turn, o.Turn)); c != 0 {
		return c < 0
	}
	if len(l.Jobs) > 0 && len(o.Jobs) > 0 {
		return l.Jobs[0].Before(o.Jobs[0])
	}
	return l.ProjectID < o.ProjectID
}

// UsedUp tells whether picks leave no room by some limit.
func UsedUp(q View, picks []Pick) bool {
	given := map[string]int{}
	for _, p := range picks {
		given[p.Job.ProjectID]++
	}
	for _, l := range q.Lines {
		if given[l.ProjectID] >= l.Room {
			return true
		}
	}
	return len(picks) >= q.Room
}
