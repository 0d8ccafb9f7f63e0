package sim

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The lines that processes which play seeds print for the one that shares them out.
const (
	digestPrefix = "digest: "
	tallyPrefix  = "tally: "
)

// tally counts what happened, so that a reader sees what a run has tried.
type tally map[string]int

func (t tally) add(o tally) {
	for k, n := range o {
		t[k] += n
	}
}

func (t tally) print() {
	for k, n := range t {
		fmt.Printf("%s%d %s\n", tallyPrefix, n, k)
	}
}

func (t tally) String() string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(t)) {
		fmt.Fprintf(&b, "%9d %s\n", t[k], k)
	}
	return b.String()
}

// share plays seeds in processes that have one thread each, so that nothing in a world depends on which of two threads is
// faster. It returns what happened in all of them, and a digest of each.
func share(t *testing.T, from uint64, n int) (sum tally, digests map[uint64]string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sum, digests = tally{}, map[uint64]string{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	workers := min(n, runtime.GOMAXPROCS(0))
	for i := range workers {
		args := []string{
			"-test.run=^TestSimulation$", "-test.timeout=0", fmt.Sprint("-seed=", from+uint64(i)), fmt.Sprint("-seeds=", n-i), fmt.Sprint("-every=", workers),
		}
		if n == 1 && testing.Verbose() {
			args = append(args, "-test.v")
		}
		c := exec.CommandContext(ctx, self, args...)
		c.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400", "GODEBUG="+os.Getenv("GODEBUG")+",asyncpreemptoff=1")
		alive, err := c.StdinPipe() // it ends when this process does
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer alive.Close()
			out, err := c.CombinedOutput()
			mu.Lock()
			defer mu.Unlock()
			rest, broken := read(out, sum, digests)
			switch {
			case ctx.Err() != nil: // another one has failed
			case err != nil || broken != nil:
				cancel()
				t.Errorf("%v %v\n%s", err, broken, rest)
			case n == 1:
				t.Logf("%s", rest)
			}
		})
	}
	all.Wait()
	return sum, digests
}

// read takes what a process printed apart and returns what is for people.
func read(out []byte, sum tally, digests map[uint64]string) (rest string, err error) {
	var b strings.Builder
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if line, ok := strings.CutPrefix(lines.Text(), digestPrefix); ok {
			seed, digest, _ := strings.Cut(line, " ")
			n, err := strconv.ParseUint(seed, 10, 64)
			if err != nil {
				return "", err
			}
			digests[n] = digest
		} else if line, ok := strings.CutPrefix(lines.Text(), tallyPrefix); ok {
			count, what, _ := strings.Cut(line, " ")
			n, err := strconv.Atoi(count)
			if err != nil {
				return "", err
			}
			sum[what] += n
		} else {
			b.WriteString(lines.Text() + "\n")
		}
	}
	return b.String(), lines.Err()
}

// dieWithTheTest ends a process that plays seeds when the one that started it, and holds the other end of its input, is gone.
func dieWithTheTest() {
	in, err := os.Stdin.Stat()
	if err != nil || in.Mode()&os.ModeNamedPipe == 0 {
		return // somebody started it by hand
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
}
