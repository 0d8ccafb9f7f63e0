//go:build unix

package executor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// injected is a file that Close takes away again, or puts back as it was.
type injected struct {
	Path   string      `json:"path"`
	Backup string      `json:"backup,omitempty"` // a copy in the private directory; "": there was no file before
	Mode   os.FileMode `json:"mode,omitempty"`
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
	if strings.ContainsRune(path, 0) {
		return fmt.Sprintf("Failed to create destination path %q: a path cannot hold a NUL byte", path)
	}
	if err := s.remember(path); err != nil {
		return fmt.Sprintf("Failed to keep a copy of '%s': %v", path, err)
	}
	return place(path, f.Content, os.FileMode(mode&0o777)|special(mode), s.opts.User)
}

// place writes a file as user, nil being the user of this process. What it returns is a sentence, "" when all is well.
func place(path string, content []byte, mode os.FileMode, user *User) (problem string) {
	dir := filepath.Dir(path)
	if user != nil {
		// With the rights of root, a link that the user has put there could lead anywhere.
		code, _, said := user.run(content, `mkdir -p -m 0750 -- "$1" || exit 11; umask 077; cat >"$2" || exit 12; chmod -- "$3" "$2" || exit 13`,
			dir, path, strconv.FormatUint(uint64(octal(mode)), 8))
		switch code {
		case 0:
			return ""
		case 11:
			return fmt.Sprintf("Failed to create directory '%s': %s", dir, said)
		case 13:
			return fmt.Sprintf("Failed to set file mode '%o' for '%s': %s", octal(mode), path, said)
		}
		return fmt.Sprintf("Failed to create destination path '%s': %s", path, said)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Sprintf("Failed to create directory '%s': %v", dir, err)
	}
	// Nobody else may read the content before the mode is set, so a new file begins with 0600.
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return fmt.Sprintf("Failed to create destination path '%s': %v", path, err)
	}
	_, err = out.Write(content)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Sprintf("Failed to write '%s': %v", path, err)
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Sprintf("Failed to set file mode '%o' for '%s': %v", octal(mode), path, err)
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

func octal(m os.FileMode) uint32 {
	mode := uint32(m.Perm())
	for bit, flag := range map[uint32]os.FileMode{0o4000: os.ModeSetuid, 0o2000: os.ModeSetgid, 0o1000: os.ModeSticky} {
		if m&flag != 0 {
			mode |= bit
		}
	}
	return mode
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
		if f.Path == path {
			return nil
		}
	}
	f := injected{Path: path}
	content, mode, err := readAs(path, s.opts.User)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case errors.Is(err, syscall.ENOTDIR):
		return nil // which writing it will say better
	case errors.Is(err, errNotRegular):
		return nil // a device or a directory is left alone
	case err != nil:
		return err
	default:
		f.Backup, f.Mode = s.path("backup-"+strconv.Itoa(len(s.files))), mode
		if err := os.WriteFile(f.Backup, content, 0o600); err != nil {
			return err
		}
	}
	s.files = append(s.files, f)
	s.left.Files = s.files
	return s.left.save(s.opts.Dir)
}

var errNotRegular = errors.New("it is no regular file")

// readAs reads a file with the rights of user, nil being the user of this process.
func readAs(path string, user *User) (content []byte, mode os.FileMode, err error) {
	if user == nil {
		info, err := os.Stat(path)
		if err != nil {
			return nil, 0, err
		}
		if !info.Mode().IsRegular() {
			return nil, 0, errNotRegular
		}
		content, err = os.ReadFile(path)
		return content, info.Mode(), err
	}
	code, out, said := user.run(nil, `[ -e "$1" ] || [ -L "$1" ] || exit 11; [ -f "$1" ] || exit 12; stat -c %a -- "$1" && cat -- "$1"`, path)
	switch code {
	case 0:
		line, rest, _ := bytes.Cut(out, []byte("\n"))
		n, err := strconv.ParseUint(string(line), 8, 32)
		return rest, os.FileMode(n&0o777) | special(n), err
	case 11:
		return nil, 0, os.ErrNotExist
	case 12:
		return nil, 0, errNotRegular
	}
	return nil, 0, errors.New(said)
}

// run runs a little script of ours as the user.
func (u *User) run(input []byte, script string, args ...string) (code int, out []byte, said string) {
	cmd := exec.Command("bash", append([]string{"--noprofile", "--norc", "-c", script, "bash"}, args...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + u.Home, "USER=" + u.Name}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}}
	cmd.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	said = strings.TrimSpace(stderr.String())
	if err != nil && said == "" {
		said = err.Error()
	}
	return exitStatus(cmd.ProcessState, err), stdout.Bytes(), said
}

// undoAll takes injected files away again, the last first.
func undoAll(files []injected, user *User) error {
	var errs []error
	for i := len(files) - 1; i >= 0; i-- {
		errs = append(errs, files[i].undo(user))
	}
	return errors.Join(errs...)
}

func (f injected) undo(user *User) error {
	if f.Backup == "" {
		if user != nil {
			if code, _, said := user.run(nil, `rm -f -- "$1"`, f.Path); code != 0 {
				return errors.New(said)
			}
			return nil
		}
		if err := os.Remove(f.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	content, err := os.ReadFile(f.Backup)
	if err != nil {
		return err
	}
	if problem := place(f.Path, content, f.Mode, user); problem != "" {
		return errors.New(problem)
	}
	return nil
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
