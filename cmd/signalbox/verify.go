package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/signalbox-ci/signalbox/artifact"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/backup"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/verify"
)

// VerifyCmd is `signalbox admin verify`.
type VerifyCmd struct {
	File string `arg:"" optional:"" help:"A backup to check; default: the data of the server on this machine."`
	place
	Scratch string `help:"Folder to unpack a backup in; it needs as much room as the data." env:"SIGNALBOX_VERIFY_SCRATCH" placeholder:"DIR"`
}

// Help is what --help says beside the flags.
func (*VerifyCmd) Help() string {
	return `It changes nothing, and the server may run meanwhile: all is read in one view. A backup is unpacked into a temporary folder first.
What is sealed is opened with the master key of the backup or, when it has none, of the data folder.

Exit codes: 0 everything holds, 2 something does not, 1 it could not be checked.`
}

func (c *VerifyCmd) Run(ctx context.Context, g *Globals) error {
	dir, o, artifacts, err := c.find(g)
	if err != nil {
		return err
	}
	keys := filepath.Join(dir, auth.MasterKeyFile)
	if c.File != "" {
		scratch, err := os.MkdirTemp(c.Scratch, "signalbox-verify-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(scratch)
		unpacked := filepath.Join(scratch, "data")
		withKey, withArtifacts, err := unpack(ctx, g, c.File, unpacked)
		if err != nil {
			return err
		}
		o, artifacts = store.Options{Dir: unpacked}, ""
		if withArtifacts {
			artifacts = filepath.Join(unpacked, "artifacts")
		}
		if withKey {
			keys = filepath.Join(unpacked, auth.MasterKeyFile)
		}
	}
	all, err := check(ctx, g, o, artifacts, keys)
	if err != nil {
		return err
	}
	if err := g.print(map[string]any{"holds": verify.Holds(all), "invariants": all}, verifyText(all)); err != nil || verify.Holds(all) {
		return err
	}
	return &exitCodeError{code: exitInvalid}
}

func unpack(ctx context.Context, g *Globals, file, dir string) (withKey, withArtifacts bool, err error) {
	a, err := openBackup(ctx, file)
	if err != nil {
		return false, false, err
	}
	defer a.Close()
	_, err = a.Restore(ctx, backup.Target{Dir: dir, Progress: told(g)})
	return a.Manifest.MasterKey != "", a.Manifest.Artifacts.Included, err
}

func check(ctx context.Context, g *Globals, o store.Options, artifacts, keyFile string) (all []verify.Outcome, err error) {
	s, err := store.OpenSnapshot(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	v := verify.Options{Snapshot: s}
	if artifacts != "" {
		v.Artifacts = artifact.ReadFolder(artifacts)
	}
	if _, err := os.Lstat(keyFile); err == nil {
		if v.Keys, err = auth.OpenKeyring(filepath.Dir(keyFile)); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return verify.Run(ctx, v)
}

func verifyText(all []verify.Outcome) string {
	var b strings.Builder
	var rows [][]string
	for _, o := range all {
		state := "holds"
		switch {
		case o.Skipped != "":
			state = "not checked: " + o.Skipped
		case o.Count > 0:
			state = fmt.Sprintf("VIOLATED %d times", o.Count)
		}
		rows = append(rows, []string{o.ID, state, fmt.Sprint(o.Checked), o.About})
	}
	fmt.Fprintln(&b, table([]string{"", "", "CHECKED", "PROMISE"}, rows))
	for _, o := range all {
		for _, v := range o.Violations {
			fmt.Fprintf(&b, "%s: %s %s: %s\n", o.ID, v.Noun, printable(v.ID), printable(v.What))
		}
		if o.Count > len(o.Violations) {
			fmt.Fprintf(&b, "%s: and %d more\n", o.ID, o.Count-len(o.Violations))
		}
	}
	return b.String()
}
