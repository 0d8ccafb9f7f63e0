// Package servertest gives tests addresses for servers that are started on the same one again and again. The system's own choice
// would not do: it takes from the ports that outgoing connections are given too, so while a server is away, a connection of
// another test may sit on its port. Only tests use it.
package servertest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
)

// The usual systems take the ports of outgoing connections from above (Linux from 32768, the others from 49152).
const lowest, highest = 10_000, 32_000

// Every process begins somewhere else, since packages are tested at the same time, and gives no port twice.
var next = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(rand.Int64N(highest - lowest))
	return &n
}()

// Address is a loopback address, host:port, that nobody listens on now and that no outgoing connection is given.
func Address(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := net.JoinHostPort("127.0.0.1", strconv.FormatInt(lowest+next.Add(1)%(highest-lowest), 10))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		_ = l.Close()
		return address
	}
	t.Fatalf("no port between %d and %d is free", lowest, highest)
	return ""
}

// Port is the port of an Address.
func Port(t testing.TB) string {
	t.Helper()
	_, port, err := net.SplitHostPort(Address(t))
	if err != nil {
		t.Fatal(err)
	}
	return port
}
