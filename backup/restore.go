package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/artifact"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// Target is where an archive is restored to.
type Target struct {
	Dir         string // data folder: empty, not there, or with a master key only
	DatabaseURL string // postgres://... of an empty database, instead of SQLite in Dir
	ArtifactDir string // default: artifacts in Dir; empty or not there
	Progress    func(about string, done, bytes int64)
}

// Restored says what Restore left out, because it began after the databases were read or ended before it was copied.
type Restored struct {
	Logs  int `json:"logs_left_out"`
	Blobs int `json:"artifacts_left_out"`
}

// errOtherKey is why a master key in the data folder and one in the archive cannot both be.
var errOtherKey = signalbox.Errorf(signalbox.CodeConflict,
	"the archive has a master key and so has the data folder: move %s away; nothing was changed", auth.MasterKeyFile)

// Restore makes an installation of the archive. It refuses a place that holds anything, and takes away what it made when
// it fails. The databases appear last.
func (a *Archive) Restore(ctx context.Context, t Target) (out Restored, err error) {
	if t.Progress == nil {
		t.Progress = func(string, int64, int64) {}
	}
	if t.Dir == "" {
		return out, errors.New("backup: a data folder is needed")
	}
	if t.ArtifactDir == "" {
		t.ArtifactDir = filepath.Join(t.Dir, "artifacts")
	}
	if err := a.mayRestore(t); err != nil {
		return out, err
	}
	if err := os.MkdirAll(t.Dir, 0o700); err != nil {
		return out, fmt.Errorf("make the data folder: %w", err)
	}
	staging, err := os.MkdirTemp(t.Dir, ".restore-*")
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(staging)) }()
	r := &restore{a: a, t: t, staging: staging}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.undo())
		}
	}()
	err = r.run(ctx)
	return r.out, err
}

// mayRestore looks at the place without touching it.
func (a *Archive) mayRestore(t Target) error {
	full := func(dir, name string) error {
		return signalbox.Errorf(signalbox.CodeConflict, "the folder %s is not empty, it has %s: restore into an empty one; nothing was changed", dir, name)
	}
	entries, err := os.ReadDir(t.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		switch {
		case e.Name() != auth.MasterKeyFile:
			return full(t.Dir, e.Name())
		case a.Manifest.MasterKey != "":
			return errOtherKey
		}
	}
	if entries, err = os.ReadDir(t.ArtifactDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 && a.Manifest.Artifacts.Included {
		return full(t.ArtifactDir, entries[0].Name())
	}
	return nil
}

type restore struct {
	a       *Archive
	t       Target
	staging string
	made    []string // what undo takes away
	out     Restored

	fill   *store.Filler
	blobs  *artifact.Folder
	count  int64 // restored blobs
	tables map[string]*Table
	rows   map[string]int64
}

func (r *restore) run(ctx context.Context) (err error) {
	m := r.a.Manifest
	o := store.Options{Dir: r.staging}
	if r.t.DatabaseURL != "" {
		o = store.Options{URL: r.t.DatabaseURL}
	}
	if r.fill, err = store.OpenEmpty(ctx, o, m.Schemas); err != nil {
		return err
	}
	defer func() {
		if r.fill != nil {
			err = errors.Join(err, r.fill.Close())
		}
	}()
	if m.Artifacts.Included {
		if _, err := os.Lstat(r.t.ArtifactDir); errors.Is(err, fs.ErrNotExist) {
			r.made = append(r.made, r.t.ArtifactDir)
		}
		for _, name := range []string{"blobs", "uploads", "owner"} { // what OpenFolder makes
			r.made = append(r.made, filepath.Join(r.t.ArtifactDir, name))
		}
		if r.blobs, err = artifact.OpenFolder(r.t.ArtifactDir, m.Organization); err != nil {
			return err
		}
	}
	r.tables, r.rows = map[string]*Table{}, map[string]int64{}
	for i := range m.Tables {
		r.tables[m.Tables[i].Name] = &m.Tables[i]
	}
	if err := r.a.each(ctx, func(name string, size int64, from io.Reader) error { return r.part(ctx, name, size, from) }); err != nil {
		return err
	}
	for name, t := range r.tables {
		if r.rows[name] != t.Rows {
			return r.a.broken("table %s has %d rows and should have %d", name, r.rows[name], t.Rows)
		}
	}
	return r.finish()
}

// part restores one part. It was compared with its checksum before, and is again, because a file may change.
func (r *restore) part(ctx context.Context, name string, size int64, from io.Reader) error {
	if blob, ok := strings.CutPrefix(name, nameArtifacts); ok {
		return r.blob(ctx, blob, from)
	}
	if name == auth.MasterKeyFile || strings.HasPrefix(name, nameTables) {
		data, err := readPart(name, size, from)
		if err != nil {
			return r.a.broken("%v", err)
		}
		sum := sha256.Sum256(data)
		if name == auth.MasterKeyFile {
			return r.key(data, hex.EncodeToString(sum[:]))
		}
		table, n := "", 0
		if _, err := fmt.Sscanf(strings.ReplaceAll(strings.TrimPrefix(name, nameTables), "/", " "), "%s %d", &table, &n); err != nil {
			return r.a.broken("%.80q is no part of a table", name)
		}
		t := r.tables[table]
		if t == nil || n < 1 || n > len(t.Parts) || t.Parts[n-1] != hex.EncodeToString(sum[:]) {
			return r.a.broken("%.80q has changed", name)
		}
		return r.insert(t, data)
	}
	return nil
}

func (r *restore) insert(t *Table, data []byte) error {
	var rows [][]any
	for line := range bytes.Lines(data) {
		row, err := decodeRow(line, t.Columns)
		if err != nil {
			return r.a.broken("table %s: %v", t.Name, err)
		}
		rows = append(rows, row)
	}
	r.rows[t.Name] += int64(len(rows))
	r.t.Progress("table "+t.Name, r.rows[t.Name], 0)
	return r.fill.Insert(t.Table, rows)
}

func (r *restore) blob(ctx context.Context, name string, from io.Reader) error {
	up, err := r.blobs.Create(ctx)
	if err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(up, h), from); err != nil {
		up.Abort()
		return err
	}
	if !strings.HasPrefix(name, hex.EncodeToString(h.Sum(nil))+"-") {
		up.Abort()
		return r.a.broken("artifact %.120q has changed", name)
	}
	if err := up.Commit(name); err != nil {
		return err
	}
	r.count++
	r.t.Progress("artifacts", r.count, 0)
	return nil
}

