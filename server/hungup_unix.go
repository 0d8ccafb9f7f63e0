//go:build unix

package server

import (
	"crypto/tls"
	"net"
	"syscall"
)

// hungUp looks into a connection that nobody reads, without taking anything from it. Whoever waits for an answer sends nothing; what
// comes over TLS is its end.
func hungUp(c net.Conn) bool {
	if again, ok := c.(*replayed); ok {
		c = again.Conn
	}
	secret := false
	if t, ok := c.(*tls.Conn); ok {
		c, secret = t.NetConn(), true
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == nil:
			gone = n == 0 || secret
		case err != syscall.EAGAIN && err != syscall.EINTR: //nolint:errorlint // errno values
			gone = true
		}
		return true
	})
	return gone || err != nil
}
