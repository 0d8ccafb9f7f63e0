package executor

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	home, err := os.MkdirTemp("", "signalbox-executor-home")
	if err != nil {
		panic(err)
	}
	os.Setenv("HOME", home)
	if err := AdoptOrphans(); err != nil {
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
