package backup_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/backup"
	"github.com/signalbox-ci/signalbox/store"
)

type part struct {
	name string
	data []byte
}

func unpacked(t *testing.T, file string) (parts []part) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part{h.Name, data})
	}
}

func packed(t *testing.T, parts []part) (file string) {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, p := range parts {
		if err := w.WriteHeader(&tar.Header{Name: p.name, Mode: 0o600, Size: int64(len(p.data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(p.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "b")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestAnArchiveMadeAnewIsRefused changes what is in an archive whose own form stays valid.
func TestAnArchiveMadeAnewIsRefused(t *testing.T) {
	w := newWorld(t, store.Options{Dir: t.TempDir()})
	whole := unpacked(t, w.backup())
	at := func(prefix string) int {
		return slices.IndexFunc(whole, func(p part) bool { return strings.HasPrefix(p.name, prefix) })
	}
	last := len(whole) - 1
	for name, change := range map[string]func([]part) []part{
		"another value": func(p []part) []part {
			i := at("tables/project")
			p[i].data = bytes.Replace(p[i].data, []byte("demo.git"), []byte("demo.gut"), 1)
			return p
		},
		"a table less":        func(p []part) []part { return slices.Delete(p, at("tables/project"), at("tables/project")+1) },
		"an artifact less":    func(p []part) []part { return slices.Delete(p, at("artifacts/"), at("artifacts/")+1) },
		"another content":     func(p []part) []part { p[at("artifacts/")+1].data = []byte("other"); return p },
		"no manifest":         func(p []part) []part { return p[:last] },
		"no format":           func(p []part) []part { return p[1:] },
		"a key from nowhere":  func(p []part) []part { p[at("master.key")].data = []byte(strings.Repeat("0", 64)); return p },
		"a part more":         func(p []part) []part { return slices.Insert(p, last, part{"tables/project/000009", []byte("[]")}) },
		"a path to elsewhere": func(p []part) []part { return slices.Insert(p, last, part{"artifacts/../../x", []byte("x")}) },
		"something behind":    func(p []part) []part { return append(p, part{"tables/x/000001", nil}) },
		"a part twice":        func(p []part) []part { return slices.Insert(p, last, p[at("tables/project")]) },
		"a newer format":      func(p []part) []part { p[0].data = []byte(`{"format": 2}`); return p },
		"a wrong count": func(p []part) []part {
			p[last].data = bytes.Replace(p[last].data, []byte(`"rows": 1,`), []byte(`"rows": 2,`), 1)
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			parts := make([]part, len(whole))
			for i, p := range whole {
				parts[i] = part{p.name, bytes.Clone(p.data)}
			}
			file, dir := packed(t, change(parts)), t.TempDir()
			if a, err := backup.Open(t.Context(), file); err == nil {
				a.Close()
				if name != "a wrong count" { // rows are counted when they are restored
					t.Error("it was found to be whole")
				}
			}
			if _, err := restore(t, file, backup.Target{Dir: dir}); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
				t.Errorf("restored: %v", err)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	if _, err := restore(t, packed(t, whole), backup.Target{Dir: t.TempDir()}); err != nil {
		t.Errorf("the unchanged one: %v", err)
	}
}
