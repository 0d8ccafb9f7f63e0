//go:build unix

package executor

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A read of bash that has a time limit loses what it has, or blanks of it, when the time is over in the middle of a line,
// as happens on a busy machine; a result that loses one byte is a command that never ends. So results come in two halves
// here, with time between them for the channel to look at the terminal.
func TestChannelLosesNothing(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"input", "result", "never"} {
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("bash", "-c", channelScript, "signalbox", dir, "0.004")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			if s.Text() != "empty" {
				lines <- s.Text()
			}
		}
	}()
	results, err := os.OpenFile(filepath.Join(dir, "result"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer results.Close()
	tty, err := os.OpenFile(filepath.Join(dir, "input"), os.O_RDWR, 0) // never has anything to read, as a quiet terminal
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	fmt.Fprintf(results, "tty %s\n", filepath.Join(dir, "input"))
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	const count = 300
	go func() {
		for i := range count {
			line := fmt.Sprintf("%d 0 himBH\n", i)
			at := random.IntN(len(line))
			io.WriteString(results, line[:at])
			time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
			io.WriteString(results, line[at:])
		}
	}()
	for i := range count {
		want := fmt.Sprintf("result %d 0 himBH", i)
		select {
		case got := <-lines:
			if got != want {
				t.Fatalf("%q, want %q (seed %d)", got, want, seed)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%q did not come (seed %d)", want, seed)
		}
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	for l := range lines { // ends when all parts of the channel have ended
		t.Errorf("%q", l)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Log(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
