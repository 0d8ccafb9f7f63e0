// Package backup writes all state of an installation into one archive while its servers go on working, and makes an
// installation of such an archive again. The archive holds the rows of both databases in a form that belongs to neither
// SQLite nor PostgreSQL, the content of artifacts and, when asked, the master key; every part has a checksum. It reads and
// writes as a stream: memory does not grow with the state.
package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/artifact"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// Format is the version of the archive's form.
const Format = 1

// Manifest is the last part of an archive: what the others are.
type Manifest struct {
	Format       int            `json:"format"`
	Program      string         `json:"program"` // version of the program that made it
	At           time.Time      `json:"at"`      // of the view that the databases were read in
	Database     string         `json:"database"`
	Schemas      store.Versions `json:"schemas"`
	Organization string         `json:"organization"` // its id
	Tables       []Table        `json:"tables"`
	Artifacts    Artifacts      `json:"artifacts"`
	MasterKey    string         `json:"master_key,omitempty"` // SHA-256 of the file, "" when it is not in the archive
}

// Table is a table and the SHA-256 of the parts that hold its rows, in order.
type Table struct {
	store.Table
	Rows  int64    `json:"rows"`
	Parts []string `json:"parts"`
}

// Artifacts are the files that jobs pushed. The name of each begins with the SHA-256 of its content.
type Artifacts struct {
	Included bool     `json:"included"`
	Count    int64    `json:"count"`
	Bytes    int64    `json:"bytes"`
	Names    string   `json:"names"`          // SHA-256 of the names in their order, each with a newline
	Lost     []string `json:"lost,omitempty"` // that the database needs and that were not there
}

// Rows counts those of all tables.
func (m *Manifest) Rows() (n int64) {
	for _, t := range m.Tables {
		n += t.Rows
	}
	return n
}

// Options for Write. Store names the databases.
type Options struct {
	Store       store.Options
	ArtifactDir string // "" leaves the content of artifacts out
	KeyFile     string // "" leaves the master key out
	Program     string
	Progress    func(about string, done, bytes int64) // called now and then
}

// maxPart is how much of a table lies in one part of the archive, unless a single row is larger.
const maxPart = 4 << 20

// Write writes the archive of one view of the state.
func Write(ctx context.Context, o Options, to io.Writer) (m *Manifest, err error) {
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	snapshot, err := store.OpenSnapshot(ctx, o.Store)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	w, err := newWriter(to)
	if err != nil {
		return nil, err
	}
	b := &backup{o: o, snapshot: snapshot, w: w, m: &Manifest{Format: Format, Program: o.Program, Database: snapshot.Dialect(), At: snapshot.Main().Now}}
	if err := b.write(ctx); err != nil {
		return nil, errors.Join(err, w.abort())
	}
	return b.m, w.close()
}

type backup struct {
	o        Options
	snapshot *store.Snapshot
	w        *writer
	m        *Manifest
}

func (b *backup) write(ctx context.Context) (err error) {
	if b.m.Schemas, err = b.snapshot.Versions(); err != nil {
		return err
	}
	owner, err := b.snapshot.Main().Sealed("organization-id")
	if err != nil {
		return err
	}
	b.m.Organization = string(owner)
	head, err := json.Marshal(map[string]int{"format": Format})
	if err != nil {
		return err
	}
	if _, err := b.w.add(nameFormat, head); err != nil {
		return err
	}
	tables, err := b.snapshot.Tables()
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := b.table(ctx, t); err != nil {
			return err
		}
	}
	if b.o.ArtifactDir != "" {
		if err := b.artifacts(ctx); err != nil {
			return err
		}
	}
	if b.o.KeyFile != "" {
		if err := b.key(); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(b.m, "", "  ")
	if err != nil {
		return err
	}
	_, err = b.w.add(nameManifest, text)
	return err
}

