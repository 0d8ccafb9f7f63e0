//go:build unix

package executor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	"github.com/signalbox-ci/signalbox"
)

const (
	directiveCredentials = "Setting up image pull credentials"
	directivePull        = "Pulling docker images..."
	directiveStart       = "Starting the docker image..."
)

// Docker runs commands in the first of a job's containers, in one bash as Shell does. It talks to the engine through
// its API alone, and puts nothing on this machine, so the engine may be another machine's.
//
// Everything it makes carries two labels. What Close cannot remove because the agent was killed, CleanDocker finds.
type Docker struct {
	session
	opts   DockerOptions
	log    *slog.Logger
	id     string // part of all names, so that they never meet those of another job
	engine *client.Client
	auth   map[string]registry.AuthConfig // by registry

	network    string
	containers []string // ids; the first one is where commands run
	main       *mainContainer
	shells     int  // started so far
	started    bool // Start has succeeded

	life context.Context // ends with Stop
	stop context.CancelFunc

	closeOnce sync.Once
	closeErr  error
}

// NewDocker returns an executor for one job. Nothing happens before Start.
func NewDocker(opts DockerOptions) (Executor, error) {
	opts.Shell.defaults()
	if opts.StartTimeout <= 0 {
		opts.StartTimeout = defaultStartTimeout
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	d := &Docker{opts: opts, log: opts.Shell.Logger, id: strings.ToLower(rand.Text()[:12]), auth: map[string]registry.AuthConfig{}}
	d.life, d.stop = context.WithCancel(context.Background())
	d.session = newSession(d.open, opts.Shell.Coalesce, opts.Shell.Logger)
	return d, nil
}

// check finds what cannot work before anything was started.
func (o *DockerOptions) check() error {
	bad := func(format string, args ...any) error {
		return signalbox.Errorf(signalbox.CodeInvalid, format, args...)
	}
	if o.Agent == "" {
		return bad("the containers of a job need the label of their agent")
	}
	if len(o.Containers) == 0 {
		return bad("The job is to run in containers, but it names none. Give the agent in the pipeline file at least one container with a name and an image.")
	}
	seen := map[string]bool{}
	for i, c := range o.Containers {
		if c.Image == "" {
			return bad("Container %d (%q) of the job has no image. Name one in the pipeline file.", i+1, c.Name)
		}
		if c.Name != "" && seen[c.Name] {
			return bad("Two containers of the job are called %q. Give each a name of its own, since that is how they find each other.", c.Name)
		}
		seen[c.Name] = true
		for _, text := range []string{c.Entrypoint, c.Command} {
			if _, err := splitWords(text); err != nil {
				return bad("Container %q: %q cannot be split into words: %v.", c.Name, text, err)
			}
		}
		for _, e := range c.Env {
			if name, value, _ := strings.Cut(e, "="); !variableName.MatchString(name) || strings.ContainsRune(value, 0) {
				return bad("Container %q: the environment variable %q cannot be set: a name is letters, digits and underscores and does not begin with a digit, and no value holds a NUL byte.", c.Name, name)
			}
		}
	}
	return nil
}

// Start gets the images, starts the containers and bash in the first of them.
func (d *Docker) Start(ctx context.Context, log Block) error {
	if log == nil {
		log = func(_ string, run func(Emit) (int, error)) int {
			code, _ := run(func([]byte) error { return nil })
			return code
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.life, cancel)()

	if err := d.hostCommands(ctx); err != nil {
		return d.failed(err)
	}
	binds, missing, err := d.binds()
	if err != nil {
		return d.failed(err)
	}
	if err := d.connect(ctx); err != nil {
		return d.failed(err)
	}
	if len(d.opts.Credentials) > 0 {
		if err := d.step(log, directiveCredentials, signalbox.ReasonImagePull, func(say Emit) error { return d.logIn(ctx, say) }); err != nil {
			return err
		}
	}
	if err := d.step(log, directivePull, signalbox.ReasonImagePull, func(say Emit) error { return d.pullAll(ctx, say) }); err != nil {
		return err
	}
	err = d.step(log, directiveStart, signalbox.ReasonAgentError, func(say Emit) error {
		if err := say([]byte("Starting a new bash session.\n")); err != nil {
			return err
		}
		for _, f := range missing {
			line := fmt.Sprintf("The agent is configured to show %s as %s, but it is not on its machine.\n", f.Host, f.Container)
			if err := say([]byte(line)); err != nil {
				return err
			}
		}
		err := d.startAll(ctx, binds)
		if err != nil && d.life.Err() == nil {
			err = sentence("Failed to start the docker image\n%w", err)
		}
		return err
	})
	d.started = err == nil
	return err
}

// step logs one directive; what went wrong is its last line.
func (d *Docker) step(log Block, directive string, reason signalbox.Reason, run func(Emit) error) error {
	var failure error
	code := log(directive, func(emit Emit) (int, error) {
		if failure = run(emit); failure == nil {
			return 0, nil
		}
		if d.life.Err() != nil {
			return 1, ErrStopped
		}
		return 1, emit([]byte(strings.TrimSuffix(failure.Error(), "\n") + "\n"))
	})
	if failure == nil && code == 0 {
		return nil
	}
	if failure == nil {
		failure = errors.New("the log cannot be written")
	}
	return &Failure{Reason: reason, Message: failure.Error(), Logged: true, Err: failure}
}

// failed is for what goes wrong before the first directive.
func (d *Docker) failed(err error) error {
	return &Failure{Reason: signalbox.ReasonAgentError, Message: err.Error(), Err: err}
}

// connect finds the engine and agrees on a version with it.
func (d *Docker) connect(ctx context.Context) error {
	engine, err := openEngine(d.opts.Host)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, err := engine.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return errors.Join(sentence("The agent cannot run jobs in containers: the Docker engine at %s does not answer (%w). Start it, or let the agent's user use it.", engine.DaemonHost(), err), engine.Close())
	}
	d.engine = engine
	return nil
}

// sentence is an error that is shown as a line of the job's log, hence capitals and full stops.
func sentence(format string, args ...any) error { return fmt.Errorf(format, args...) }

func openEngine(host string) (*client.Client, error) {
	opts := []client.Opt{client.FromEnv}
	if host != "" {
		opts = append(opts, client.WithHost(host))
	}
	c, err := client.New(opts...)
	if err != nil {
		return nil, sentence("The address of the Docker engine cannot be used: %w", err)
	}
	return c, nil
}

// socket is where the engine's own socket is on its machine, "" when it cannot be shown to a container.
func (d *Docker) socket() string {
	path, ok := strings.CutPrefix(d.engine.DaemonHost(), "unix://")
	switch {
	case !ok:
		return ""
	case runtime.GOOS != "linux":
		return "/var/run/docker.sock" // the engine is in a virtual machine, and this is its path there
	default:
		return path
	}
}
