// Command load is a fleet of agents in a process of its own, for benchmarks: it speaks the official agent's protocol on
// one kept connection for each agent, with requests that are written as bytes, so that it takes little of the machine
// that it shares with the server. It reads what to do from standard input and prints a line for every job that it gets.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// order is what standard input says, as one JSON document.
type order struct {
	Address string `json:"address"` // host:port
	CAFile  string `json:"ca_file"`
	Token   string `json:"token"` // registration token
	Agents  int    `json:"agents"`
	Prefix  string `json:"prefix"` // of the agents' names
	// Hold keeps a job for ever instead of reporting it as passed at once.
	Hold bool `json:"hold"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var o order
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return err
	}
	ca, err := os.ReadFile(o.CAFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	f := &fleet{order: o, tls: conf, out: bufio.NewWriter(out)}
	var group sync.WaitGroup
	gate := make(chan struct{}, 16) // registering is not what is measured
	errs := make(chan error, o.Agents)
	agents := make([]*conn, o.Agents)
	for i := range agents {
		group.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			var err error
			if agents[i], err = f.register(i); err != nil {
				errs <- err
			}
		})
	}
	group.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	f.say("registered\n")
	for _, c := range agents {
		group.Go(func() {
			if err := f.serve(c); err != nil {
				f.say("error " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n")
			}
		})
	}
	group.Wait()
	return nil
}

type fleet struct {
	order
	tls *tls.Config
	mu  sync.Mutex
	out *bufio.Writer
}

func (f *fleet) say(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _ = f.out.WriteString(line)
	_ = f.out.Flush()
}

// conn is one agent's connection.
type conn struct {
	net.Conn
	in    *bufio.Reader
	host  string
	token string
	body  []byte
}

func (f *fleet) dial() (*conn, error) {
	c, err := tls.Dial("tcp", f.Address, f.tls)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, in: bufio.NewReaderSize(c, 4096), host: f.Address}, nil
}

func (f *fleet) register(i int) (*conn, error) {
	c, err := f.dial()
	if err != nil {
		return nil, err
	}
	c.token = f.Token
	var reg agentapi.RegisterResponse
	if err := c.call("POST", agentapi.PathRegister, agentapi.RegisterRequest{Name: f.Prefix + strconv.Itoa(i), Version: "v2.2.30"}, &reg); err != nil {
		return nil, err
	}
	c.token = reg.Token
	return c, nil
}

// serve syncs for ever, as the official agent does: at once when told so, else after the pause that the answer names.
func (f *fleet) serve(c *conn) error {
	req := agentapi.SyncRequest{State: agentapi.StateWaitingForJobs}
	for {
		var res agentapi.SyncResponse
		if err := c.call("POST", agentapi.PathSync, req, &res); err != nil {
			return err
		}
		switch res.Action {
		case agentapi.ActionRunJob:
			f.say(strconv.FormatInt(time.Now().UnixNano(), 10) + " " + res.JobID + "\n")
			if err := c.call("GET", agentapi.PathJobs+"/"+res.JobID, nil, nil); err != nil {
				return err
			}
			req = agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: res.JobID, JobResult: "passed"}
			if f.Hold {
				req = agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: res.JobID}
			}
			continue
		case agentapi.ActionWaitForJobs:
			req = agentapi.SyncRequest{State: agentapi.StateWaitingForJobs}
		case agentapi.ActionShutdown:
			return nil
		}
		time.Sleep(time.Duration(res.NextSyncAfter) * time.Millisecond)
	}
}

// call sends one request and reads its answer.
func (c *conn) call(method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Token %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		method, agentapi.Base, path, c.host, c.token, len(body))
	b.Write(body)
	if _, err := c.Write(b.Bytes()); err != nil {
		return err
	}
	status, answer, err := c.answer()
	if err != nil {
		return err
	}
	if status > 299 {
		return fmt.Errorf("%s %s: %d %s", method, path, status, answer)
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
		switch strings.ToLower(string(name)) {
		case "content-length":
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, nil, err
			}
		case "transfer-encoding":
			chunked = true
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
