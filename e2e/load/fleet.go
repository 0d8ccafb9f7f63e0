package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// fleet is all agents of this process.
type fleet struct {
	order
	say   func(event)
	tls   *tls.Config // nil speaks plain HTTP
	stats stats
	all   []*agent
}

// agent is one of them. Its connection is made again when it breaks.
type agent struct {
	conn  *conn
	token string
	job   string // that it keeps
}

func newFleet(o order, say func(event)) (*fleet, error) {
	f := &fleet{order: o, say: say, all: make([]*agent, o.Agents)}
	f.stats.reset()
	if o.CAFile == "" {
		return f, nil
	}
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	f.tls = &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS13, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	return f, nil
}

// register registers all agents, sixteen or Kept at a time.
func (f *fleet) register() error {
	begin := time.Now()
	var group sync.WaitGroup
	errs := make(chan error, f.Agents)
	next := make(chan int)
	workers := 16
	if f.Kept > 0 {
		workers = f.Kept
	}
	for range workers {
		group.Go(func() {
			var c *conn
			for i := range next {
				var err error
				if c == nil || f.Kept == 0 {
					if c, err = dial(f.Address, f.tls); err != nil {
						errs <- err
						continue
					}
				}
				if f.all[i], err = f.enroll(c, i); err != nil {
					errs <- err
				} else if f.Serve {
					go f.live(i, f.all[i])
				}
			}
			if f.Kept > 0 && c != nil {
				_ = c.Close()
			}
		})
	}
	for i := range f.Agents {
		next <- i
	}
	close(next)
	group.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	f.say(event{Event: "registered", Seconds: time.Since(begin).Seconds()})
	return nil
}

func (f *fleet) enroll(c *conn, i int) (*agent, error) {
	c.token = f.Token
	var reg agentapi.RegisterResponse
	name := f.Prefix + strconv.Itoa(i)
	if err := c.call("POST", agentapi.PathRegister, agentapi.RegisterRequest{Name: name, Version: "v2.2.30"}, &reg); err != nil {
		return nil, err
	}
	a := &agent{token: reg.Token}
	if f.Kept == 0 {
		a.conn, c.token = c, reg.Token
	}
	return a, nil
}

// serve lets all agents sync, until each has its job when they park.
func (f *fleet) serve() {
	var group sync.WaitGroup
	for i, a := range f.all {
		group.Go(func() {
			if f.Kept > 0 { // they have just come and spread their syncs as agents of some age do
				time.Sleep(time.Duration(rand.Int64N(int64(5 * time.Second))))
			}
			f.live(i, a)
		})
	}
	group.Wait()
	f.say(event{Event: "parked"})
}

// live syncs as the official agent does: after the pause that the answer names, or 3 to 6 s after anything else.
func (f *fleet) live(i int, a *agent) {
	req := agentapi.SyncRequest{State: agentapi.StateWaitingForJobs}
	for {
		var res agentapi.SyncResponse
		begin := time.Now()
		err := f.connected(a)
		if err == nil {
			err = a.conn.call("POST", agentapi.PathSync, req, &res)
		}
		if err != nil {
			f.failed(a, err)
			time.Sleep(3*time.Second + time.Duration(rand.Int64N(int64(3*time.Second))))
			continue
		}
		f.stats.answered(i, time.Since(begin), a.conn.held)
		switch res.Action {
		case agentapi.ActionRunJob:
			f.say(event{Event: "job", At: time.Now().UnixNano(), Job: res.JobID})
			if err := f.fetch(a, res.JobID); err != nil {
				f.say(event{Event: "error", Text: err.Error()})
				return
			}
			req = agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: res.JobID, JobResult: "passed"}
			if f.Hold {
				a.job = res.JobID
				req = agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: res.JobID}
			}
			if f.Park {
				return
			}
			continue
		case agentapi.ActionStopJob:
			f.say(event{Event: "stop", At: time.Now().UnixNano(), Job: req.JobID})
			req = agentapi.SyncRequest{State: agentapi.StateFinishedJob, JobID: req.JobID, JobResult: "stopped"}
		case agentapi.ActionWaitForJobs:
			req = agentapi.SyncRequest{State: agentapi.StateWaitingForJobs}
		case agentapi.ActionShutdown:
			return
		}
		time.Sleep(time.Duration(res.NextSyncAfter) * time.Millisecond)
	}
}

// fetch gets a job; a server that is away is tried again.
func (f *fleet) fetch(a *agent, job string) (err error) {
	for range 60 {
		if err = f.connected(a); err == nil {
			err = a.conn.call("GET", agentapi.PathJobs+"/"+job, nil, nil)
		}
		if err == nil || errors.As(err, &statusError{}) {
			return err
		}
		f.failed(a, err)
		time.Sleep(time.Second)
	}
	return err
}

// failed counts an error and drops a connection that broke.
func (f *fleet) failed(a *agent, err error) {
	f.stats.failed(err)
	if a.conn != nil && !errors.As(err, &statusError{}) {
		_ = a.conn.Close()
		a.conn = nil
	}
}

func (f *fleet) connected(a *agent) error {
	if a.conn != nil {
		return nil
	}
	c, err := dial(f.Address, f.tls)
	if err != nil {
		return err
	}
	c.token = a.token
	a.conn = c
	return nil
}

// flood syncs with every agent as fast as the server answers, with few goroutines: each writes to all of its connections
// and then reads from all of them, so that little time goes into switching.
func (f *fleet) flood(seconds int) error {
	const workers = 4
	errs, counts := make(chan error, workers), make([]int, workers)
	var group sync.WaitGroup
	begin := time.Now()
	end := begin.Add(time.Duration(seconds) * time.Second)
	for k := range workers {
		group.Go(func() {
			var conns []*conn
			var requests [][]byte
			for i := k; i < len(f.all); i += workers {
				a := f.all[i]
				err := f.connected(a)
				var b []byte
				if err == nil {
					b, err = a.conn.request("POST", agentapi.PathSync, agentapi.SyncRequest{State: agentapi.StateRunningJob, JobID: a.job})
				}
				if err != nil {
					errs <- err
					return
				}
				conns, requests = append(conns, a.conn), append(requests, b)
			}
			for time.Now().Before(end) {
				n, err := volley(conns, requests)
				counts[k] += n
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	e := event{Event: "flooded", Seconds: time.Since(begin).Seconds()}
	for _, n := range counts {
		e.Syncs += n
	}
	f.say(e)
	return nil
}

// volley sends requests on groups of connections and reads all answers.
func volley(conns []*conn, requests [][]byte) (answered int, err error) {
	const group = 64
	for len(conns) > 0 {
		n := min(group, len(conns))
		for i, c := range conns[:n] {
			if _, err := c.Write(requests[i]); err != nil {
				return answered, err
			}
		}
		for _, c := range conns[:n] {
			status, text, err := c.answer()
			if err == nil && status != 200 {
				err = fmt.Errorf("sync: %w", statusError{status, string(text)})
			}
			if err != nil {
				return answered, err
			}
			answered++
		}
		conns, requests = conns[n:], requests[n:]
	}
	return answered, nil
}
