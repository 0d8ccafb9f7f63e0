package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

func TestTheLogFileDoesNotGrowWithoutEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "agent.log")
	f, err := openLogFile(path, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	log := slog.New(slog.NewTextHandler(both{io.Discard, f}, nil))
	for i := range 200 {
		log.Info("line", "n", i)
	}
	names, err := filepath.Glob(path + "*")
	if err != nil || len(names) != 1+logFileOld {
		t.Errorf("there are %q, %v", names, err)
	}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil || len(b) > 1000 || len(b) == 0 || b[len(b)-1] != '\n' {
			t.Errorf("%s has %d bytes, %v", n, len(b), err)
		}
	}
	newest, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(newest, []byte("n=199")) {
		t.Errorf("the newest file holds %q, %v", newest, err)
	}
}
