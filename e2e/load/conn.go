package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// conn is one connection, with the token of whoever uses it.
type conn struct {
	net.Conn
	in    *bufio.Reader
	host  string
	token string
	body  []byte
	// held is how long the server meant to wait before its last answer.
	held time.Duration
}

// statusError is an answer that is an error.
type statusError struct {
	status int
	text   string
}

func (e statusError) Error() string { return fmt.Sprintf("%d %s", e.status, e.text) }

func dial(address string, conf *tls.Config) (*conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	c, err := d.Dial("tcp", address)
	if err == nil && conf != nil {
		t := tls.Client(c, conf)
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if err = t.Handshake(); err != nil {
			_ = c.Close()
		}
		_ = c.SetDeadline(time.Time{})
		c = t
	}
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, in: bufio.NewReaderSize(c, 4096), host: address}, nil
}

// request is one request as bytes.
func (c *conn) request(method, path string, in any) ([]byte, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Token %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		method, agentapi.Base, path, c.host, c.token, len(body))
	b.Write(body)
	return b.Bytes(), nil
}

// call sends one request and reads its answer.
func (c *conn) call(method, path string, in, out any) error {
	b, err := c.request(method, path, in)
	if err != nil {
		return err
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	status, answer, err := c.answer()
	if err != nil {
		return err
	}
	if status > 299 {
		return fmt.Errorf("%s %s: %w", method, path, statusError{status, string(answer)})
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// answer reads a status line, the headers and a body whose length is announced or which comes in chunks.
func (c *conn) answer() (status int, body []byte, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, errors.New("no status line")
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, err
	}
	c.held = 0
	length, chunked := 0, false
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(": "))
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			length, err = strconv.Atoi(string(value))
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = true
		case bytes.EqualFold(name, []byte("server-timing")):
			if ms, ok := strings.CutPrefix(string(value), "hold;dur="); ok {
				n := 0.0
				n, err = strconv.ParseFloat(ms, 64)
				c.held = time.Duration(n * float64(time.Millisecond))
			}
		}
		if err != nil {
			return 0, nil, err
		}
	}
	if !chunked {
		return status, c.read(length), nil
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return 0, nil, err
		}
		body = append(body, c.read(int(n))...)
		if _, err := c.in.Discard(2); err != nil || n == 0 {
			return status, body, err
		}
	}
}

// read returns n bytes, fewer when the connection ends; they are valid until the next call.
func (c *conn) read(n int) []byte {
	if cap(c.body) < n {
		c.body = make([]byte, n)
	}
	got, _ := io.ReadFull(c.in, c.body[:n])
	return c.body[:got]
}
