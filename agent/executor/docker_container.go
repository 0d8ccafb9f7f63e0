//go:build unix

package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// mainContainer is the first container: where commands run.
type mainContainer struct {
	id     string
	uid    int // of the container's user
	gid    int
	home   string
	stty   bool // the image has stty
	attach client.HijackedResponse
	said   *waiter
}

// waitScript is what the first container runs: it tells who and where it is, and then waits for the end of its input,
// which is the end of the agent's connection. So the container ends with the agent, however the agent ends.
const waitScript = `trap '' HUP INT TERM; type -P stty >/dev/null; builtin printf '%s %s %s %s %s\n' "$1" "$?" "$EUID" "${GROUPS[0]:-0}" "${HOME:-/}"; while builtin read -r _; do :; done`

// startAll makes the network, starts all containers, the first one last, and bash in it.
func (d *Docker) startAll(ctx context.Context, binds []mount.Mount) error {
	made, err := d.engine.NetworkCreate(ctx, d.name(""), client.NetworkCreateOptions{Driver: "bridge", Labels: d.labels()})
	if err != nil {
		return sentence("The network of the job cannot be made: %w", err)
	}
	d.network = made.ID
	for i := len(d.opts.Containers) - 1; i > 0; i-- {
		if err := d.startService(ctx, i); err != nil {
			return err
		}
	}
	if err := d.startPlace(ctx, binds); err != nil {
		return err
	}
	return d.begin(ctx)
}

func (d *Docker) labels() map[string]string {
	return map[string]string{labelJob: d.opts.Job, labelAgent: d.opts.Agent, labelRun: d.id}
}

var notInName = regexp.MustCompile(`[^a-zA-Z0-9_.-]+`)

// name is unique on the engine and yet tells people what it is.
func (d *Docker) name(of string) string {
	of = strings.Trim(notInName.ReplaceAllString(of, "-"), "-.")
	if of == "" {
		return "signalbox-" + d.id
	}
	return "signalbox-" + d.id + "-" + of[:min(len(of), 40)]
}

// create makes container number i.
func (d *Docker) create(ctx context.Context, i int, config *container.Config, host *container.HostConfig) (string, error) {
	c := d.opts.Containers[i]
	config.Image, config.User, config.Env, config.Labels = c.Image, c.User, c.Env, d.labels()
	config.Entrypoint, _ = splitWords(c.Entrypoint) // was checked
	endpoint := &network.EndpointSettings{}
	if c.Name != "" {
		endpoint.Aliases = []string{c.Name}
	}
	host.NetworkMode = container.NetworkMode(d.name(""))
	made, err := d.engine.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: d.name(strconv.Itoa(i+1) + "-" + c.Name), Config: config, HostConfig: host,
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{d.name(""): endpoint}},
	})
	if err != nil {
		return "", sentence("The container %q cannot be made: %w", c.Name, err)
	}
	d.containers = append(d.containers, made.ID)
	return made.ID, nil
}

func (d *Docker) startService(ctx context.Context, i int) error {
	c := d.opts.Containers[i]
	words, _ := splitWords(c.Command) // was checked
	id, err := d.create(ctx, i, &container.Config{Cmd: words}, &container.HostConfig{})
	if err != nil {
		return err
	}
	if _, err := d.engine.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return sentence("The container %q (%s) does not start: %w", c.Name, c.Image, err)
	}
	return nil
}

