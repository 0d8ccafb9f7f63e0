package agent

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// spool is the log of one job on disk, in the form in which it was printed. The job appends, the pusher reads behind it
// and makes events of it. A record lives here until the server has acknowledged it, so a server that is away costs disk
// and nothing else.
type spool struct {
	path   string // of the records; path + ".meta" says where they go
	file   *os.File
	log    *slog.Logger
	quota  int64         // bytes that are kept at most, 0 is no limit
	keep   bool          // delivered records stay until the end: they are needed once more
	notify chan struct{} // holds one: something was appended or the log was closed

	writing sync.Mutex // held by append, also while it waits for room on the disk
	missing uint64     // bytes that the quota has kept out since the last record
	buf     []byte

	mu       sync.Mutex
	size     int64 // end of the last record
	synced   int64 // what is durable
	freed    int64 // everything before was delivered and takes no room any more
	complete bool  // nothing will be appended any more
}

// spoolMeta is what it takes to deliver a spool after a restart of the agent.
type spoolMeta struct {
	JobID  string  `json:"job_id"`
	URL    string  `json:"url"`
	Token  string  `json:"token"`
	Index  int     `json:"index"`  // events acknowledged
	Bytes  int64   `json:"offset"` // their length in the file
	Freed  int64   `json:"freed"`  // what lies before was given back to the disk
	Upload *upload `json:"upload,omitempty"`
}

const spoolSuffix = ".log"

func createSpool(dir, name string, quota int64, log *slog.Logger) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the log spool: %w", err)
	}
	path := filepath.Join(dir, name+spoolSuffix)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot make the log spool: %w", err)
	}
	return &spool{path: path, file: f, log: log, quota: quota, notify: make(chan struct{}, 1)}, nil
}

// openSpool opens what an earlier process left behind, for more records. A last record that was cut off by a crash is
// taken away: it was never sent, because only durable records are.
func openSpool(path string, log *slog.Logger) (*spool, spoolMeta, error) {
	var meta spoolMeta
	b, err := os.ReadFile(path + ".meta")
	if err != nil {
		return nil, meta, err
	}
	if err := json.Unmarshal(b, &meta); err != nil {
		return nil, meta, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, meta, err
	}
	s := &spool{path: path, file: f, log: log, notify: make(chan struct{}, 1), freed: meta.Freed, size: meta.Bytes}
	info, err := f.Stat()
	if err == nil {
		s.size, err = wholeRecords(f, meta.Bytes, info.Size())
	}
	if err == nil && s.size < info.Size() {
		log.Warn("the end of a log spool was cut off by a crash", "path", path, "bytes", info.Size()-s.size)
		err = f.Truncate(s.size)
	}
	if err != nil {
		f.Close()
		return nil, meta, err
	}
	s.synced = meta.Bytes
	return s, meta, nil
}

// wholeRecords returns where the last whole record before end ends.
func wholeRecords(f io.ReaderAt, offset, end int64) (int64, error) {
	var buf []byte
	for want := 1 << 20; ; {
		n := int(min(int64(want), end-offset))
		if n <= 0 {
			return offset, nil
		}
		if cap(buf) < n {
			buf = make([]byte, n)
		}
		if _, err := f.ReadAt(buf[:n], offset); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		used := 0
		for {
			r, need, err := readRecord(buf[used:n])
			if err != nil || (need > 0 && int64(used+need) > end-offset) {
				return offset + int64(used), nil
			}
			if need > 0 {
				want = max(want, need)
				break
			}
			used += r.size
		}
		offset += int64(used)
	}
}

// Event appends an event that is not output. It never falls to the quota.
func (s *spool) Event(ctx context.Context, e agentapi.Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return s.append(ctx, kindEvent, time.Unix(e.Timestamp, 0), line)
}

// Output appends bytes that a command printed.
func (s *spool) Output(ctx context.Context, at time.Time, b []byte) error {
	return s.append(ctx, kindOutput, at, b)
}

