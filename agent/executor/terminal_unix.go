//go:build unix

package executor

import (
	"errors"
	"fmt"
	"os"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// endOfFile is the character that a program waiting for a line reads as the end of its input.
const endOfFile = 4

// terminal is the pseudo terminal of one job. The agent keeps the slave side open too: the terminal outlives a shell
// that exits, and the agent can write into the same stream as the commands.
type terminal struct {
	master *os.File
	slave  *os.File
	data   chan []byte // what comes out, unbuffered: while nobody takes it the terminal fills and the writers wait
}

func openTerminal(rows, cols uint16) (*terminal, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("cannot open a terminal: %w", err)
	}
	t := &terminal{master: master, slave: slave, data: make(chan []byte)}
	if err := pty.Setsize(master, &pty.Winsize{Rows: rows, Cols: cols}); err != nil {
		t.close()
		return nil, fmt.Errorf("cannot set the size of the terminal: %w", err)
	}
	if err := t.restore(); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// read moves bytes from the terminal to data until the terminal is closed. Two buffers take turns: the receiver may
// use one while the next is filled, and must be done with it before it receives again.
func (t *terminal) read() {
	defer close(t.data)
	var buffers [2][]byte
	buffers[0], buffers[1] = make([]byte, 32<<10), make([]byte, 32<<10)
	for i := 0; ; i ^= 1 {
		n, err := t.master.Read(buffers[i])
		if n > 0 {
			t.data <- buffers[i][:n]
		}
		if err != nil {
			return
		}
	}
}

// restore sets the terminal to what every command may expect, whatever the one before did to it: lines as input, no
// echo, and what is written comes out as it is. Without the \r that a terminal usually adds, output is exact, and the
// kernel passes it on several times faster.
func (t *terminal) restore() error {
	return t.control(func(fd int) error {
		a, err := unix.IoctlGetTermios(fd, getTermios)
		if err != nil {
			return fmt.Errorf("cannot read the settings of the terminal: %w", err)
		}
		a.Iflag = unix.ICRNL | unix.BRKINT | inputUTF8
		a.Oflag = unix.ONLCR // for those who switch processing on; without OPOST it does nothing
		a.Lflag = unix.ICANON | unix.ISIG | unix.IEXTEN
		a.Cc[unix.VEOF] = endOfFile
		a.Cc[unix.VMIN], a.Cc[unix.VTIME] = 1, 0
		if err := unix.IoctlSetTermios(fd, setTermios, a); err != nil {
			return fmt.Errorf("cannot change the settings of the terminal: %w", err)
		}
		return nil
	})
}

// addsCR tells whether a command has switched on that the terminal writes \r\n for \n ("stty sane").
func (t *terminal) addsCR() (yes bool) {
	_ = t.control(func(fd int) error {
		a, err := unix.IoctlGetTermios(fd, getTermios)
		yes = err == nil && a.Oflag&unix.OPOST != 0 && a.Oflag&unix.ONLCR != 0
		return err
	})
	return yes
}

// offerEnd makes sure that whoever reads from the terminal finds the end of file: it types one when none waits.
// Called again and again while a command runs, it also reaches programs that empty the input before they read
// (password prompts) and those that read keys (a nested shell takes it as "leave"). Since one waits all the time,
// programs that poll their input are woken, which a terminal with VMIN=0 would not do.
func (t *terminal) offerEnd() {
	waits := false
	if err := t.control(func(fd int) error {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		waits = n > 0 && p[0].Revents&unix.POLLIN != 0
		return err
	}); err == nil && !waits {
		_, _ = t.master.Write([]byte{endOfFile}) // one byte into an empty queue cannot block
	}
}

func (t *terminal) control(do func(fd int) error) error {
	c, err := t.slave.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := c.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	return inner
}

func (t *terminal) close() error {
	return errors.Join(t.slave.Close(), t.master.Close())
}
