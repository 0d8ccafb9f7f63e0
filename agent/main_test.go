package agent

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// The recordings sleep for seconds; this makes tenths of them, except where a job has to be stopped.
const profile = `sleep() { case $1 in 60) command sleep 60 ;; *) command sleep 0.$1 ;; esac; }
`

func TestMain(m *testing.M) {
	home, err := os.MkdirTemp("", "signalbox-agent-home")
	if err != nil {
		panic(err)
	}
	os.Setenv("HOME", home)
	if err := os.WriteFile(filepath.Join(home, ".bash_profile"), []byte(profile), 0o600); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(home)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}
