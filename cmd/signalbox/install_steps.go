package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// mayInstall tells before the first step when the rights or the user are missing.
func mayInstall(name string) error {
	if runtime.GOOS != "windows" && os.Geteuid() != 0 {
		return errors.New("a service can be made by root only: use sudo, or look at what would be done with --dry-run")
	}
	if name == "" {
		return nil
	}
	if _, err := user.Lookup(name); err != nil {
		return fmt.Errorf("there is no user %s: make one first (useradd --system --create-home %s)", name, name)
	}
	return nil
}

// carryOut prints a plan and does it, step by step. Below a root, files are real, and neither owners nor commands are.
func carryOut(out io.Writer, plan []step, dry bool, root string) error {
	for _, s := range plan {
		if dry {
			fmt.Fprintln(out, "would", s)
			continue
		}
		fmt.Fprintln(out, s)
		if err := s.do(root); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	if dry {
		fmt.Fprintln(out, "Nothing was done.")
	}
	return nil
}

func (s step) do(root string) error {
	at := func(path string) string {
		if root == "" {
			return path
		}
		return filepath.Join(root, filepath.FromSlash(strings.NewReplacer(`C:\`, "/", `\`, "/").Replace(path)))
	}
	switch {
	case s.dir != "":
		if err := os.MkdirAll(at(s.dir), s.mode); err != nil {
			return err
		}
		return s.settle(at(s.dir), root)
	case s.write != "":
		return s.put(at(s.write), root, strings.NewReader(s.content))
	case s.copy != "":
		from, err := os.Open(s.content)
		if err != nil {
			return err
		}
		defer from.Close()
		return s.put(at(s.copy), root, from)
	case s.remove != "":
		return os.RemoveAll(at(s.remove))
	}
	if root != "" {
		return nil
	}
	text, err := exec.Command(s.run[0], s.run[1:]...).CombinedOutput()
	if err != nil && !s.mayFail {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(text)))
	}
	return nil
}

// put replaces a file in one step; nobody sees half of it, nor its content before its rights are set.
func (s step) put(path, root string, content io.Reader) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".signalbox-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = io.Copy(f, content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := s.settle(f.Name(), root); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// settle sets owner and mode.
func (s step) settle(path, root string) error {
	if s.owner != "" && root == "" {
		u, err := user.Lookup(s.owner)
		if err != nil {
			return err
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return err
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return err
		}
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, s.mode)
}
