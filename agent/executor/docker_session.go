//go:build unix

package executor

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
	"github.com/signalbox-ci/signalbox"
)

//go:embed docker.bash
var dockerPrelude []byte

//go:embed docker_channel.bash
var channelScript string

//go:embed docker_terminate.bash
var terminateScript string

// dockerLink is one bash in the first container.
//
// Its terminal is that of an exec. Its own input and its results go through two FIFOs in a folder that only the user of
// the container may enter; a second exec without a terminal, the channel, carries them to and from the agent. Only bash
// builtins are needed for it, and nothing of this machine is mounted.
type dockerLink struct {
	docker *Docker
	dir    string
	exec   string // id
	term   client.HijackedResponse
	chanl  client.HijackedResponse
	out    chan []byte
	res    chan result
	empty  atomic.Bool // nothing waits to be read from the terminal
	pid    atomic.Value
	over   chan struct{}
	code   int
	gone   chan struct{} // closed by drop
	once   sync.Once
}

// open starts a bash in the first container.
func (d *Docker) open(ctx context.Context) (link, error) {
	d.shells++
	l := &dockerLink{
		docker: d, dir: d.folderName(d.shells),
		out: make(chan []byte), res: make(chan result), over: make(chan struct{}), gone: make(chan struct{}),
	}
	l.empty.Store(true)
	folder, err := d.folder(l.dir[1:])
	if err != nil {
		return nil, err
	}
	if _, err := d.engine.CopyToContainer(ctx, d.main.id, client.CopyToContainerOptions{DestinationPath: "/", Content: folder}); err != nil {
		return nil, fmt.Errorf("the agent's folder cannot be made in the container: %w", err)
	}
	_, l.chanl, err = d.attach(ctx, client.ExecCreateOptions{
		AttachStdin: true, AttachStdout: true, AttachStderr: true,
		Cmd: []string{"bash", "-c", channelScript, "signalbox", l.dir},
	})
	if err != nil {
		return nil, fmt.Errorf("the agent's channel into the container cannot be opened: %w", err)
	}
	l.exec, l.term, err = d.attach(ctx, client.ExecCreateOptions{
		TTY: true, AttachStdin: true, AttachStdout: true, AttachStderr: true,
		Cmd: []string{"bash", "-c", `exec bash --noprofile --norc --noediting -i <>"$1/input"`, "signalbox", l.dir},
	})
	if err != nil {
		l.chanl.Close()
		return nil, fmt.Errorf("bash cannot be started in the container: %w", err)
	}
	go l.readResults()
	go l.readTerminal()
	_, _ = d.engine.ExecResize(ctx, l.exec, client.ExecResizeOptions{Height: uint(d.opts.Shell.Rows), Width: uint(d.opts.Shell.Cols)})
	return l, nil
}

// attach makes an exec and starts it. The connection outlives ctx.
func (d *Docker) attach(ctx context.Context, o client.ExecCreateOptions) (string, client.HijackedResponse, error) {
	made, err := d.engine.ExecCreate(ctx, d.main.id, o)
	if err != nil {
		return "", client.HijackedResponse{}, err
	}
	stream, err := d.engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{TTY: o.TTY})
	return made.ID, stream.HijackedResponse, err
}

// folder is an archive of the private folder of one bash.
func (d *Docker) folder(name string) (io.Reader, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, content []byte) error {
		h.Uid, h.Gid, h.Size = d.main.uid, d.main.gid, int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}
	err := errors.Join(
		add(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o700}, nil),
		add(tar.Header{Typeflag: tar.TypeReg, Name: name + "/shell.bash", Mode: 0o600}, append(bytes.Clone(dockerPrelude), toolbox...)),
		add(tar.Header{Typeflag: tar.TypeFifo, Name: name + "/input", Mode: 0o600}, nil),
		add(tar.Header{Typeflag: tar.TypeFifo, Name: name + "/result", Mode: 0o600}, nil),
		w.Close())
	return &b, err
}

// Export also lets login shells in the container see the variables, those of people who look into it for example.
func (d *Docker) Export(ctx context.Context, vars []signalbox.EnvVar, emit Emit) (int, error) {
	code, err := d.session.Export(ctx, vars, emit)
	if code != 0 || err != nil || len(vars) == 0 {
		return code, err
	}
	_, err = d.source(ctx, fmt.Sprintf("{ __sb_login %s/env %s; } 2>/dev/null", d.folderName(1), quoteLine(exportText(vars))), nil)
	return 0, err
}

// folderName is the private folder of the n-th bash.
func (d *Docker) folderName(n int) string { return fmt.Sprintf("/.signalbox-%s-%d", d.id, n) }

