//go:build unix

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// The line that is printed for a new agent type makes an agent of a machine that has curl and nothing of ours, and that
// does not know the server's certificate.
func TestThePrintedLineInstallsAnAgent(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("SIGNALBOX_TEST_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skip("curl is not installed: the install line was not run")
	}
	w := newWorld(t, "")
	var created struct {
		Install struct {
			Unix    string `json:"unix"`
			Windows string `json:"windows"`
		} `json:"install"`
	}
	w.json(&created, "agent-type", "create", "s1-new")

	machine := func() (dir string, env []string) {
		dir = t.TempDir()
		return dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
	}
	// Somebody in the middle has another certificate: nothing of theirs is kept or run.
	ca, err := os.ReadFile(filepath.Join(w.data(), "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(ca)
	sum := hex.EncodeToString(hash[:])
	for name, line := range map[string]string{"unix": created.Install.Unix, "windows": strings.ToLower(created.Install.Windows)} {
		if strings.Count(line, sum) != 1 {
			t.Errorf("the line for %s does not check that the certificate is %s: %s", name, sum, line)
		}
	}
	dir, env := machine()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(created.Install.Unix, sum, strings.Repeat("0", 64), 1))
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("a wrong certificate was believed:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "signalbox")); err == nil {
		t.Error("a program was fetched with a wrong certificate")
	}

	dir, env = machine()
	cmd = exec.Command("sh", "-c", created.Install.Unix)
	cmd.Dir, cmd.Env = dir, env
	var log output
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-done
	})
	w.until("the installed agent is registered", func() bool {
		select {
		case <-done:
			w.Fatalf("the line ended:\n%s", log.String())
		default:
		}
		return strings.Contains(w.run("agents"), "s1-new")
	})
	got, err := os.ReadFile(filepath.Join(dir, "signalbox"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes were installed, not the %d of the server's own program", len(got), len(want))
	}
	version, err := exec.CommandContext(t.Context(), filepath.Join(dir, "signalbox"), "version").Output()
	if err != nil || !strings.HasPrefix(string(version), "signalbox ") {
		t.Errorf("version: %q, %v", version, err)
	}
	// Everybody on a machine can read command lines.
	if runtime.GOOS == "linux" {
		token := strings.Fields(strings.SplitN(created.Install.Unix, "SEMAPHORE_AGENT_TOKEN=", 2)[1])[0]
		agent, err := exec.CommandContext(t.Context(), "ps", "-eo", "args").Output()
		if err == nil && !strings.Contains(string(agent), "sh -c") {
			t.Fatalf("ps shows no command lines:\n%s", agent)
		}
		for line := range strings.Lines(string(agent)) {
			if strings.HasPrefix(line, "./signalbox") && strings.Contains(line, token) {
				t.Errorf("the token is in the process list: %s", line)
			}
		}
	}
}
