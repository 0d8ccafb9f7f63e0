package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

const (
	logFileSize = 10 << 20
	logFileOld  = 3
)

// logFile is a log on disk that does not grow without end: a full file becomes NAME.1, the one before NAME.2, and so on.
type logFile struct {
	path string
	size int64 // limit of one file

	mu   sync.Mutex
	file *os.File
	used int64
}

func openLogFile(path string, size int64) (*logFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("the folder of the log file cannot be made: %w", err)
	}
	l := &logFile{path: path, size: size}
	return l, l.open()
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("the log file cannot be opened (--log-file or SEMAPHORE_AGENT_LOG_FILE_PATH names it): %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.file, l.used = f, info.Size()
	return nil
}

// Write implements io.Writer. slog writes one record at a time, so files are changed between records.
func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || l.used > 0 && l.used+int64(len(b)) > l.size {
		if err := l.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(b)
	l.used += int64(n)
	return n, err
}

func (l *logFile) rotate() error {
	if l.file != nil {
		l.file.Close()
		l.file = nil
		for i := logFileOld; i > 0; i-- {
			from := l.path
			if i > 1 {
				from += "." + strconv.Itoa(i-1)
			}
			if err := os.Rename(from, l.path+"."+strconv.Itoa(i)); err != nil && !errors.Is(err, os.ErrNotExist) {
				break // then the file grows on, which is better than no log
			}
		}
	}
	return l.open()
}

func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// both writes to two places; the first does not suffer when the second fails.
type both struct{ first, second io.Writer }

func (w both) Write(b []byte) (int, error) {
	_, _ = w.second.Write(b)
	return w.first.Write(b)
}

// logger is the agent's log: standard error, and the log file when there is one.
func (c *AgentStartCmd) logger(g *Globals) (*slog.Logger, func(), error) {
	out, closeFile := g.err, func() {}
	if c.LogFile != "" {
		f, err := openLogFile(c.LogFile, logFileSize)
		if err != nil {
			return nil, nil, err
		}
		out, closeFile = both{g.err, f}, func() { f.Close() }
	}
	var l slog.Level
	_ = l.UnmarshalText([]byte(g.LogLevel)) // kong has checked it
	o := &slog.HandlerOptions{Level: l}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, o)), closeFile, nil
	}
	return slog.New(slog.NewTextHandler(out, o)), closeFile, nil
}
