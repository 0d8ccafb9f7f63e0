// Package sts finds out from AWS who an agent is. The agent sends an address that it signed with the role of its machine;
// asking it tells account, role and session, and nobody without the role's keys can make one. The address comes from a
// stranger, so where it leads and what it asks for is checked before anything is sent, and it is never logged or stored.
package sts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// Limits of one question.
const (
	maxAddress  = 8 << 10
	maxAnswer   = 64 << 10
	maxLifetime = time.Hour
	maxSkew     = 5 * time.Minute
	atOnce      = 32
)

// regions are those of the commercial partition. Elsewhere accounts and roles are not comparable.
var regions = []string{
	"af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1",
	"ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1",
	"eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "il-central-1", "me-central-1",
	"me-south-1", "mx-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
}

// Options for New; the zero value asks AWS.
type Options struct {
	Resolve func(host string) string // where a host answers, as host:port; for tests. nil is as the world says
	RootCAs *x509.CertPool           // nil are the system's
	Timeout time.Duration            // of one question; default 5 s
	Now     func() time.Time         // default time.Now
}

// Client asks.
type Client struct {
	o     Options
	http  *http.Client
	slots chan struct{}
}

// New returns a client.
func New(o Options) *Client {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs}
	if o.Resolve != nil {
		t.Proxy = nil
		dial := t.DialContext
		t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return dial(ctx, network, o.Resolve(host))
		}
	}
	return &Client{o: o, slots: make(chan struct{}, atOnce), http: &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func refused(format string, args ...any) error {
	return signalbox.Errorf(signalbox.CodeInvalid, format, args...)
}

// only is what an agent of such a type may send as its name.
const only = "only pre-signed AWS STS URLs for name assignment are allowed"

// check refuses every address that is not a fresh, signed question of who the signer is. Its errors do not repeat the address.
func check(text string, now time.Time) (*url.URL, error) {
	if len(text) > maxAddress {
		return nil, refused("%s: this one has %d characters, more than %d", only, len(text), maxAddress)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Opaque != "" || u.Path != "" && u.Path != "/" {
		return nil, refused(only)
	}
	if !allowed(u.Host) {
		return nil, refused("%s: the host must be sts.amazonaws.com or sts.REGION.amazonaws.com", only)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, refused("%s: the query cannot be read", only)
	}
	for name, values := range q {
		if len(values) != 1 {
			return nil, refused("%s: %.40q is given twice", only, name)
		}
	}
	if q.Get("Action") != "GetCallerIdentity" || q.Get("Version") != "2011-06-15" {
		return nil, refused("%s: it must ask for GetCallerIdentity (Action, and Version 2011-06-15)", only)
	}
	if q.Get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" || q.Get("X-Amz-Signature") == "" || q.Get("X-Amz-Credential") == "" {
		return nil, refused("%s: it is not signed (AWS4-HMAC-SHA256)", only)
	}
	return u, fresh(q, now)
}

func allowed(host string) bool {
	if host == "sts.amazonaws.com" {
		return true
	}
	region, ok := strings.CutPrefix(host, "sts.")
	if !ok {
		return false
	}
	region, ok = strings.CutSuffix(region, ".amazonaws.com")
	return ok && slices.Contains(regions, region)
}

// fresh refuses a signature that has expired or lasts for long: whoever finds it in an old log must not be an agent.
func fresh(q url.Values, now time.Time) error {
	signed, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
	seconds, err2 := strconv.Atoi(q.Get("X-Amz-Expires"))
	life := time.Duration(seconds) * time.Second
	switch {
	case err != nil || err2 != nil || seconds < 1:
		return refused("%s: it does not say when it was signed and for how long (X-Amz-Date, X-Amz-Expires)", only)
	case seconds > int(maxLifetime/time.Second):
		return refused("%s: it lasts for %d seconds; at most %d are allowed", only, seconds, maxLifetime/time.Second)
	case now.Before(signed.Add(-maxSkew)):
		return refused("%s: it was signed in the future; look at the clocks", only)
	case now.After(signed.Add(life)):
		return refused("%s: it expired at %s; the agent must sign a new one at each start", only, signed.Add(life).Format(time.RFC3339))
	}
	return nil
}

// Identity is who AWS says that somebody is.
type Identity struct {
	Account string
	ARN     string
}

// Ask sends a signed address to AWS. What is wrong with the address or the signature is CodeInvalid, and what keeps AWS from
// answering CodeUnavailable.
func (c *Client) Ask(ctx context.Context, address string) (Identity, error) {
	u, err := check(address, c.o.Now())
	if err != nil {
		return Identity{}, err
	}
	away := func(what string) error {
		return signalbox.Errorf(signalbox.CodeUnavailable, "AWS could not be asked who the agent is: %s; try again", what)
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		return Identity{}, away("too many agents ask at once")
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Identity{}, refused(only)
	}
	req.Header.Set("Accept", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return Identity{}, away(cause(err))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case ctx.Err() != nil: // also when there is an answer: hanging up can draw a last, empty one
		return Identity{}, away(late)
	case err != nil:
		return Identity{}, away("its answer broke off")
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return Identity{}, away("it answered " + strconv.Itoa(res.StatusCode))
	case res.StatusCode != http.StatusOK:
		return Identity{}, refused("AWS does not accept the signature: it answered %d", res.StatusCode)
	case len(body) > maxAnswer:
		return Identity{}, away("its answer is too long")
	}
	var out struct {
		Response struct {
			Result struct {
				Account string
				Arn     string
			} `json:"GetCallerIdentityResult"`
		} `json:"GetCallerIdentityResponse"`
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return Identity{}, away("its answer is no JSON")
	}
	return Identity{Account: out.Response.Result.Account, ARN: out.Response.Result.Arn}, nil
}

const late = "it did not answer in time"

// cause is what went wrong without the address, which errors of net/http repeat.
func cause(err error) string {
	for {
		u, ok := err.(*url.Error) //nolint:errorlint // the outermost is what has the address
		if !ok {
			return err.Error()
		}
		if u.Timeout() {
			return late
		}
		err = u.Err
	}
}

var (
	assumedRole = regexp.MustCompile(`^arn:aws:sts::([0-9]{12}):assumed-role/([^/]+)/([^/]+)$`)
	sessionName = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,64}$`)
)

// Name returns the name of an agent with an identity: that of its session, if account and role are those that may be.
func (i Identity) Name(account string, roles []string) (string, error) {
	m := assumedRole.FindStringSubmatch(i.ARN)
	switch {
	case m == nil:
		return "", refused("AWS says that the agent is %.200q, which is no assumed role: give its machine a role", i.ARN)
	case i.Account != account || m[1] != account:
		return "", refused("AWS says that the agent belongs to the account %.20q, and this agent type is for another one", i.Account)
	case !slices.ContainsFunc(roles, func(p string) bool { return matches(p, m[2]) }):
		return "", refused("AWS says that the agent has the role %.140q, which no pattern of this agent type names", m[2])
	case !sessionName.MatchString(m[3]):
		return "", refused("AWS says that the agent's session is %.100q, which cannot be a name", m[3])
	}
	return m[3], nil
}

// matches compares a whole role name with a pattern in which * stands for any text.
func matches(pattern, name string) bool {
	parts := strings.Split(strings.TrimSpace(pattern), "*")
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok || len(parts) == 1 {
		return ok && rest == ""
	}
	for _, p := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, p)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