// startPlace starts the first container and waits until bash runs in it.
func (d *Docker) startPlace(ctx context.Context, binds []mount.Mount) error {
	c := d.opts.Containers[0]
	if path := d.socket(); path != "" {
		binds = append(binds, mount.Mount{Type: mount.TypeBind, Source: path, Target: "/var/run/docker.sock"})
	}
	mark := d.id
	id, err := d.create(ctx, 0,
		&container.Config{
			Cmd:       []string{"bash", "-c", waitScript, "signalbox", mark},
			OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true,
		},
		&container.HostConfig{AutoRemove: true, Mounts: binds})
	if err != nil {
		return err
	}
	attached, err := d.engine.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		return sentence("The container %q cannot be talked to: %w", c.Name, err)
	}
	p := &mainContainer{id: id, attach: attached.HijackedResponse, said: newWaiter(mark)}
	d.main = p
	go p.said.follow(attached.Reader)
	if _, err := d.engine.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		if strings.Contains(err.Error(), `"bash"`) {
			return sentence("%w\nThe image %s has no bash, which runs the commands of a job. Use an image that has it, or install it in this one.", err, c.Image)
		}
		return err
	}
	slow := time.NewTimer(d.opts.StartTimeout)
	defer slow.Stop()
	select {
	case line := <-p.said.line:
		return p.parse(line)
	case <-p.said.over:
		select {
		case line := <-p.said.line:
			return p.parse(line)
		default:
		}
		return d.noBash(c, p.said.text())
	case <-slow.C:
		return sentence("The entrypoint of %s did not run bash within %v. What it printed:\n%s", c.Image, d.opts.StartTimeout, p.said.text())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// noBash explains a container that ended before it ran what it was told.
func (d *Docker) noBash(c Container, said string) error {
	if said != "" {
		said = "\nWhat it printed:\n" + said
	}
	return sentence("The container ended before bash ran in it. The image %s needs bash, and its entrypoint must run the command that it is given; another entrypoint can be set in the pipeline file.%s", c.Image, said)
}

// parse reads what waitScript said.
func (p *mainContainer) parse(line string) error {
	words := strings.SplitN(line, " ", 4)
	if len(words) != 4 {
		return fmt.Errorf("bash in the container answers %q", line)
	}
	uid, err := strconv.Atoi(words[1])
	gid, gerr := strconv.Atoi(words[2])
	if err := errors.Join(err, gerr); err != nil {
		return fmt.Errorf("bash in the container answers %q: %w", line, err)
	}
	p.stty, p.uid, p.gid, p.home = words[0] == "0", uid, gid, words[3]
	return nil
}

// waiter reads what the first container's own process prints, for as long as it lives.
type waiter struct {
	mark string
	line chan string   // what came behind the mark
	over chan struct{} // closed when nothing can come any more

	mu   sync.Mutex
	rest []byte // of the current line
	last tail
}

func newWaiter(mark string) *waiter {
	return &waiter{mark: mark + " ", line: make(chan string, 1), over: make(chan struct{}), last: tail{max: 2000}}
}

func (w *waiter) follow(r io.Reader) {
	defer close(w.over)
	_, _ = stdcopy.StdCopy(w, w, r)
}

func (w *waiter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.last.Write(b)
	w.rest = append(w.rest, b...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			break
		}
		if said, ok := strings.CutPrefix(string(w.rest[:i]), w.mark); ok {
			select {
			case w.line <- said:
			default:
			}
		}
		w.rest = w.rest[i+1:]
	}
	if len(w.rest) > 10000 {
		w.rest = nil
	}
	return len(b), nil
}

func (w *waiter) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.String()
}

// Close ends all processes, removes containers, network and anonymous volumes. A second call returns the first error.
func (d *Docker) Close() error {
	d.closeOnce.Do(func() {
		if d.main != nil && d.engine != nil {
			var l link = &dockerLink{docker: d}
			if d.link != nil {
				l = d.link
			}
			d.session.terminate(l)
		}
		broken := d.life.Err() != nil || !d.started
		d.stop()
		d.closeErr = d.remove(broken)
	})
	return d.closeErr
}

func (d *Docker) remove(broken bool) error {
	if d.engine == nil {
		return nil
	}
	defer d.engine.Close()
	if d.main != nil {
		defer d.main.attach.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	err := removeContainers(ctx, d.engine, d.containers)
	if d.network != "" {
		err = errors.Join(err, removeNetwork(ctx, d.engine, d.network))
	}
	if broken || err != nil {
		// A request that was broken off may have been carried out all the same: look again by label.
		err = errors.Join(err, removeLabelled(ctx, d.engine, labelRun+"="+d.id))
	}
	return err
}

// Stop ends what runs, be it a pull, the start of a container or a command.
func (d *Docker) Stop() {
	d.session.Stop()
	d.stop()
}