// readTerminal passes on what comes out of the terminal until bash is gone, and then finds out how it ended. Two buffers
// take turns, as for a terminal of this machine.
func (l *dockerLink) readTerminal() {
	var buffers [2][]byte
	buffers[0], buffers[1] = make([]byte, 32<<10), make([]byte, 32<<10)
	for i := 0; ; i ^= 1 {
		n, err := l.term.Reader.Read(buffers[i])
		if n > 0 {
			select {
			case l.out <- buffers[i][:n]:
			case <-l.gone:
			}
		}
		if err != nil {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	code, err := l.docker.exitCode(ctx, l.exec)
	if err != nil { // the container is gone, and with it the knowledge
		l.docker.log.Info("the exit code of a shell in a container is not known", "error", err)
		code = 137
	}
	l.code = code
	close(l.over)
	close(l.out)
}

// readResults passes on what the channel says: results of commands, and that nothing waits to be read.
func (l *dockerLink) readResults() {
	defer close(l.res)
	r, w := io.Pipe()
	defer r.Close()
	go func() {
		_, err := stdcopy.StdCopy(w, io.Discard, l.chanl.Reader)
		w.CloseWithError(err)
	}()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		switch kind {
		case "empty":
			l.empty.Store(true)
		case "pid":
			l.pid.Store(rest)
		case "result":
			if res, ok := parseResult(rest); ok {
				select {
				case l.res <- res:
				case <-l.gone:
				}
			}
		}
	}
}

func (l *dockerLink) hello() string {
	stty := ""
	if l.docker.main.stty {
		stty = "stty"
	}
	return fmt.Sprintf(`__sb_dir=%s __sb_stty=%s; builtin . "$__sb_dir/shell.bash"`, quote(l.dir), stty)
}

// script hands text to bash, which writes it into the file itself: whatever it holds, it is one word on one line.
func (l *dockerLink) script(text string) (string, error) {
	if strings.ContainsRune(text, 0) {
		return "", errors.New("the command holds a NUL byte, which no shell can read")
	}
	return `__sb_restore; builtin printf '%s\n' ` + quoteLine(text) + ` >|"$__sb_dir/command" && builtin . "$__sb_dir/command" <"$__sb_tty"`, nil
}

// quoteLine makes one word without line ends of any text for bash.
func quoteLine(s string) string {
	return "$'" + lineQuoter.Replace(s) + "'"
}

var lineQuoter = strings.NewReplacer("\\", `\\`, "'", `\'`, "\n", `\n`, "\r", `\r`, "!", `\x21`, "\x01", `\001`, "\x7f", `\177`)

// send gives lines to the channel, which reads up to a NUL byte.
func (l *dockerLink) send(lines string) error {
	if _, err := io.WriteString(l.chanl.Conn, lines+"\x00"); err != nil {
		select {
		case <-l.over: // a bash that is gone is told by ended
			return nil
		case <-time.After(time.Second):
			return err
		}
	}
	return nil
}

func (l *dockerLink) results() <-chan result { return l.res }
func (l *dockerLink) data() <-chan []byte    { return l.out }
func (l *dockerLink) restore() error         { return nil } // __sb_restore does it
func (l *dockerLink) addsCR() bool           { return !l.docker.main.stty }

// offerEnd types ^D when nothing waits to be read. The channel looks, since only a process in the container can.
func (l *dockerLink) offerEnd() {
	if l.empty.Swap(false) {
		_, _ = l.term.Conn.Write([]byte{endOfFile})
	}
}

// mark lets bash print b. When bash is gone, the end of the stream is the end of the output.
func (l *dockerLink) mark(b []byte) <-chan error {
	select {
	case <-l.over:
		return nil
	default:
	}
	done := make(chan error, 1)
	if err := l.send("{ builtin printf %s " + string(b) + " >\"$__sb_tty\"; } 2>/dev/null\n"); err != nil {
		done <- err
	}
	return done
}

func (l *dockerLink) ended() <-chan struct{} { return l.over }
func (l *dockerLink) status() int            { return l.code }

func (l *dockerLink) drop() {
	l.once.Do(func() {
		close(l.gone)
		l.chanl.Close()
		l.term.Close()
	})
}

// terminate ends all processes in the first container: SIGTERM to each, the grace period, SIGKILL to the container.
func (l *dockerLink) terminate() {
	d := l.docker
	pid, _ := l.pid.Load().(string)
	ctx, cancel := context.WithTimeout(context.Background(), d.opts.Shell.Grace+10*time.Second)
	defer cancel()
	grace := fmt.Sprintf("%.3f", d.opts.Shell.Grace.Seconds())
	said, code, err := d.exec(ctx, "0:0", []byte{}, "bash", "-c", terminateScript, "signalbox", pid, grace)
	if err != nil || code != 0 {
		d.log.Info("the processes of a job could not be asked to end; killing its container", "code", code, "said", said, "error", err)
	}
	kill, cancelKill := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancelKill()
	if _, err := d.engine.ContainerKill(kill, d.main.id, client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		d.log.Info("the container of a job could not be killed; it is removed", "error", err)
	}
	if l.over == nil {
		return
	}
	select {
	case <-l.over:
	case <-kill.Done():
		d.log.Error("the engine does not tell that a container has ended", "container", d.main.id)
		l.term.Close()
	}
}
