package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/backup"
	"github.com/signalbox-ci/signalbox/store"
)

// place is where the data of a server lies, named by the settings that the server itself has.
type place struct {
	Database    string `help:"PostgreSQL URL, as of the server; without it the database lies in the data folder." env:"SIGNALBOX_DATABASE" placeholder:"URL"`
	ArtifactDir string `help:"Folder for the files that jobs push; default: artifacts in the data folder." name:"artifact-dir" env:"SIGNALBOX_ARTIFACT_DIR" placeholder:"DIR"`
}

// find returns the data folder, the databases and the folder for artifacts.
func (p *place) find(g *Globals) (dir string, o store.Options, artifacts string, err error) {
	if dir, err = g.dataDir(); err != nil {
		return "", o, "", err
	}
	o, artifacts = store.Options{Dir: dir}, p.ArtifactDir
	if p.Database != "" {
		o = store.Options{URL: p.Database}
	}
	if artifacts == "" {
		artifacts = filepath.Join(dir, "artifacts")
	}
	return dir, o, artifacts, nil
}

// told prints what is done to standard error, now and then.
func told(g *Globals) func(about string, done, bytes int64) {
	last := time.Now()
	return func(about string, done, bytes int64) {
		if time.Since(last) < 2*time.Second {
			return
		}
		last = time.Now()
		text := fmt.Sprintf("%s: %d", about, done)
		if bytes > 0 {
			text += fmt.Sprintf(", %d MB written", bytes/1e6)
		}
		fmt.Fprintln(g.err, text)
	}
}

// BackupCmd is `signalbox admin backup`.
type BackupCmd struct {
	File string `arg:"" help:"The file to write, or - for standard output."`
	place
	WithKey          bool `help:"Put the master key into the file too. Whoever has such a file has all secrets." name:"with-key" env:"SIGNALBOX_BACKUP_WITH_KEY"`
	WithoutArtifacts bool `help:"Leave out the files that jobs pushed, where their folder is backed up otherwise." name:"without-artifacts" env:"SIGNALBOX_BACKUP_WITHOUT_ARTIFACTS"`
	Force            bool `help:"Replace the file if it is there." env:"SIGNALBOX_BACKUP_FORCE"`
}

// Help is what --help says beside the flags.
func (*BackupCmd) Help() string {
	return `It reads the data folder and the database itself, so run it on the server's machine and as the server's user; the server may
run or not. The file has the state of one moment: the one when the command began. It appears under its name when it is complete.

THE MASTER KEY IS NOT IN THE FILE. Without master.key of the data folder, a restored server cannot open its secrets. Keep a copy of
it at another place than the backups, or use --with-key and guard the file as you would guard all your secrets.

Exit codes: 0 the backup is complete, 1 it is not and no file was written, 2 there is no database, 11 interrupted.`
}

func (c *BackupCmd) Run(ctx context.Context, g *Globals) error {
	dir, o, artifacts, err := c.find(g)
	if err != nil {
		return err
	}
	b := backup.Options{Store: o, ArtifactDir: artifacts, Program: version, Progress: told(g)}
	if c.WithoutArtifacts {
		b.ArtifactDir = ""
	}
	if c.WithKey {
		b.KeyFile = filepath.Join(dir, auth.MasterKeyFile)
	}
	out := struct {
		File string `json:"file"`
		Size int64  `json:"size"`
		*backup.Manifest
	}{File: c.File}
	if c.File == "-" {
		count := &counter{to: g.out}
		out.Manifest, err = backup.Write(ctx, b, count)
		out.Size = count.n
	} else {
		out.Manifest, out.Size, err = backup.WriteFile(ctx, b, c.File, c.Force)
	}
	if err != nil {
		return err
	}
	for _, name := range out.Artifacts.Lost {
		fmt.Fprintf(g.err, "warning: the content of artifact %s is missing on the disk; the backup is complete without it\n", name)
	}
	if c.File == "-" {
		g.out = g.err
	}
	key := "The master key is not in it: keep a copy of " + filepath.Join(dir, auth.MasterKeyFile) + " elsewhere."
	if c.WithKey {
		key = "The master key is in it: guard it as you guard your secrets."
	}
	return g.print(out, fmt.Sprintf("Wrote %s: %d rows, %d artifacts, %d bytes. %s\n", c.File, out.Rows(), out.Artifacts.Count, out.Size, key))
}

type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}

// RestoreCmd is `signalbox admin restore`.
type RestoreCmd struct {
	File string `arg:"" help:"A file that signalbox admin backup has written."`
	place
}

// Help is what --help says beside the flags.
func (*RestoreCmd) Help() string {
	return `The data folder must be empty or not there; it may hold master.key, which you put there unless the backup has it. A PostgreSQL
database must be new. The whole file is checked before anything is touched. A backup of a server on SQLite can be restored into
PostgreSQL, and the other way round.

Start the server afterwards as usual. Agents come back by themselves as long as they find it under the same address.

Exit codes: 0 restored, 1 nothing was changed, 2 there is no such file.`
}

func (c *RestoreCmd) Run(ctx context.Context, g *Globals) error {
	dir, _, artifacts, err := c.find(g)
	if err != nil {
		return err
	}
	a, err := openBackup(ctx, c.File)
	if err != nil {
		return err
	}
	defer a.Close()
	left, err := a.Restore(ctx, backup.Target{Dir: dir, DatabaseURL: c.Database, ArtifactDir: artifacts, Progress: told(g)})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("Restored %d rows and %d artifacts of %s into %s.\n", a.Manifest.Rows(), a.Manifest.Artifacts.Count, a.Manifest.At.Format(time.RFC3339), dir)
	if _, err := os.Lstat(filepath.Join(dir, auth.MasterKeyFile)); errors.Is(err, fs.ErrNotExist) {
		text += "There is no master key yet: before the first start, put the old master.key there, mode 0600. Without it secrets cannot be opened.\n"
	}
	if !a.Manifest.Artifacts.Included {
		text += "The backup has no artifacts: put their folder back at " + artifacts + ".\n"
	}
	out := struct {
		Dir string `json:"dir"`
		backup.Restored
		*backup.Manifest
	}{dir, left, a.Manifest}
	return g.print(out, text+"Check it with signalbox admin verify, then start the server.\n")
}

func openBackup(ctx context.Context, name string) (*backup.Archive, error) {
	a, err := backup.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "there is no file %s", name)
	}
	return a, err
}
