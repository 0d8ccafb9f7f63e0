package server

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox/dispatch"
)

// TestARequestThatComesLateIsAnswered: a connection that was made before a server is told to end, and whose request comes
// after that, gets its answer.
func TestARequestThatComesLateIsAnswered(t *testing.T) {
	s, stop := running(t, true, dispatch.Timing{})
	address := s.listener.Addr().String()
	ask := func(c net.Conn) error {
		_, err := fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", address)
		if err != nil {
			return err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		return res.Body.Close()
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	late, silent := dial(), dial()
	if err := ask(dial()); err != nil { // by now the server has taken the two before
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); stop() }()
	for { // until nobody can connect any more
		c, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		_ = c.Close()
	}
	if err := ask(late); err != nil {
		t.Errorf("the late request: %v", err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the server waits for a connection that says nothing")
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("the silent connection was answered")
	}
}
