package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// TestFullDisk does on a true file system what TestFullDatabase does by a setting; it needs the right to mount one.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if os.Getuid() != 0 {
		t.Skip("only root may mount a small file system; TestFullDatabase runs for everybody")
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("this machine does not let root mount a small file system (%v); TestFullDatabase runs everywhere", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	s := storetest.Open(t, store.Options{Dir: dir})
	if err := s.Write(t.Context(), func(t *store.Tx) error { return t.CreateProject(project("first"), "test") }); err != nil {
		t.Fatal(err)
	}
	release := fillDisk(t, dir)
	names := append([]string{"first"}, fill(t, s, 10_000)...)
	stillThere(t, s, names)
	if err := s.WriteLog(t.Context(), func(t *store.LogTx) error {
		return t.AddLogChunk("a", store.LogChunk{Count: 1, Data: make([]byte, 100_000)})
	}); signalbox.ErrorCode(err) != signalbox.CodeUnavailable {
		t.Errorf("a log on a full disk: %v, want code %q", err, signalbox.CodeUnavailable)
	}
	release()
	if err := s.Write(t.Context(), func(t *store.Tx) error { return t.CreateProject(project("recovered"), "test") }); err != nil {
		t.Errorf("after there was space again: %v", err)
	}
	stillThere(t, s, append(names, "recovered"))
	checkIntegrity(t, s)
}

// fillDisk uses up the space of a small file system; release gives it back.
func fillDisk(t *testing.T, dir string) (release func()) {
	t.Helper()
	name := filepath.Join(dir, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 10_000 {
		if _, err = f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the file system did not fill: %v", err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}
