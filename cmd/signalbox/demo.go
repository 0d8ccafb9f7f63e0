package main

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agent"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/server"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
)

//go:embed all:demo
var demoFiles embed.FS

// DemoCmd is `signalbox demo`.
type DemoCmd struct {
	Once   bool   `help:"Leave when the pipeline has ended, with its result as exit code." env:"SIGNALBOX_ONCE"`
	Listen string `help:"Address of the demo's server." default:"127.0.0.1:0" env:"SIGNALBOX_LISTEN" placeholder:"ADDR"`
}

// Help is what --help says beside the flags.
func (*DemoCmd) Help() string {
	return "Starts a server and an agent in a temporary folder, makes a git repository with a small program and a pipeline of four blocks, " +
		"pushes to it, and follows the workflow that the push starts."
}

func (c *DemoCmd) Run(ctx context.Context, g *Globals) (err error) {
	dir, err := os.MkdirTemp("", "signalbox-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	g.Data, g.Server = filepath.Join(dir, "data"), ""
	d := &demo{g: g, dir: dir, admin: setup.Request{Name: "demo", Email: "demo@localhost", Password: rand.Text(), Organization: "Demo"}}
	if g.LogLevel == "info" {
		g.LogLevel = "warn" // the demo tells its own story
	}
	hook, err := hookCommand(g.Data)
	if err != nil {
		return err
	}
	d.server, err = server.New(ctx, server.Options{Dir: g.Data, Listen: c.Listen, HookCommand: hook, Admin: &d.admin, Logger: g.logger()})
	if err != nil {
		return err
	}
	work, stop := context.WithCancel(ctx)
	group, work := errgroup.WithContext(work)
	group.Go(func() error { return d.server.Run(work) })
	result := ""
	group.Go(func() error {
		defer stop()
		var err error
		if result, err = d.story(work); err != nil || c.Once {
			return err
		}
		fmt.Fprintf(g.out, "\nThe server goes on: look at %s, or push to %s.\nEnd the demo with Ctrl-C.\n", d.server.URL(), d.bare())
		<-work.Done()
		return nil
	})
	err = group.Wait()
	stop()
	err = errors.Join(err, d.server.Close())
	if errors.Is(err, context.Canceled) && ctx.Err() != nil && !c.Once {
		err = nil // ended by hand
	}
	if err != nil || !c.Once {
		return err
	}
	return resultError(result)
}

type demo struct {
	g      *Globals
	dir    string
	admin  setup.Request
	server *server.Server
	api    *client
}

func (d *demo) bare() string { return filepath.Join(d.dir, "wordfreq.git") }
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.g.out, "• "+format+"\n", args...)
}

// story does what a person would do, step by step, and returns the pipeline's result.
func (d *demo) story(ctx context.Context) (string, error) {
	token, err := os.ReadFile(filepath.Join(d.g.Data, server.LocalTokenFile))
	if err != nil {
		return "", err
	}
	g := *d.g
	g.Server, g.APIToken, g.CAFile = d.server.URL(), strings.TrimSpace(string(token)), d.server.CAFile()
	if d.api, err = g.client(); err != nil {
		return "", err
	}
	d.say("a server answers at %s (user %s, password %s)", d.server.URL(), d.admin.Name, d.admin.Password)

	leave, err := d.startAgent(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	projectID, err := d.makeProject(ctx)
	if err != nil {
		return "", err
	}
	wake, stop := d.server.Store().Watch(store.KeyProject(projectID))
	defer stop()
	if err := forge.Push(ctx, filepath.Join(d.dir, "wordfreq")); err != nil {
		return "", err
	}
	d.say("pushed a commit to %s", d.bare())
	for {
		var p *signalbox.Pipeline
		if err := d.server.Store().Read(ctx, func(tx *store.Tx) error {
			all, err := tx.Pipelines(store.PipelineFilter{ProjectID: projectID, Limit: 1})
			if len(all) > 0 {
				p = all[0]
			}
			return err
		}); err != nil {
			return "", err
		}
		if p != nil {
			d.say("the push started a workflow: %s/workflows/%s\n", d.server.URL(), p.WorkflowID)
			end, err := follow(ctx, d.api, p.ID, d.g.out)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(d.g.out, "Its page: %s/workflows/%s\n", d.server.URL(), p.WorkflowID)
			return end.Pipeline.Result, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// startAgent makes an agent type and runs an agent of it in this process, as `signalbox agent start` would.
func (d *demo) startAgent(ctx context.Context) (leave func(), err error) {
	var t agentType
	in := map[string]any{"metadata": map[string]any{"name": "s1-demo"}}
	if err := d.api.call(ctx, http.MethodPost, agentTypes, in, &t); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	a, err := agent.New(agent.Config{
		Program:  program,
		Endpoint: strings.TrimPrefix(d.server.URL(), "https://"), CAFile: d.server.CAFile(), Token: t.Status.RegistrationToken,
		Name: "demo-agent", Version: version, StateDir: filepath.Join(d.dir, "agent"), Workspace: filepath.Join(d.dir, "jobs"),
		Logger: d.g.logger(),
	})
	if err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := a.Run(run); err != nil && run.Err() == nil {
			fmt.Fprintln(d.g.err, "signalbox: the demo's agent:", err)
		}
	}()
	d.say("an agent of type s1-demo is connected; on another machine that would be:\n    signalbox agent start --endpoint %s --ca-file %s --token ...",
		strings.TrimPrefix(d.server.URL(), "https://"), d.server.CAFile())
	return func() {
		a.Interrupt()
		select {
		case <-done:
		case <-ctx.Done():
		}
		stop()
		<-done
	}, nil
}

// makeProject writes the example program into a repository and makes a project of it. Nothing is pushed yet.
func (d *demo) makeProject(ctx context.Context) (id string, err error) {
	work := filepath.Join(d.dir, "wordfreq")
	files, err := fs.Sub(demoFiles, "demo")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(work, files); err != nil {
		return "", err
	}
	if err := forge.Publish(ctx, work, d.bare(), "Count words"); err != nil {
		return "", err
	}
	in := map[string]any{
		"metadata": map[string]any{"name": "wordfreq"}, "spec": map[string]any{"repository": map[string]any{"url": d.bare()}},
	}
	var out struct {
		Metadata struct {
			ID string `json:"id"`
		} `json:"metadata"`
	}
	if err := d.api.call(ctx, http.MethodPost, "/api/v1alpha/projects", in, &out); err != nil {
		return "", err
	}
	d.say("a project of the repository %s; a hook there tells the server of pushes", d.bare())
	return out.Metadata.ID, nil
}
