package main

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// stats is what was seen since the last order to measure.
type stats struct {
	mu      sync.Mutex
	took    []float64 // ms beyond what the server meant to wait
	whole   float64   // ms of all
	seen    map[int]int
	backAt  time.Time
	lastCut time.Time
	refused int
	cut     int
}

func (s *stats) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took, s.whole, s.seen, s.refused, s.cut = nil, 0, map[int]int{}, 0, 0
	s.backAt, s.lastCut = time.Time{}, time.Time{}
}

func (s *stats) answered(agent int, took, held time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[agent] == 0 {
		s.backAt = time.Now()
	}
	s.seen[agent]++
	s.whole += ms(took)
	s.took = append(s.took, ms(max(0, took-held)))
}

func (s *stats) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.As(err, &statusError{}) {
		s.refused++
		return
	}
	s.cut++
	s.lastCut = time.Now()
}

func (s *stats) report() event {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := event{Event: "report", Syncs: len(s.took), Refused: s.refused, Cut: s.cut, Back: len(s.seen)}
	if !s.backAt.IsZero() {
		e.BackAt = s.backAt.UnixNano()
	}
	if !s.lastCut.IsZero() {
		e.LastCut = s.lastCut.UnixNano()
	}
	if n := len(s.took); n > 0 {
		slices.Sort(s.took)
		e.P50, e.P99, e.Max, e.Wait = s.took[n/2], s.took[(n-1)*99/100], s.took[n-1], s.whole/float64(n)
	}
	return e
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
