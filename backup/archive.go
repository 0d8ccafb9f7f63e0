package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
)

// The names in an archive, in their order; nameFormat is the first part and nameManifest the last.
const (
	nameFormat    = "format.json"
	nameTables    = "tables/"    // tables/job/000001
	nameArtifacts = "artifacts/" // artifacts/<name of the blob>
	nameManifest  = "manifest.json"
)

// maxRead bounds a part that is read into memory: one row may be as large as an event of a log, with its base64.
const maxRead = 256 << 20

func partName(table string, n int) string { return fmt.Sprintf("%s%s/%06d", nameTables, table, n+1) }

// writer writes an archive: tar, compressed with zstd.
type writer struct {
	counter *countingWriter
	zstd    *zstd.Encoder
	tar     *tar.Writer
}

type countingWriter struct {
	to io.Writer
	n  int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}

func newWriter(to io.Writer) (*writer, error) {
	c := &countingWriter{to: to}
	z, err := zstd.NewWriter(c, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(1<<20), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	return &writer{c, z, tar.NewWriter(z)}, nil
}

func (w *writer) bytes() int64 { return w.counter.n }

func (w *writer) add(name string, data []byte) (sum string, err error) {
	return w.copy(name, int64(len(data)), bytes.NewReader(data))
}

// copy adds a part and returns its SHA-256.
func (w *writer) copy(name string, size int64, from io.Reader) (sum string, err error) {
	if err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: size}); err != nil {
		return "", err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w.tar, h), from)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes instead of %d", n, size)
	}
	return hex.EncodeToString(h.Sum(nil)), err
}

func (w *writer) close() error { return errors.Join(w.tar.Close(), w.zstd.Close()) }

// abort gives the compressor's memory back; what was written so far is of no use.
func (w *writer) abort() error {
	w.zstd.Reset(io.Discard)
	return w.zstd.Close()
}

// Archive is an archive that was read once and found to be whole.
type Archive struct {
	Manifest *Manifest
	file     *os.File
}

// Open reads a whole archive and compares everything in it with its checksums.
func Open(ctx context.Context, name string) (*Archive, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	a := &Archive{file: file}
	if err := a.check(ctx); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return a, nil
}

// Close closes the file.
func (a *Archive) Close() error { return a.file.Close() }

func (a *Archive) broken(format string, args ...any) error {
	return signalbox.Errorf(signalbox.CodeInvalid, "%s is not a whole backup: %s. Nothing was changed; use another one", a.file.Name(), fmt.Sprintf(format, args...))
}

// check reads all parts and then compares their sums with the manifest, which is the last one.
func (a *Archive) check(ctx context.Context) error {
	sums := map[string]string{}
	names, count, size := sha256.New(), int64(0), int64(0)
	err := a.each(ctx, func(name string, n int64, from io.Reader) error {
		if a.Manifest != nil {
			return a.broken("%.80q comes after its manifest", name)
		}
		if len(sums) == 0 && name != nameFormat {
			return a.broken("it does not begin with its format")
		}
		h := sha256.New()
		if blob, ok := strings.CutPrefix(name, nameArtifacts); ok {
			if _, err := io.Copy(h, from); err != nil {
				return a.broken("%v", err)
			}
			if sum := hex.EncodeToString(h.Sum(nil)); !strings.HasPrefix(blob, sum+"-") {
				return a.broken("artifact %.120q has another content", blob)
			}
			fmt.Fprintln(names, blob)
			count, size = count+1, size+n
			return nil
		}
		data, err := readPart(name, n, io.TeeReader(from, h))
		if err != nil {
			return a.broken("%v", err)
		}
		switch name {
		case nameFormat:
			if err := a.format(data); err != nil {
				return err
			}
		case nameManifest:
			a.Manifest = &Manifest{}
			if err := json.Unmarshal(data, a.Manifest); err != nil {
				return a.broken("its manifest cannot be read: %v", err)
			}
			return nil
		}
		if _, twice := sums[name]; twice {
			return a.broken("%.80q is there twice", name)
		}
		sums[name] = hex.EncodeToString(h.Sum(nil))
		return nil
	})
	if err != nil {
		return err
	}
	if a.Manifest == nil {
		return a.broken("it has no manifest at its end, so it was cut off")
	}
	if x := a.Manifest.Artifacts; x.Included && (x.Count != count || x.Bytes != size || x.Names != hex.EncodeToString(names.Sum(nil))) || !x.Included && count > 0 {
		return a.broken("it holds %d artifacts of %d bytes and should hold %d of %d", count, size, x.Count, x.Bytes)
	}
	return a.compare(sums)
}

func (a *Archive) format(data []byte) error {
	var f struct{ Format int }
	if err := json.Unmarshal(data, &f); err != nil || f.Format < 1 {
		return a.broken("its format cannot be read")
	}
	if f.Format > Format {
		return signalbox.Errorf(signalbox.CodeInvalid, "%s has format %d, this program reads formats up to %d: use the signalbox that made it, or a newer one", a.file.Name(), f.Format, Format)
	}
	return nil
}

func (a *Archive) compare(sums map[string]string) error {
	delete(sums, nameFormat)
	want := func(name, sum string) error {
		found, ok := sums[name]
		delete(sums, name)
		if !ok || found != sum {
			return a.broken("%s is missing or changed", name)
		}
		return nil
	}
	for _, t := range a.Manifest.Tables {
		for i, sum := range t.Parts {
			if err := want(partName(t.Name, i), sum); err != nil {
				return err
			}
		}
	}
	if a.Manifest.MasterKey != "" {
		if err := want(auth.MasterKeyFile, a.Manifest.MasterKey); err != nil {
			return err
		}
	}
	for name := range sums {
		return a.broken("%.80q is not in its manifest", name)
	}
	return nil
}

func readPart(name string, size int64, from io.Reader) ([]byte, error) {
	if size > maxRead {
		return nil, fmt.Errorf("%.80q has %d bytes", name, size)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(from, data); err != nil {
		return nil, err
	}
	return data, nil
}

// each reads the archive from its beginning and calls fn with every part.
func (a *Archive) each(ctx context.Context, fn func(name string, size int64, from io.Reader) error) error {
	if _, err := a.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	z, err := zstd.NewReader(bufio.NewReaderSize(a.file, 1<<18), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer z.Close()
	t := tar.NewReader(z)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			// The compressed stream ends behind the last part, with a checksum of its own.
			if _, err := io.Copy(io.Discard, z); err != nil {
				return a.broken("%v", err)
			}
			return nil
		}
		if err != nil {
			return a.broken("%v", err)
		}
		if h.Typeflag != tar.TypeReg {
			return a.broken("%.80q is not a plain file", h.Name)
		}
		if err := fn(h.Name, h.Size, t); err != nil {
			return err
		}
	}
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