func (r *restore) key(text []byte, sum string) error {
	defer clear(text)
	if sum != r.a.Manifest.MasterKey {
		return r.a.broken("the master key has changed")
	}
	if err := os.WriteFile(filepath.Join(r.staging, auth.MasterKeyFile), text, 0o600); err != nil {
		return err
	}
	return syncFile(filepath.Join(r.staging, auth.MasterKeyFile))
}

// finish leaves out what has no other half, makes the rest durable and gives it its names.
func (r *restore) finish() (err error) {
	if r.out.Logs, err = r.fill.DropStrangeLogs(); err != nil {
		return err
	}
	if r.a.Manifest.Artifacts.Included {
		lost := map[string]bool{} // the database needed them, so they stay for a check to find
		for _, name := range r.a.Manifest.Artifacts.Lost {
			lost[name] = true
		}
		keep := func(b *store.Blob) bool {
			name := artifact.BlobName(b.SHA256, b.ID)
			_, err := r.blobs.Size(name)
			return err == nil || lost[name]
		}
		if r.out.Blobs, err = r.fill.DropBlobs(keep); err != nil {
			return err
		}
	}
	if err := r.keep(auth.MasterKeyFile); err != nil {
		return err
	}
	if err := r.fill.Commit(); err != nil {
		return err
	}
	err = r.fill.Close()
	r.fill = nil
	if err != nil {
		return err
	}
	for _, name := range store.Files() {
		if err := r.keep(name); err != nil {
			return err
		}
	}
	return syncDir(r.t.Dir)
}

// keep moves a file, if it was made, from the staging folder to its place.
func (r *restore) keep(name string) error {
	from, to := filepath.Join(r.staging, name), filepath.Join(r.t.Dir, name)
	if err := syncFile(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	r.made = append(r.made, to)
	return nil
}

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (r *restore) undo() error {
	var errs []error
	for _, name := range r.made {
		errs = append(errs, os.RemoveAll(name))
	}
	return errors.Join(errs...)
}
