package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// Blobs keeps content under names that are made up here: a hash, a dash and an id. A name is used once and its content
// never changes. *Folder does it; an object store can.
type Blobs interface {
	// Create begins to write content that nobody can see before Commit.
	Create(ctx context.Context) (Upload, error)
	Open(ctx context.Context, name string) (io.ReadSeekCloser, error)
	// Remove removes content; what is not there is fine.
	Remove(ctx context.Context, name string) error
	// Walk calls fn with the names of what has not been touched since before a time, some at once, and removes uploads
	// of that age that were never committed.
	Walk(ctx context.Context, before time.Time, fn func(names []string) error) error
}

// Upload is content on its way in. Either Commit or Abort ends it.
type Upload interface {
	io.Writer
	// Commit makes the content durable and then visible under name; after an error it is not there.
	Commit(name string) error
	Abort()
}

// Folder is a Blobs in a folder. Several servers may use one folder at the same time.
type Folder struct{ dir string }

// OpenFolder returns the blobs of a folder, which is made when it is not there. A folder belongs to one owner: with the
// metadata of another installation all that is in it would look like something that nobody needs.
func OpenFolder(dir, owner string) (*Folder, error) {
	f := &Folder{dir}
	for _, d := range []string{f.uploads(), f.blobs()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("make the folder for artifacts: %w", err)
		}
	}
	return f, f.claim(owner)
}

func (f *Folder) claim(owner string) error {
	file := filepath.Join(f.dir, "owner")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err := f.writeOwner(file, owner); err != nil {
			return fmt.Errorf("mark the folder for artifacts: %w", err)
		}
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return err
	}
	if found := strings.TrimSpace(string(text)); found != owner {
		return signalbox.Errorf(signalbox.CodeInvalid, "the folder for artifacts %s belongs to another installation (%.40q in its file \"owner\", but this one is %q): "+
			"name another folder, or use the database that belongs to this one", f.dir, found, owner)
	}
	return nil
}

func (f *Folder) writeOwner(file, owner string) error {
	tmp, err := os.CreateTemp(f.uploads(), "upload-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(owner + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	return syncDir(f.dir)
}

func (f *Folder) uploads() string { return filepath.Join(f.dir, "uploads") }
func (f *Folder) blobs() string   { return filepath.Join(f.dir, "blobs") }

var blobName = regexp.MustCompile(`^[0-9a-f]{64}-[0-9a-f-]{36}$`)

// path is where a blob lies: in one of 256 folders, so that none grows too large.
func (f *Folder) path(name string) (string, error) {
	if !blobName.MatchString(name) {
		return "", fmt.Errorf("%.120q is not the name of a blob", name)
	}
	return filepath.Join(f.blobs(), name[:2], name), nil
}

type fileUpload struct {
	*os.File
	folder *Folder
}

// Create begins an upload in a temporary file of the same file system.
func (f *Folder) Create(context.Context) (Upload, error) {
	file, err := os.CreateTemp(f.uploads(), "upload-")
	if err != nil {
		return nil, err
	}
	return &fileUpload{file, f}, nil
}

func (u *fileUpload) Commit(name string) (err error) {
	defer func() {
		if err != nil {
			_ = os.Remove(u.Name())
		}
	}()
	if err := errors.Join(u.Sync(), u.Close()); err != nil {
		return err
	}
	to, err := u.folder.path(name)
	if err != nil {
		return err
	}
	dir := filepath.Dir(to)
	if err := os.Mkdir(dir, 0o700); err == nil {
		if err := syncDir(u.folder.blobs()); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Rename(u.Name(), to); err != nil {
		return err
	}
	return syncDir(dir)
}

func (u *fileUpload) Abort() {
	_ = u.Close()
	_ = os.Remove(u.Name()) // if it stays, Walk removes it later
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Open returns the content of a blob.
func (f *Folder) Open(_ context.Context, name string) (io.ReadSeekCloser, error) {
	p, err := f.path(name)
	if err != nil {
		return nil, err
	}
	return os.Open(p)
}

// Remove removes a blob.
func (f *Folder) Remove(_ context.Context, name string) error {
	p, err := f.path(name)
	if err != nil {
		return err
	}
	if err := os.Remove(p); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Walk lists old blobs, those of one of the 256 folders at once, and removes old unfinished uploads.
func (f *Folder) Walk(ctx context.Context, before time.Time, fn func(names []string) error) error {
	old, err := olderThan(f.uploads(), before)
	if err != nil {
		return err
	}
	for _, name := range old {
		if !strings.HasPrefix(name, "upload-") {
			continue
		}
		if err := os.Remove(filepath.Join(f.uploads(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	shards, err := os.ReadDir(f.blobs())
	if err != nil {
		return err
	}
	for _, d := range shards {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !d.IsDir() || len(d.Name()) != 2 {
			continue
		}
		all, err := olderThan(filepath.Join(f.blobs(), d.Name()), before)
		if err != nil {
			return err
		}
		names := all[:0]
		for _, name := range all {
			if blobName.MatchString(name) {
				names = append(names, name)
			}
		}
		if err := fn(names); err != nil {
			return err
		}
	}
	return nil
}

func olderThan(dir string, before time.Time) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() && info.ModTime().Before(before) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// Size returns how large a blob is.
func (f *Folder) Size(name string) (int64, error) {
	p, err := f.path(name)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(p)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// ReadFolder returns the blobs of a folder to read them; nothing is made or marked.
func ReadFolder(dir string) *Folder { return &Folder{dir} }

// BlobName is the name of content by its hash and id.
func BlobName(sha256, id string) string { return name(sha256, id) }
