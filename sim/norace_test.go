//go:build !race

package sim

import "testing"

const defaultSeeds = 2000

// TestASeedReproduces plays some seeds one after the other and then each in a process of its own: what follows from a seed
// is the same to the nanosecond. With the race detector Go's scheduler rolls dice on purpose, so there it cannot be.
func TestASeedReproduces(t *testing.T) {
	const from, n = 1, 12
	_, together := share(t, from, n)
	for seed := range uint64(n) {
		seed += from
		_, alone := share(t, seed, 1)
		if a, b := together[seed], alone[seed]; a == "" || a != b {
			t.Errorf("seed %d: what happened had the digest %q among others and %q alone", seed, a, b)
		}
	}
}
