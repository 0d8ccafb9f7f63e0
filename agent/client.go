package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// client speaks the agent protocol.
type client struct {
	http      *http.Client
	base      string // scheme://host[:port]/api/v1/self_hosted_agents
	userAgent string
	timeout   time.Duration
	hold      time.Duration // how long the server may hold a sync

	pushesFailed atomic.Int64
	clockOff     atomic.Int64 // nanoseconds by which our clock is ahead of the server's, as its answers tell

	mu    sync.Mutex
	token string // of this agent, after registration
}

// statusError is an answer that is not the one that was asked for.
type statusError struct {
	Status int
	Text   string
}

func (e *statusError) Error() string {
	if e.Text == "" {
		return "the server answered " + strconv.Itoa(e.Status) + " " + http.StatusText(e.Status)
	}
	return "the server answered " + strconv.Itoa(e.Status) + ": " + e.Text
}

// status is the status of an answer that was refused, 0 when there was no answer.
func status(err error) int {
	var e *statusError
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

func newClient(c Config) *client {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	// A dropped sync costs its connection; the next one begins where that ended.
	tr.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	tr.MaxIdleConnsPerHost = 4
	scheme := "https"
	if c.NoHTTPS {
		scheme = "http"
	}
	return &client{
		http: &http.Client{
			Transport: tr,
			// A redirected POST would become a GET.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		base:      scheme + "://" + c.Endpoint + agentapi.Base,
		userAgent: "SignalboxAgent/" + c.Version,
		timeout:   c.Timing.Request,
		hold:      c.Timing.Hold,
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

func (c *client) setToken(t string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = t
}

func (c *client) auth() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return "Token " + c.token
}

func (c *client) register(ctx context.Context, token string, r agentapi.RegisterRequest) (agentapi.RegisterResponse, error) {
	var out agentapi.RegisterResponse
	err := c.call(ctx, request{method: http.MethodPost, url: c.base + agentapi.PathRegister, auth: "Token " + token, body: r, out: &out, any2xx: true})
	if err == nil && out.Token == "" {
		err = errors.New("the server's answer to the registration holds no token")
	}
	return out, err
}

func (c *client) sync(ctx context.Context, r agentapi.SyncRequest) (agentapi.SyncResponse, error) {
	var out agentapi.SyncResponse
	q := request{method: http.MethodPost, url: c.base + agentapi.PathSync, auth: c.auth(), body: r, out: &out}
	// Nothing else happens here in these two states, so the server may keep the question until it has an answer.
	if r.State == agentapi.StateWaitingForJobs || r.State == agentapi.StateRunningJob {
		q.hold = c.hold
	}
	return out, c.call(ctx, q)
}

func (c *client) job(ctx context.Context, id, attempt string) (*agentapi.JobPayload, error) {
	var out agentapi.JobPayload
	at := c.base + agentapi.PathJobs + "/" + id
	if attempt != "" {
		at += "?attempt=" + url.QueryEscape(attempt)
	}
	if err := c.call(ctx, request{method: http.MethodGet, url: at, auth: c.auth(), out: &out}); err != nil {
		return nil, err
	}
	return &out, nil
}

func (c *client) refresh(ctx context.Context) (string, error) {
	var out agentapi.RefreshResponse
	err := c.call(ctx, request{method: http.MethodPost, url: c.base + agentapi.PathRefresh, auth: c.auth(), out: &out})
	if err == nil && out.Token == "" {
		err = errors.New("the server's answer holds no token")
	}
	return out.Token, err
}

// known asks whether the server still knows this agent, without telling it anything. Only an answer that says no is an
// error that gone recognises.
func (c *client) known(ctx context.Context) error {
	_, err := c.refresh(ctx)
	if status(err) == http.StatusUnprocessableEntity { // known, without a job
		return nil
	}
	return err
}

func (c *client) disconnect(ctx context.Context) error {
	return c.call(ctx, request{method: http.MethodPost, url: c.base + agentapi.PathDisconnect, auth: c.auth()})
}

// push sends events, one JSON line each, of which the first is number from of the job's log.
func (c *client) push(ctx context.Context, url, token string, from int, lines []byte) error {
	sep := "?"
	if strings.Contains(url, "?") {
		sep = "&"
	}
	err := c.call(ctx, request{
		method: http.MethodPost, url: url + sep + "start_from=" + strconv.Itoa(from),
		auth: "Bearer " + token, contentType: "text/plain", raw: lines,
	})
	if err != nil && ctx.Err() == nil {
		c.pushesFailed.Add(1)
	}
	return err
}

// limit is how long a request may take that the server may hold.
func (c *client) limit(hold time.Duration) time.Duration {
	return max(c.timeout, hold+hold/2)
}

type request struct {
	method      string
	url         string
	auth        string
	contentType string
	body        any    // sent as JSON
	raw         []byte // or this
	out         any    // the answer is read into it
	any2xx      bool   // else the answer must be 200
	hold        time.Duration
}

func (c *client) call(ctx context.Context, q request) error {
	body := q.raw
	if q.body != nil {
		b, err := json.Marshal(q.body)
		if err != nil {
			return err
		}
		body = b
	}
	ctx, cancel := context.WithTimeout(ctx, c.limit(q.hold))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, q.method, q.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", q.auth)
	req.Header.Set("User-Agent", c.userAgent)
	if q.contentType != "" {
		req.Header.Set("Content-Type", q.contentType)
	}
	if s := int(q.hold / time.Second); s > 0 {
		req.Header.Set("Prefer", "wait="+strconv.Itoa(s))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.clockOff.Store(int64(time.Until(at) * -1))
	}
	if resp.StatusCode != http.StatusOK && !(q.any2xx && resp.StatusCode/100 == 2) {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return &statusError{resp.StatusCode, message(text)}
	}
	if q.out == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
		return nil
	}
	// A payload is as large as its files; the bound only keeps a broken server from filling the memory.
	if err := json.NewDecoder(io.LimitReader(resp.Body, 256<<20)).Decode(q.out); err != nil {
		return fmt.Errorf("the server's answer to %s is not the JSON it should be: %w", q.url, err)
	}
	return nil
}

// message is the text of an error body, which may be JSON with a message.
func message(body []byte) string {
	var m struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &m) == nil && m.Message != "" {
		return m.Message
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(body), "\uFFFD"))
}
