package project

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/spec"
)

// Look is what a repository holds, before it is a project.
type Look struct {
	Address  string
	Local    bool // it lies on the server's machine
	Bare     bool // and the server may add a commit to it
	Branches []string
	Branch   string   // the one that was looked at
	Name     string   // what the project could be called
	Files    []string // pipeline files that are there
	File     string   // the first of them, "" when there is none
	Problems string   // what is wrong with it, "" when nothing is
	Warnings int
	Language Language
}

// lookLimit bounds how long looking at a repository elsewhere may take.
const lookLimit = 2 * time.Minute

// Look reads a repository on this machine or elsewhere; branch "" is the default one. Nothing is kept of it.
func (c *Projects) Look(ctx context.Context, address, branch string) (*Look, error) {
	p := &signalbox.Project{GitURL: strings.TrimSpace(address)}
	if err := locate(p); err != nil {
		return nil, err
	}
	l := &Look{Address: p.GitURL, Local: p.GitDir != "", Name: nameOf(p.GitURL)}
	repo := &forge.Repo{Dir: p.GitDir}
	if !l.Local {
		dir, err := os.MkdirTemp("", "signalbox-look-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		ctx, cancel := context.WithTimeout(ctx, lookLimit)
		defer cancel()
		if repo, err = forge.Mirror(ctx, p.GitURL, filepath.Join(dir, "repository.git")); err != nil {
			return nil, err
		}
	}
	return l, l.read(ctx, repo, branch)
}

func (l *Look) read(ctx context.Context, repo *forge.Repo, branch string) (err error) {
	if l.Local {
		if l.Bare, err = repo.Bare(ctx); err != nil {
			return err
		}
	}
	refs, err := repo.Refs(ctx)
	if err != nil {
		return err
	}
	for ref := range refs {
		if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
			l.Branches = append(l.Branches, name)
		}
	}
	slices.Sort(l.Branches)
	if l.Branch = branch; l.Branch == "" {
		if l.Branch, err = repo.DefaultBranch(ctx); err != nil {
			return err
		}
	}
	if l.Branch == "" {
		l.Branch = "main"
	}
	sha := refs["refs/heads/"+l.Branch]
	if sha == "" && len(l.Branches) > 0 {
		return signalbox.Errorf(signalbox.CodeInvalid, "the repository has no branch %.100q; its branches are %s", l.Branch, strings.Join(l.Branches[:min(5, len(l.Branches))], ", "))
	}
	if sha == "" {
		return nil // nothing was pushed yet
	}
	top, err := repo.Files(ctx, sha, "")
	if err != nil {
		return err
	}
	l.Language = languageOf(top)
	folder := path.Dir(signalbox.DefaultPipelineFile)
	names, err := repo.Files(ctx, sha, folder)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasSuffix(n, ".yml") || strings.HasSuffix(n, ".yaml") {
			l.Files = append(l.Files, path.Join(folder, n))
		}
	}
	l.File = first(l.Files)
	if l.File == "" {
		return nil
	}
	text, err := repo.FileAt(ctx, sha, l.File)
	if err != nil {
		return err
	}
	res := spec.Parse(text, spec.Options{File: l.File})
	if res.Problems.HasErrors() {
		l.Problems = res.Problems.Error()
	}
	return nil
}

// first is the pipeline file with which everything begins.
func first(files []string) string {
	if slices.Contains(files, signalbox.DefaultPipelineFile) {
		return signalbox.DefaultPipelineFile
	}
	return ""
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// nameOf is what a project of an address could be called.
func nameOf(address string) string {
	address = strings.TrimSuffix(strings.TrimRight(address, "/"), ".git")
	address = strings.TrimSuffix(strings.TrimRight(address, "/"), "/")
	if i := strings.LastIndexAny(address, "/:"); i >= 0 {
		address = address[i+1:]
	}
	name := strings.Trim(notInName.ReplaceAllString(address, "-"), "-.")
	return name[:min(len(name), 100)]
}
