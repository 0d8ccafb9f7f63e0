//go:build race

package engine

// schedules is how many random schedules a test plays; the race detector makes each ten times slower and finds nothing
// in a pure function.
const schedules = 2_000
