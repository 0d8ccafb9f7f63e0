package project

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/store"
)

// Request is what somebody says of a new project.
type Request struct {
	Name, Address, Branch string
	File                  string   // the pipeline file that is there, "" is the usual place
	Commit                bool     // add a first pipeline file to the repository
	Language              Language // for that file
	AgentType             string   // likewise
	Run                   bool     // start the first workflow
	By                    *signalbox.User
}

// Added is what has become of a request. Workflow is nil when none was started, and then Problem may say why.
type Added struct {
	Project  *signalbox.Project
	Workflow *signalbox.Workflow
	Problem  string
}

// Add makes a project, its first pipeline file and its first workflow. What goes wrong after the project is there is told and
// takes nothing back: all of it can be done again.
func (c *Projects) Add(ctx context.Context, r Request, actor string) (*Added, error) {
	p := &signalbox.Project{Name: strings.TrimSpace(r.Name), GitURL: strings.TrimSpace(r.Address), DefaultBranch: strings.TrimSpace(r.Branch), PipelineFile: r.File}
	if r.Commit {
		if err := c.hasAgentType(ctx, r.AgentType); err != nil {
			return nil, err
		}
	}
	if err := c.Create(ctx, p, nil, actor); err != nil {
		return nil, err
	}
	a := &Added{Project: p}
	if r.Commit {
		change := forge.Change{
			Branch: p.DefaultBranch, File: p.PipelineFile, Message: "Add a first pipeline", Text: Starter(p.Name, r.Language, r.AgentType),
			Author: r.By.Name, Email: r.By.Email,
		}
		if _, err := (&forge.Repo{Dir: p.GitDir}).CommitFile(ctx, change); err != nil {
			a.Problem = "The pipeline file was not added: " + signalbox.ErrorMessage(err)
			return a, nil
		}
		// The commit is a move of the branch like any other, but nobody pushed it: it is looked for at once, so that it counts once
		// and starts the first workflow.
		if err := c.o.Trigger.Deliver(ctx, p); err != nil {
			a.Problem = "The pipeline file was added, but no workflow started: " + signalbox.ErrorMessage(err)
			return a, nil
		}
		err := c.o.Store.Read(ctx, func(tx *store.Tx) error {
			all, err := tx.Workflows(store.WorkflowFilter{ProjectID: p.ID, Limit: 1})
			if len(all) > 0 {
				a.Workflow = all[0]
			}
			return err
		})
		return a, err
	}
	if r.Run {
		w, err := c.Run(ctx, p, signalbox.RunRequest{Requester: r.By.Name, Actor: actor})
		if err != nil {
			a.Problem = "No workflow was started: " + signalbox.ErrorMessage(err)
			return a, nil
		}
		a.Workflow = w
	}
	return a, nil
}

func (c *Projects) hasAgentType(ctx context.Context, name string) error {
	err := c.o.Store.Read(ctx, func(tx *store.Tx) error { _, err := tx.AgentType(name); return err })
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return signalbox.Errorf(signalbox.CodeInvalid, "there is no agent type %.100q; choose one that is there", name)
	}
	return err
}

// demo is a pipeline that runs on any agent that has a shell: it fetches nothing.
var demo = starter{block: "Hello", jobs: []starterJob{
	{"greet", []string{`echo "Hello from $SEMAPHORE_PROJECT_NAME"`, `echo "This is commit $SEMAPHORE_GIT_SHA of branch $SEMAPHORE_GIT_BRANCH"`}},
	{"look around", []string{"uname -a", "pwd", "date"}},
}}

// Demo makes a small repository in the server's own folder, a project of it and its first workflow.
func (c *Projects) Demo(ctx context.Context, agentType string, by *signalbox.User, actor string) (*Added, error) {
	if c.o.Dir == "" {
		return nil, signalbox.Errorf(signalbox.CodeUnavailable, "this server makes no demo projects")
	}
	if err := c.hasAgentType(ctx, agentType); err != nil {
		return nil, err
	}
	name, err := c.freeName(ctx, "demo")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of demo repositories: %w", err)
	}
	bare := filepath.Join(c.o.Dir, name+"-"+signalbox.NewID()+".git")
	work, err := os.MkdirTemp("", "signalbox-demo-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	file := filepath.Join(work, filepath.FromSlash(signalbox.DefaultPipelineFile))
	readme := "This repository was made by the server. Its pipeline is in " + signalbox.DefaultPipelineFile + "; clone it, change that, push, and see what happens.\n"
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	for path, text := range map[string][]byte{file: demo.file(name, agentType, nil), filepath.Join(work, "README.md"): []byte(readme)} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return nil, err
		}
	}
	if err := forge.Publish(ctx, work, bare, "A first pipeline"); err != nil {
		return nil, err
	}
	if err := forge.Push(ctx, work); err != nil {
		return nil, err
	}
	return c.Add(ctx, Request{Name: name, Address: bare, Branch: "main", Run: true, By: by}, actor)
}

// freeName is a name that no project has: the one that is given, or one with a number.
func (c *Projects) freeName(ctx context.Context, name string) (string, error) {
	taken := map[string]bool{}
	if err := c.o.Store.Read(ctx, func(tx *store.Tx) error {
		all, err := tx.Projects()
		for _, p := range all {
			taken[p.Name] = true
		}
		return err
	}); err != nil {
		return "", err
	}
	return Free(name, taken), nil
}

// Free is a name that is not taken.
func Free(name string, taken map[string]bool) string {
	free := name
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}
