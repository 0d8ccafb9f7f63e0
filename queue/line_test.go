package queue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox/store"
)

// jobsOf makes the queued jobs of a project: one for each priority, in the order of their ids.
func jobsOf(project string, priorities ...int) []*store.QueuedJob {
	var out []*store.QueuedJob
	for i, p := range priorities {
		out = append(out, &store.QueuedJob{ID: fmt.Sprintf("%s%d", project, i+1), ProjectID: project, Priority: p})
	}
	return out
}

func lineOf(project string, running int, turn int64, priorities ...int) Line {
	return Line{ProjectID: project, Running: running, Turn: turn, Room: NoLimit, Jobs: jobsOf(project, priorities...)}
}

func given(picks []Pick) string {
	var out []string
	for _, p := range picks {
		out = append(out, p.Job.ID)
	}
	return strings.Join(out, " ")
}

func TestAssign(t *testing.T) {
	many := make([]int, 50)
	limited := func(l Line, room int) Line { l.Room = room; return l }
	for _, c := range []struct {
		name   string
		q      View
		agents int
		want   string
	}{
		{"nothing queued", View{Room: NoLimit}, 3, ""},
		{"no agents", View{Room: NoLimit, Lines: []Line{lineOf("a", 0, 0, 1)}}, 0, ""},
		{"within a project the line's own order", View{Room: NoLimit, Lines: []Line{lineOf("a", 0, 0, 9, 5, 5)}}, 2, "a1 a2"},
		{"a full line does not starve a single job", View{Room: NoLimit, Lines: []Line{lineOf("a", 20, 7, many...), lineOf("b", 0, 0, 1)}}, 2, "b1 a1"},
		{"the fewest running first", View{Room: NoLimit, Lines: []Line{lineOf("a", 2, 1, 1, 1, 1), lineOf("b", 0, 9, 1, 1, 1)}}, 4, "b1 b2 a1 b3"},
		{"then who waited longest for a turn", View{Room: NoLimit, Turn: 9, Lines: []Line{lineOf("a", 0, 9, 90), lineOf("b", 0, 3, 10)}}, 1, "b1"},
		{"priority of another project's job counts only where no one had a turn", View{Room: NoLimit, Lines: []Line{lineOf("a", 0, 0, 10), lineOf("b", 0, 0, 90)}}, 1, "b1"},
		{"one after the other", View{Room: NoLimit, Lines: []Line{lineOf("a", 0, 0, 9, 9, 9), lineOf("b", 0, 0, 1, 1, 1)}}, 6, "a1 b1 a2 b2 a3 b3"},
		{"the limit of a project", View{Room: NoLimit, Lines: []Line{limited(lineOf("a", 0, 0, 1, 1, 1), 1), lineOf("b", 5, 0, 1, 1)}}, 4, "a1 b1 b2"},
		{"a project without room", View{Room: NoLimit, Lines: []Line{limited(lineOf("a", 0, 0, 1), 0), lineOf("b", 5, 0, 1)}}, 4, "b1"},
		{"the limit of all", View{Room: 1, Lines: []Line{lineOf("a", 0, 0, 1, 1, 1)}}, 4, "a1"},
		{"no room at all", View{Room: 0, Lines: []Line{lineOf("a", 0, 0, 1)}}, 4, ""},
	} {
		if got := given(Assign(c.q, c.agents, nil)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAssignAsksWhatFits(t *testing.T) {
	q := View{Room: NoLimit, Lines: []Line{lineOf("a", 0, 0, 3, 2, 1)}}
	fits := func(agent int, j *store.QueuedJob) bool { return j.ID != "a1" && (j.ID != "a2" || agent == 1) }
	picks := Assign(q, 2, fits)
	if given(picks) != "a2 a3" || picks[0].Agent != 1 || picks[1].Agent != 0 {
		t.Errorf("%s, agents %d and %d", given(picks), picks[0].Agent, picks[1].Agent)
	}
}

func randomQueue(r *rand.Rand) View {
	q := View{Room: NoLimit}
	if r.IntN(3) == 0 {
		q.Room = r.IntN(12)
	}
	turns := r.Perm(20)
	for i := range r.IntN(6) {
		l := lineOf(string(rune('a'+i)), r.IntN(4), int64(turns[i]), make([]int, r.IntN(8))...)
		if r.IntN(4) == 0 {
			l.Turn = 0
		}
		if r.IntN(3) == 0 {
			l.Room = r.IntN(4)
		}
		q.Turn = max(q.Turn, l.Turn)
		q.Lines = append(q.Lines, l)
	}
	return q
}

// TestAssignProperties holds for every queue: nobody is idle without need, no limit is passed, no line is overtaken from
// within, shares are as even as they can be, and the order in which lines are listed does not matter.
func TestAssignProperties(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 20_000 {
		q, agents := randomQueue(r), r.IntN(12)
		picks := Assign(q, agents, nil)
		startable := 0
		got := map[string]int{}
		for _, l := range q.Lines {
			startable += min(len(l.Jobs), l.Room)
		}
		if want := min(agents, startable, q.Room); len(picks) != want {
			t.Fatalf("seed %d: %d jobs were given of %d that might start: %+v", seed, len(picks), want, q)
		}
		used := map[int]bool{}
		for i, p := range picks {
			if used[p.Agent] || p.Turn != q.Turn+int64(i)+1 {
				t.Fatalf("seed %d: pick %d is %+v", seed, i, p)
			}
			used[p.Agent] = true
			got[p.Job.ProjectID]++
		}
		for _, l := range q.Lines {
			n := got[l.ProjectID]
			if n > l.Room {
				t.Fatalf("seed %d: %s got %d jobs with room for %d", seed, l.ProjectID, n, l.Room)
			}
			for _, p := range picks {
				if p.Job.ProjectID == l.ProjectID && !slices.Contains(l.Jobs[:n], p.Job) {
					t.Fatalf("seed %d: %s was overtaken in its own line", seed, l.ProjectID)
				}
			}
			for _, o := range q.Lines {
				// Whoever got something has at most one more than somebody who could have got more.
				if m := got[o.ProjectID]; m > 0 && n < min(len(l.Jobs), l.Room) && o.Running+m > l.Running+n+1 {
					t.Fatalf("seed %d: %s has %d and %s has %d and waits: %+v", seed, o.ProjectID, o.Running+m, l.ProjectID, l.Running+n, q)
				}
			}
		}
		other := q
		other.Lines = slices.Clone(q.Lines)
		r.Shuffle(len(other.Lines), func(i, j int) { other.Lines[i], other.Lines[j] = other.Lines[j], other.Lines[i] })
		if a, b := given(picks), given(Assign(other, agents, nil)); a != b {
			t.Fatalf("seed %d: %s, but in another order of the lines %s", seed, a, b)
		}
	}
}

// TestNoProjectStarves lets jobs come and end at random for ever on few agents. A project with a job and nothing running
// waits for at most one turn of each other project.
func TestNoProjectStarves(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 2))
	for range 300 {
		agents, projects := 1+r.IntN(3), 2+r.IntN(5)
		lines := make([]Line, projects)
		passed := make([]int, projects) // turns of others since the project waits with nothing running
		for i := range lines {
			lines[i] = lineOf(string(rune('a'+i)), 0, 0)
		}
		var running []int
		var turn int64
		for step := range 200 {
			for i := range lines {
				if len(lines[i].Jobs) == 0 && r.IntN(3) == 0 || i == 0 { // the first one floods the queue
					lines[i].Jobs = append(lines[i].Jobs, &store.QueuedJob{ID: fmt.Sprint(step, i), ProjectID: lines[i].ProjectID, Priority: 100 - 10*i})
				}
			}
			for _, p := range Assign(View{Lines: lines, Room: NoLimit, Turn: turn}, agents-len(running), nil) {
				winner := int(p.Job.ProjectID[0] - 'a')
				turn = p.Turn
				for i := range lines {
					if i != winner && len(lines[i].Jobs) > 0 && lines[i].Running == 0 {
						passed[i]++
					}
				}
				l := &lines[winner]
				l.Jobs, l.Running, l.Turn, passed[winner] = l.Jobs[1:], l.Running+1, p.Turn, 0
				running = append(running, winner)
			}
			for i, n := range passed {
				if n > projects-1 {
					t.Fatalf("seed %d: %d turns of %d other projects went by while %s waited", seed, n, projects-1, lines[i].ProjectID)
				}
			}
			if len(running) > 0 {
				at := r.IntN(len(running))
				lines[running[at]].Running--
				running = slices.Delete(running, at, at+1)
			}
		}
	}
}