// append writes one record. A full disk does not lose records: it holds the job up until there is room again. Only the
// quota loses output, and says how much.
func (s *spool) append(ctx context.Context, k kind, at time.Time, payload []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	size, freed := s.size, s.freed
	s.mu.Unlock()
	if k == kindOutput && s.quota > 0 && size-freed+int64(len(payload)) > s.quota {
		if s.missing == 0 {
			s.log.Warn("the log of a job has reached its quota; output is dropped until the server takes some of it", "path", s.path, "quota", s.quota)
		}
		s.missing += uint64(len(payload))
		return nil
	}
	s.buf = s.buf[:0]
	if s.missing > 0 {
		s.buf = appendRecord(s.buf, kindGap, at, binary.LittleEndian.AppendUint64(nil, s.missing))
	}
	s.buf = appendRecord(s.buf, k, at, payload)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		_, err := s.file.WriteAt(s.buf, size) // over what a write that failed half way left
		if err == nil {
			break
		}
		s.log.Error("the log of a job cannot be written; the job waits", "path", s.path, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
	s.missing = 0
	s.mu.Lock()
	s.size += int64(len(s.buf))
	s.mu.Unlock()
	if cap(s.buf) > 1<<20 {
		s.buf = nil
	}
	s.wake()
	return nil
}

// sync makes everything durable that was appended so far.
func (s *spool) sync() error {
	s.mu.Lock()
	size, synced := s.size, s.synced
	s.mu.Unlock()
	if size == synced {
		return nil
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("the log of a job cannot be made durable: %w", err)
	}
	s.mu.Lock()
	s.synced = max(s.synced, size)
	s.mu.Unlock()
	return nil
}

// finish says that the log is complete.
func (s *spool) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.complete = true
	s.wake()
}

func (s *spool) wake() {
	select {
	case s.notify <- struct{}{}:
	default:
	}
}

// state returns how much there is, and whether that is all.
func (s *spool) state() (size int64, complete bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size, s.complete
}

// batch is some records as they go over the wire.
type batch struct {
	lines []byte
	n     int
	end   int64 // offset of the record after the last
}

// batch reads whole records from offset on: at most maxEvents and, as lines, about maxBytes, but at least one if there
// is one.
func (s *spool) batch(offset int64, maxEvents, maxBytes int) (batch, error) {
	out := batch{end: offset}
	err := s.records(offset, maxBytes, func(r record) bool {
		if out.lines == nil {
			out.lines = make([]byte, 0, 64<<10)
		}
		out.lines = r.appendLine(out.lines)
		out.n++
		out.end += int64(r.size)
		return out.n < maxEvents && len(out.lines) < maxBytes
	})
	return out, err
}

// text writes the log as plain text.
func (s *spool) text(w io.Writer) error {
	var buf []byte
	var failed error
	offset := int64(0)
	err := s.records(offset, 1<<62, func(r record) bool {
		buf = r.appendText(buf[:0])
		_, failed = w.Write(buf)
		return failed == nil
	})
	return errors.Join(err, failed)
}

// records calls use with the records from offset on, until it returns false, about limit bytes were read, or there are
// no more. It reads a bounded piece at a time.
func (s *spool) records(offset int64, limit int, use func(record) bool) error {
	size, _ := s.state()
	var buf []byte
	for want, read := 256<<10, 0; offset < size && read < limit; {
		n := int(min(int64(want), size-offset))
		if cap(buf) < n {
			buf = make([]byte, n)
		}
		buf = buf[:n]
		if _, err := s.file.ReadAt(buf, offset); err != nil {
			return err
		}
		used := 0
		for {
			r, need, err := readRecord(buf[used:])
			if err != nil {
				return fmt.Errorf("the log spool %s is damaged at byte %d: %w", s.path, offset+int64(used), err)
			}
			if need > 0 {
				want = max(want, need)
				break
			}
			used += r.size
			if !use(r) {
				return nil
			}
		}
		offset += int64(used)
		read += used
	}
	return nil
}

// freeStep is how much room is given back to the disk at once.
const freeStep = 16 << 20

// canFree tells whether enough was delivered before offset to give its room back. The end of a log stays, because a
// process that takes the spool over must see that it is complete.
func (s *spool) canFree(offset int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.keep && !s.complete && offset-s.freed >= freeStep
}

// free gives the room of everything before offset back to the disk. The caller has made durable that it was delivered.
func (s *spool) free(offset int64) {
	s.mu.Lock()
	from := s.freed
	s.mu.Unlock()
	if err := punchHole(s.file, from, offset-from); err != nil {
		return // not every file system can; then the quota counts the whole file
	}
	s.mu.Lock()
	s.freed = offset
	s.mu.Unlock()
}

// saveMeta writes where the spool goes, durably and in one step.
func (s *spool) saveMeta(m spoolMeta) error { return writeJSON(s.path+".meta", m, true) }

func (s *spool) close() error { return s.file.Close() }

// remove deletes the spool because it was delivered. A process that ends half way leaves records that go nowhere, which
// the next one removes.
func (s *spool) remove() error {
	return errors.Join(s.close(), os.Remove(s.path+".meta"), os.Remove(s.path))
}

// leftSpools lists the spools in dir.
func leftSpools(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), spoolSuffix) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out
}

// writeJSON replaces a private file in one step; when it returns, durable means that it survives a power loss.
func writeJSON(path string, v any, durable bool) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && durable {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil || !durable {
		return err
	}
	return syncDir(filepath.Dir(path))
}
