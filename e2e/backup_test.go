package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox/server/servertest"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// place are the flags that say where a world's data lies, for commands that read it themselves.
func (w *world) place() []string {
	if w.database == "" {
		return nil
	}
	if w.artifacts == "" {
		return []string{"--database", w.database}
	}
	return []string{"--database", w.database, "--artifact-dir", w.artifacts}
}

func (w *world) admin(args ...string) string {
	w.Helper()
	return w.run(append(append([]string{"admin"}, args...), w.place()...)...)
}

// verified checks a backup, or with "" the data of the world, and returns how many logs and pipelines were looked at.
func (w *world) verified(file string) (logs, pipelines int64) {
	w.Helper()
	args := []string{"--output", "json", "admin", "verify"}
	if file != "" {
		args = append(args, file)
	} else {
		args = append(args, w.place()...)
	}
	out, errs, code := w.try(args...)
	var v struct {
		Holds      bool
		Invariants []struct {
			ID         string
			Checked    int64
			Skipped    string
			Violations []struct{ Noun, ID, What string }
		}
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		w.Fatalf("verify %s: exit code %d, %v in %q\n%s", file, code, err, out, errs)
	}
	for _, i := range v.Invariants {
		for _, x := range i.Violations {
			w.Errorf("%s: %s %s %s: %s", filepath.Base(file), i.ID, x.Noun, x.ID, x.What)
		}
		if i.Skipped != "" && i.ID != "pages" {
			w.Errorf("%s: %s was not checked: %s", filepath.Base(file), i.ID, i.Skipped)
		}
		switch i.ID {
		case "I5":
			logs = i.Checked
		case "I8":
			pipelines = i.Checked
		}
	}
	if v.Holds != (code == 0) || code != 0 && code != 2 {
		w.Errorf("exit code %d, holds: %v", code, v.Holds)
	}
	return logs, pipelines
}

// TestBackupUnderLoad backs a server up while agents run jobs, again and again. Every backup keeps all promises. One from
// the middle is restored, onto the other kind of database too; the server starts on it under its old address, the agents
// come back, and the pipeline comes to its end. Backups that are told to stop leave nothing, and killed ones no backup.
func TestBackupUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute; not with -short")
	}
	databasesAtOnce(t, backupUnderLoad)
}

