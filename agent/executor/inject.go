//go:build unix

package executor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// injected is a file that Close takes away again, or puts back as it was.
type injected struct {
	path   string
	backup string // "": there was no file before
	mode   os.FileMode
}

// Inject writes one file for the job. It stays until Close.
func (s *Shell) Inject(f File, emit Emit) (int, error) {
	path := s.resolve(f.Path)
	if err := emit([]byte(fmt.Sprintf("Injecting %s with file mode %s\n", path, f.Mode))); err != nil {
		return 1, err
	}
	if problem := s.inject(path, f); problem != "" {
		return 1, emit([]byte(problem + "\n"))
	}
	return 0, nil
}

func (s *Shell) inject(path string, f File) (problem string) {
	mode, err := strconv.ParseUint(f.Mode, 8, 32)
	if err != nil || mode > 0o7777 {
		return fmt.Sprintf("bad file permission '%s'", f.Mode)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Sprintf("Failed to create directory '%s': %v", dir, err)
	}
	if err := s.remember(path); err != nil {
		return fmt.Sprintf("Failed to keep a copy of '%s': %v", path, err)
	}
	// Nobody else may read the content before the mode is set, so a new file begins with 0600.
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Sprintf("Failed to create destination path '%s': %v", path, err)
	}
	_, err = out.Write(f.Content)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Sprintf("Failed to write '%s': %v", path, err)
	}
	if err := os.Chmod(path, os.FileMode(mode&0o777)|special(mode)); err != nil {
		return fmt.Sprintf("Failed to set file mode '%s' for '%s': %v", f.Mode, path, err)
	}
	return ""
}

func special(mode uint64) (m os.FileMode) {
	for bit, flag := range map[uint64]os.FileMode{0o4000: os.ModeSetuid, 0o2000: os.ModeSetgid, 0o1000: os.ModeSticky} {
		if mode&bit != 0 {
			m |= flag
		}
	}
	return m
}

func (s *Shell) resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.home(), strings.TrimPrefix(path, "~"))
}

// home is the home directory as the shell of the job sees it.
func (s *Shell) home() string {
	for i := len(s.env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(s.env[i], "HOME="); ok && v != "" {
			return v
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "/"
	}
	return home
}

// remember notes what to do about path at the end: a copy of what is there now is kept in the private directory.
func (s *Shell) remember(path string) error {
	for _, f := range s.files {
		if f.path == path {
			return nil
		}
	}
	f := injected{path: path}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	case info.Mode().IsRegular():
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f.backup, f.mode = s.path("backup-"+strconv.Itoa(len(s.files))), info.Mode()
		if err := os.WriteFile(f.backup, content, 0o600); err != nil {
			return err
		}
	default:
		return nil // a device or a directory is left alone
	}
	s.files = append(s.files, f)
	return nil
}

func (f injected) undo() error {
	if f.backup == "" {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	content, err := os.ReadFile(f.backup)
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.path, content, 0o600); err != nil {
		return err
	}
	return os.Chmod(f.path, f.mode)
}

// removeAll also removes trees with directories that may not be written, as module caches leave behind.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
