package agent

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent/executor"
)

const directiveDebug = "Debug session"

// debugNote is the end of the name of a file beside a job's directory that holds the path of its environment file, so
// that the next process finds what a killed one left behind.
const debugNote = ".debug"

// debug prepares a debug job for whoever logs in on this machine: it writes the file with the variables and logs how to
// get in. On other jobs it does nothing. end takes the file away again.
func (j *Job) debug(vars []signalbox.EnvVar) (code int, end func()) {
	end = func() {}
	if !slices.Contains(vars, signalbox.EnvVar{Name: "SEMAPHORE_JOB_TYPE", Value: "debug_job"}) {
		return 0, end
	}
	note := j.opts.Shell.Dir + debugNote
	path := ""
	code = j.block(directiveDebug, func(emit executor.Emit) (int, error) {
		var err error
		if path, err = writeEnvironment(j.payload.JobID, note, environmentText(runtime.GOOS, vars), j.opts.Shell.User); err != nil {
			return 1, emit([]byte("The file with the variables of the job cannot be written: " + err.Error() + "\n"))
		}
		return 0, emit([]byte(j.welcome(path)))
	})
	if code != 0 {
		j.blame(signalbox.ReasonAgentError)
	}
	return code, func() {
		if err := removeEnvironment(note, path); err != nil {
			j.opts.Logger.Warn("the environment file of a debug session cannot be removed", "path", path, "error", err)
		}
	}
}

// writeEnvironment makes the file in the folder for temporary files. Its name is noted before anything secret is in it.
func writeEnvironment(jobID, note, text string, owner *executor.User) (path string, err error) {
	id := "job"
	if signalbox.IsID(jobID) {
		id = jobID
	}
	suffix := ""
	if runtime.GOOS == "windows" {
		suffix = ".ps1"
	}
	// CreateTemp makes a new file with mode 0600 and follows no link that somebody may have put there.
	f, err := os.CreateTemp("", ".env-"+id+"-*"+suffix)
	if err != nil {
		return "", err
	}
	err = os.WriteFile(note, []byte(f.Name()), 0o600)
	if err == nil && owner != nil {
		err = f.Chown(int(owner.UID), int(owner.GID))
	}
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return f.Name(), errors.Join(err, removeEnvironment(note, f.Name()))
	}
	return f.Name(), nil
}

func removeEnvironment(note, path string) error {
	var errs []error
	for _, p := range []string{path, note} {
		if p == "" {
			continue
		}
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeLeftEnvironments removes the files that debug sessions of an earlier process left behind.
func removeLeftEnvironments(jobsDir string) error {
	notes, err := filepath.Glob(filepath.Join(jobsDir, "*"+debugNote))
	if err != nil {
		return err
	}
	var errs []error
	for _, note := range notes {
		path, err := os.ReadFile(note)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !strings.HasPrefix(filepath.Base(string(path)), ".env-") {
			continue // not one of ours
		}
		errs = append(errs, removeEnvironment(note, string(path)))
	}
	return errors.Join(errs...)
}

// environmentText is what a shell reads to have the variables: PowerShell on Windows, any POSIX shell elsewhere.
func environmentText(goos string, vars []signalbox.EnvVar) string {
	var b strings.Builder
	for _, v := range vars {
		if goos == "windows" {
			b.WriteString("$env:" + v.Name + " = '" + strings.ReplaceAll(v.Value, "'", "''") + "'\n")
		} else {
			b.WriteString("export " + v.Name + "=" + shellWord(v.Value) + "\n")
		}
	}
	return b.String()
}

// welcome says how to get into the session.
func (j *Job) welcome(path string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "this machine (" + err.Error() + ")"
	}
	name := "the user of the agent"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/"
	}
	if u := j.opts.Shell.User; u != nil {
		name, home = u.Name, u.Home
	}
	dir := home
	if j.opts.Shell.Workspace != "" {
		dir = j.opts.Shell.Workspace
	}
	ends := "when it is stopped"
	if len(j.payload.Commands) == 1 {
		if d, ok := waitOf(j.payload.Commands[0].Directive); ok {
			ends = "at " + j.opts.Now().Add(d).UTC().Format("2006-01-02 15:04:05") + " UTC, or when it is stopped"
		}
	}
	load := "source "
	if runtime.GOOS == "windows" {
		load = ". "
	}
	return fmt.Sprintf(`This job runs nothing: it keeps the environment of another job until somebody has looked around.

Host       %s
User       %s
Directory  %s
Ends       %s

Log in on that host as that user, for example:
  ssh %s@%s
Load the variables of the job and go where its commands begin:
  %s%s
  cd %s
What the job would have run, one command after the other:
  cat %s

The file with the variables is removed when the session ends.
`, host, name, dir, ends, name, host, load, plainWord(path), plainWord(dir), plainWord(filepath.Join(home, "commands")))
}

// waitOf reads how long a command like "sleep 3600" waits.
func waitOf(command string) (time.Duration, bool) {
	text, ok := strings.CutPrefix(command, "sleep ")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 31)
	return time.Duration(n) * time.Second, err == nil
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:\\-]+$`)

// plainWord is shellWord for people: quoted only where a shell needs it.
func plainWord(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return shellWord(s)
}

// shellWord makes one word of any text for a POSIX shell.
func shellWord(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
