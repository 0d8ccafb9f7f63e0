package dispatch

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// TestLine plays random operations on a line and on a plain slice.
func TestLine(t *testing.T) {
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 1))
		var l line
		var plain, away []*waiter
		for range 200 {
			switch dice.IntN(5) {
			case 0, 1:
				w := &waiter{agentID: strconv.Itoa(dice.IntN(8))}
				older := l.push(w)
				i := slices.IndexFunc(plain, func(o *waiter) bool { return o.agentID == w.agentID })
				if (i >= 0) != (older != nil) || i >= 0 && plain[i] != older {
					t.Fatalf("seed %d: pushing %s took out %v", seed, w.agentID, older)
				}
				if i >= 0 {
					plain = slices.Delete(plain, i, i+1)
				}
				plain = append(plain, w)
			case 2:
				if len(plain) == 0 {
					continue
				}
				i := dice.IntN(len(plain))
				l.remove(plain[i])
				l.remove(plain[i]) // twice does nothing
				plain = slices.Delete(plain, i, i+1)
			case 3:
				n := min(dice.IntN(4), len(plain))
				got := l.take(n)
				if !slices.Equal(got, plain[:n]) {
					t.Fatalf("seed %d: took %v, want %v", seed, got, plain[:n])
				}
				away, plain = append(away, got...), slices.Clone(plain[n:])
			case 4:
				var seen []string
				away = slices.DeleteFunc(away, func(w *waiter) bool { // one of an agent is away at most
					again := slices.Contains(seen, w.agentID)
					seen = append(seen, w.agentID)
					return again
				})
				over := l.putBack(away)
				var back []*waiter
				for _, w := range away {
					in := slices.ContainsFunc(plain, func(o *waiter) bool { return o.agentID == w.agentID })
					if in != slices.Contains(over, w) {
						t.Fatalf("seed %d: of agent %s two wait", seed, w.agentID)
					}
					if !in {
						back = append(back, w)
					}
				}
				plain, away = append(back, plain...), nil
			}
			var got []*waiter
			for w := l.first; w != nil; w = w.behind {
				got = append(got, w)
			}
			var back []*waiter
			for w := l.last; w != nil; w = w.ahead {
				back = append(back, w)
			}
			slices.Reverse(back)
			if !slices.Equal(got, plain) || !slices.Equal(back, plain) || l.len() != len(plain) {
				t.Fatalf("seed %d: %v and back %v, %d of them, want %v", seed, got, back, l.len(), plain)
			}
		}
	}
}
