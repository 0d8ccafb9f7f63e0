package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/signalbox-ci/signalbox/server/servertest"
)

// TestFullDisk fills the disk under a server: what cannot be made durable is refused with 503, what is there can be
// read, and with room again everything goes on without a restart.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount the small disk that this fills")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=24m"); err != nil {
		if os.Getenv("SIGNALBOX_TEST_REQUIRE") == "1" {
			t.Fatalf("mount a tmpfs: %v", err)
		}
		t.Skipf("this machine does not let root mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	w := &world{T: t, dir: disk, listen: servertest.Address(t)}
	w.startServer()
	t.Cleanup(w.server.kill)
	w.run("agent-type", "create", "s1-before")

	ballast := filepath.Join(disk, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(chunk)
	}
	_ = f.Close()
	refused := false
	for i := range 200 { // the write-ahead log may have room left from earlier
		_, errs, code := w.try("agent-type", "create", "s1-full-"+strings.Repeat("x", 60)+string(rune('a'+i%26))+strings.Repeat("y", i/26))
		if code != 0 {
			refused = strings.Contains(errs, "cannot write now")
			if !refused {
				t.Errorf("refused with: %s", errs)
			}
			break
		}
	}
	if !refused {
		t.Error("a full disk took every write")
	}
	var types []json.RawMessage
	w.json(&types, "agent-type", "list")
	if len(types) == 0 {
		t.Error("nothing can be read on a full disk")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	w.run("agent-type", "create", "s1-after")
}