func (b *backup) table(ctx context.Context, t store.Table) error {
	out := Table{Table: t, Parts: []string{}}
	var part bytes.Buffer
	flush := func() error {
		if part.Len() == 0 {
			return nil
		}
		sum, err := b.w.add(partName(t.Name, len(out.Parts)), part.Bytes())
		out.Parts = append(out.Parts, sum)
		part.Reset()
		b.o.Progress("table "+t.Name, out.Rows, b.w.bytes())
		return errors.Join(err, ctx.Err())
	}
	err := b.snapshot.Rows(t, func(row []any) error {
		if err := encodeRow(&part, row); err != nil {
			return err
		}
		out.Rows++
		if part.Len() >= maxPart {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return fmt.Errorf("back up table %s: %w", t.Name, err)
	}
	b.m.Tables = append(b.m.Tables, out)
	return nil
}

// artifacts copies the content that the view of the database names. Content is written before the database names it and
// goes after the database has forgotten it, so what is not there any more was deleted while we ran, or is lost.
func (b *backup) artifacts(ctx context.Context) error {
	folder := artifact.ReadFolder(b.o.ArtifactDir)
	a := &b.m.Artifacts
	a.Included = true
	names := sha256.New()
	var missing []*store.Blob
	for after := ""; ; {
		page, err := b.snapshot.Main().BlobsAfter(after, 100)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].ID
		for _, blob := range page {
			n, err := b.content(ctx, folder, blob, names)
			if errors.Is(err, fs.ErrNotExist) {
				missing = append(missing, blob)
				continue
			}
			if err != nil {
				return fmt.Errorf("back up artifact %s: %w", artifact.BlobName(blob.SHA256, blob.ID), err)
			}
			a.Count, a.Bytes = a.Count+1, a.Bytes+n
			b.o.Progress("artifacts", a.Count, b.w.bytes())
		}
	}
	a.Names = hex.EncodeToString(names.Sum(nil))
	return b.lost(ctx, missing)
}

func (b *backup) content(ctx context.Context, folder *artifact.Folder, blob *store.Blob, names hash.Hash) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	name := artifact.BlobName(blob.SHA256, blob.ID)
	file, err := folder.Open(ctx, name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	sum, err := b.w.copy(nameArtifacts+name, blob.Size, file)
	if err != nil {
		return 0, err
	}
	if sum != blob.SHA256 {
		return 0, fmt.Errorf("its content is damaged: the SHA-256 is %s", sum)
	}
	fmt.Fprintln(names, name)
	return blob.Size, nil
}

// lost finds out which missing content the database still names.
func (b *backup) lost(ctx context.Context, missing []*store.Blob) error {
	if len(missing) == 0 {
		return nil
	}
	now, err := store.OpenSnapshot(ctx, b.o.Store)
	if err != nil {
		return err
	}
	ids := make([]string, len(missing))
	for i, blob := range missing {
		ids[i] = blob.ID
	}
	known, err := now.Main().KnownBlobs(ids)
	if err = errors.Join(err, now.Close()); err != nil {
		return err
	}
	for _, blob := range missing {
		if known[blob.ID] {
			b.m.Artifacts.Lost = append(b.m.Artifacts.Lost, artifact.BlobName(blob.SHA256, blob.ID))
		}
	}
	return nil
}

func (b *backup) key() error {
	text, err := os.ReadFile(b.o.KeyFile)
	if err != nil {
		return fmt.Errorf("read the master key: %w", err)
	}
	defer clear(text)
	if _, err := auth.ParseKeyring(string(text)); err != nil {
		return fmt.Errorf("%s: %w", b.o.KeyFile, err)
	}
	b.m.MasterKey, err = b.w.add(auth.MasterKeyFile, text)
	return err
}

// WriteFile writes the archive to a file that only its owner may read. It appears under its name when it is complete; an
// older one of the name is refused unless replace.
func WriteFile(ctx context.Context, o Options, name string, replace bool) (m *Manifest, size int64, err error) {
	if _, err := os.Lstat(name); err == nil && !replace {
		return nil, 0, signalbox.Errorf(signalbox.CodeConflict, "%s is there already: name another file, or replace it with --force", name)
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".partial-*")
	if err != nil {
		return nil, 0, fmt.Errorf("begin the backup: %w", err)
	}
	defer func() {
		if err != nil {
			_ = tmp.Close() // closed already after the last step
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	if m, err = Write(ctx, o, tmp); err != nil {
		return nil, 0, err
	}
	info, err := tmp.Stat()
	if err != nil {
		return nil, 0, err
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return nil, 0, fmt.Errorf("write the backup to the disk: %w", err)
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return nil, 0, err
	}
	return m, info.Size(), syncDir(filepath.Dir(name))
}