func backupUnderLoad(t *testing.T, database string) {
	w := newWorld(t, database)
	w.startAgents("s1-kill", 3)
	const blocks, jobs, perBlock = 4, 3, 2
	signs := filepath.Join(w.dir, "sign-")
	bare, _ := w.repository("numbers", numbersUntil(blocks, jobs, signs))
	w.run("project", "create", "numbers", "--git", bare)
	if err := os.WriteFile(filepath.Join(w.dir, "value"), []byte("a-value-that-is-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run("secret", "set", "backed-up", "--file", "value="+filepath.Join(w.dir, "value"))
	id := w.startWorkflow("numbers")
	done := make(chan description, 1)
	go func() { done <- w.follow(id) }()
	dir := filepath.Join(w.dir, "backups")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var files []string
	for len(files) < blocks*perBlock {
		block := len(files)/perBlock + 1
		w.until(fmt.Sprintf("all jobs of block %d run", block), func() bool {
			begun, _ := filepath.Glob(fmt.Sprintf("%s%d-*", signs, block))
			return len(begun) == jobs
		})
		file := filepath.Join(dir, fmt.Sprintf("%d.tar.zst", len(files)))
		w.admin("backup", file, "--with-key")
		files = append(files, file)
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			cut := start(t, append([]string{"--data", w.data(), "admin", "backup", filepath.Join(dir, "cut")}, w.place()...)...)
			time.Sleep(time.Duration(10*len(files)) * time.Millisecond)
			_ = cut.cmd.Process.Signal(signal)
			<-cut.done
			left, _ := filepath.Glob(filepath.Join(dir, ".*"))
			if signal == syscall.SIGTERM && len(left) > 0 {
				t.Errorf("a backup that was told to stop left %q", left)
			}
			for _, name := range left {
				os.Remove(name)
			}
			if _, err := os.Stat(filepath.Join(dir, "cut")); err == nil && !cut.cmd.ProcessState.Success() {
				w.verified(filepath.Join(dir, "cut")) // the signal came after the last step: then it must be whole
			}
			os.Remove(filepath.Join(dir, "cut"))
		}
		if len(files)%perBlock == 0 {
			if err := os.WriteFile(fmt.Sprint(signs, block), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := <-done
	if d.Pipeline.Result != "passed" {
		t.Fatalf("the pipeline has %s (%s) under the load of backups", d.Pipeline.Result, d.Pipeline.Reason)
	}
	if logs, pipelines := w.verified(""); logs != blocks*jobs || pipelines != 1 {
		t.Errorf("looked at %d logs and %d pipelines", logs, pipelines)
	}
	open, middle := 0, ""
	for _, f := range files {
		if logs, _ := w.verified(f); logs > 0 && logs < blocks*jobs {
			open++
			if logs > jobs { // so that some job has passed
				middle = f
			}
		}
	}
	if middle == "" {
		t.Fatal("no backup is from the middle of the pipeline; space them out")
	}
	t.Logf("%d backups, %d of them in the middle of the pipeline", len(files), open)
	info, err := os.Stat(files[0])
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("a backup has mode %v, %v", info.Mode(), err)
	}

	// Restored where it was, and where it was not.
	w.server.kill()
	other := ""
	if database == "" && os.Getenv("SIGNALBOX_TEST_POSTGRES") != "" {
		other = storetest.PostgresURL(t)
	}
	moved := &world{T: t, dir: t.TempDir(), listen: servertest.Address(t), database: other}
	moved.admin("restore", middle)
	moved.verified("")
	back := &world{T: t, dir: t.TempDir(), listen: w.listen, agents: w.agents}
	if database != "" {
		back.database = storetest.PostgresURL(t)
	}
	back.admin("restore", middle)
	logsBefore, _ := back.verified("")
	if out, errs, code := back.try(append([]string{"admin", "restore", middle}, back.place()...)...); code != 1 || !strings.Contains(errs, "not empty") {
		t.Errorf("restoring a second time: exit code %d, %s%s", code, out, errs)
	}
	back.startServer()
	d = back.follow(id)
	back.verified("")
	n := 0
	for _, b := range d.Blocks {
		for _, j := range b.Jobs {
			if j.Result == "PASSED" || j.Result == "passed" {
				n++
				back.checkPrinted(j.Name, j.ID)
			}
		}
	}
	t.Logf("restored with %d logs; the pipeline has %s (%s), %d jobs passed", logsBefore, d.Pipeline.Result, d.Pipeline.Reason, n)
	// What had passed before the backup still has; what came later than it is another story.
	if n == 0 {
		t.Error("no job has passed")
	}
	if out := back.run("--output", "json", "secret", "list"); !strings.Contains(out, "backed-up") {
		t.Errorf("the secret is gone: %s", out)
	}
	if d := back.follow(back.startWorkflow("numbers")); d.Pipeline.Result != "passed" {
		t.Errorf("a new workflow on the restored server has %s (%s)", d.Pipeline.Result, d.Pipeline.Reason)
	}
}

// startWorkflow starts a workflow and returns its id.
func (w *world) startWorkflow(project string) string {
	w.Helper()
	var begun struct {
		ID string `json:"workflow_id"`
	}
	w.json(&begun, "workflow", "start", project)
	return begun.ID
}

// follow waits for the end of a workflow, whatever it is.
func (w *world) follow(id string) (d description) {
	out, errs, code := w.try("--output", "json", "workflow", "follow", id)
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		w.Errorf("follow: exit code %d, %v in %q\n%s", code, err, out, errs)
		d.Pipeline.Result = "unknown"
	}
	return d
}
