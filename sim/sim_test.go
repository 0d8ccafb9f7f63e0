package sim

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

var (
	seeds = flag.Int("seeds", 0, "how many seeds to play; 0 is a few with -short or -race, many otherwise")
	first = flag.Uint64("seed", 0, "the first seed; 0 is a random one")
	every = flag.Int("every", 0, "play every n-th seed in this very process; 0 is to share them out to processes")
)

// TestSimulation plays worlds with faults until everything in them has come to its end, and checks what is stored.
func TestSimulation(t *testing.T) {
	n, from := *seeds, *first
	if n == 0 {
		n = defaultSeeds
		if testing.Short() {
			n = 20
		}
	}
	if from == 0 {
		from = uint64(time.Now().UnixNano())
	}
	if *every > 0 {
		dieWithTheTest()
		playAll(t, from, n, *every)
		return
	}
	t.Logf("seeds %d to %d; -seed=%d -seeds=1 plays one again", from, from+uint64(n)-1, from)
	begin := time.Now()
	sum, _ := share(t, from, n)
	if n == 1 || t.Failed() {
		return
	}
	t.Logf("%d seeds in %s; what happened in them:\n%s", n, time.Since(begin).Round(time.Second), sum)
}

// playAll plays every n-th of some seeds and prints what happened, for the process that asked for it.
func playAll(t *testing.T, from uint64, n, step int) {
	dir := folder(t)
	tp := newTemplate(t, filepath.Join(dir, "template"))
	sum := tally{}
	for i := 0; i < n; i += step {
		seed, home := from+uint64(i), filepath.Join(dir, fmt.Sprint(i))
		w := play(t, seed, home, tp)
		if t.Failed() {
			t.Fatalf("seed %d failed: go test ./sim -run TestSimulation -seed=%d -seeds=1 -v", seed, seed)
		}
		fmt.Printf("%s%d %x\n", digestPrefix, seed, sha256.Sum256([]byte(strings.Join(w.events, "\n"))))
		sum.add(w.tally)
		if err := os.RemoveAll(home); err != nil {
			t.Fatal(err)
		}
	}
	sum.print()
}

// patience is how long a world may take in real time; one takes a tenth of a second. Whatever goes round in circles would
// otherwise never say in which world.
const patience = 2 * time.Minute

func play(t *testing.T, seed uint64, dir string, tp template) (w *world) {
	defer time.AfterFunc(patience, func() { panic(fmt.Sprintf("seed %d failed: it has not ended after %s", seed, patience)) }).Stop()
	t.Run(fmt.Sprint(seed), func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, seed)
		synctest.Test(t, func(t *testing.T) {
			w = newWorld(t, seed, dir, tp)
			defer func() {
				if t.Failed() || *seeds == 1 && testing.Verbose() {
					t.Logf("seed %d:\n%s", seed, strings.Join(w.events, "\n"))
				}
			}()
			w.run()
		})
	})
	return w
}

// folder is one in memory where there is such a thing: what a killed process wrote survives it there as well.
func folder(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "sim")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
