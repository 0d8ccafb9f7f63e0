package agent

import (
	"bytes"
	"context"
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

// spool is the log of one job on disk: one event a line. The job appends, the pusher reads behind it. Events live
// here until the server has acknowledged all of them, so a server that is away costs disk and nothing else.
type spool struct {
	path   string // of the lines; path + ".meta" says where they go
	file   *os.File
	log    *slog.Logger
	notify chan struct{} // holds one: something was appended or the log was closed

	mu       sync.Mutex
	size     int64
	synced   time.Time
	complete bool // nothing will be appended any more
}

// spoolMeta is what it takes to deliver a spool after a restart of the agent.
type spoolMeta struct {
	JobID string `json:"job_id"`
	URL   string `json:"url"`
	Token string `json:"token"`
	Index int    `json:"index"`  // events acknowledged
	Bytes int64  `json:"offset"` // their length in the file
}

func createSpool(dir, name string, log *slog.Logger) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the log spool: %w", err)
	}
	path := filepath.Join(dir, name+".jsonl")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot make the log spool: %w", err)
	}
	return &spool{path: path, file: f, log: log, notify: make(chan struct{}, 1), synced: time.Now()}, nil
}

// openSpool opens what an earlier process left behind. A last line that was cut off by a crash is not delivered.
func openSpool(path string, log *slog.Logger) (*spool, spoolMeta, error) {
	var meta spoolMeta
	b, err := os.ReadFile(path + ".meta")
	if err != nil {
		return nil, meta, err
	}
	if err := json.Unmarshal(b, &meta); err != nil {
		return nil, meta, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, meta, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, meta, err
	}
	s := &spool{path: path, file: f, log: log, notify: make(chan struct{}, 1), size: info.Size(), complete: true}
	return s, meta, nil
}

// append writes one event. A full disk does not lose events: it holds the job up until there is room again.
func (s *spool) append(ctx context.Context, e agentapi.Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	s.mu.Lock()
	defer s.mu.Unlock()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		_, err := s.file.WriteAt(line, s.size) // over what a write that failed half way left
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
	s.size += int64(len(line))
	if now := time.Now(); now.Sub(s.synced) > time.Second || e.Event == agentapi.EventJobFinished {
		if err := s.file.Sync(); err != nil {
			s.log.Error("the log of a job cannot be made durable", "path", s.path, "error", err)
		}
		s.synced = now
	}
	s.wake()
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

// batch returns whole lines from offset on, at most maxEvents and about maxBytes, but at least one if there is one.
func (s *spool) batch(offset int64, maxEvents, maxBytes int) (lines []byte, n int, err error) {
	size, _ := s.state()
	for want := int64(maxBytes); ; want *= 2 {
		buf := make([]byte, min(want, size-offset))
		if len(buf) == 0 {
			return nil, 0, nil
		}
		if _, err := s.file.ReadAt(buf, offset); err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
		end := 0
		for n < maxEvents {
			i := bytes.IndexByte(buf[end:], '\n')
			if i < 0 {
				break
			}
			end += i + 1
			n++
		}
		if n > 0 || int64(len(buf)) < want {
			return buf[:end], n, nil
		}
	}
}

// saveMeta writes where the spool goes, in one step.
func (s *spool) saveMeta(m spoolMeta) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path+".meta.new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(s.path+".meta.new", s.path+".meta")
}

func (s *spool) close() error { return s.file.Close() }

// remove deletes the spool because it was delivered.
func (s *spool) remove() error {
	return errors.Join(s.close(), os.Remove(s.path), os.Remove(s.path+".meta"))
}

// leftSpools lists the spools in dir.
func leftSpools(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".jsonl") {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out
}
