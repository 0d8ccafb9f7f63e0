package sts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// signed is an address as an agent sends it.
func signed(change func(u *url.URL, q url.Values)) string {
	u := &url.URL{Scheme: "https", Host: "sts.amazonaws.com", Path: "/"}
	q := url.Values{
		"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}, "X-Amz-Algorithm": {"AWS4-HMAC-SHA256"},
		"X-Amz-Credential": {"ASIAEXAMPLE/20261123/us-east-1/sts/aws4_request"}, "X-Amz-Date": {"20261123T115900Z"}, "X-Amz-Expires": {"900"},
		"X-Amz-Security-Token": {"session"}, "X-Amz-SignedHeaders": {"host"}, "X-Amz-Signature": {"SIGNED"},
	}
	if change != nil {
		change(u, q)
	}
	if u.RawQuery == "" {
		u.RawQuery = q.Encode()
	}
	return u.String()
}

func TestCheck(t *testing.T) {
	host := func(h string) func(*url.URL, url.Values) { return func(u *url.URL, _ url.Values) { u.Host = h } }
	set := func(name string, values ...string) func(*url.URL, url.Values) {
		return func(_ *url.URL, q url.Values) { q[name] = values }
	}
	for _, c := range []struct {
		name   string
		change func(*url.URL, url.Values)
		want   string
	}{
		{"as agents send it", nil, ""},
		{"no path", func(u *url.URL, _ url.Values) { u.Path = "" }, ""},
		{"a region", host("sts.eu-central-1.amazonaws.com"), ""},
		{"no such region", host("sts.nowhere-1.amazonaws.com"), "the host must be"},
		{"no region", host("sts..amazonaws.com"), "the host must be"},
		{"another partition", host("sts.cn-north-1.amazonaws.com.cn"), "the host must be"},
		{"another host", host("sts.amazonaws.com.evil.example"), "the host must be"},
		{"a host before it", host("evil.example.sts.amazonaws.com"), "the host must be"},
		{"another service", host("s3.amazonaws.com"), "the host must be"},
		{"an address", host("169.254.169.254"), "the host must be"},
		{"a port", host("sts.amazonaws.com:443"), "the host must be"},
		{"in capitals", host("STS.amazonaws.com"), "the host must be"},
		{"a dot at the end", host("sts.amazonaws.com."), "the host must be"},
		{"not encrypted", func(u *url.URL, _ url.Values) { u.Scheme = "http" }, "only pre-signed"},
		{"a user", func(u *url.URL, _ url.Values) { u.User = url.User("sts.amazonaws.com") }, "only pre-signed"},
		{"a path", func(u *url.URL, _ url.Values) { u.Path = "/x" }, "only pre-signed"},
		{"a fragment", func(u *url.URL, _ url.Values) { u.Fragment = "x" }, "only pre-signed"},
		{"another action", set("Action", "AssumeRole"), "GetCallerIdentity"},
		{"two actions", set("Action", "GetCallerIdentity", "AssumeRole"), `"Action" is given twice`},
		{"another version", set("Version", "2010"), "GetCallerIdentity"},
		{"not signed", func(_ *url.URL, q url.Values) { q.Del("X-Amz-Signature") }, "it is not signed"},
		{"an empty signature", set("X-Amz-Signature", ""), "it is not signed"},
		{"another algorithm", set("X-Amz-Algorithm", "none"), "it is not signed"},
		{"no date", set("X-Amz-Date", ""), "when it was signed"},
		{"no end", set("X-Amz-Expires", ""), "when it was signed"},
		{"a negative time", set("X-Amz-Expires", "-1"), "when it was signed"},
		{"for a week", set("X-Amz-Expires", "604800"), "lasts for 604800 seconds"},
		{"more than a number holds", set("X-Amz-Expires", "9223372036854775807"), "lasts for"},
		{"expired", set("X-Amz-Date", "20261123T114459Z"), "expired at 2026-11-23T11:59:59Z"},
		{"just not expired", set("X-Amz-Date", "20261123T114500Z"), ""},
		{"from the future", set("X-Amz-Date", "20261123T120501Z"), "in the future"},
		{"a bad query", func(u *url.URL, _ url.Values) { u.RawQuery = "Action=%zz" }, "the query cannot be read"},
		{"long", set("X", strings.Repeat("x", maxAddress)), "more than 8192"},
	} {
		_, err := check(signed(c.change), noon)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), "SIGNED") || signalbox.ErrorCode(err) != signalbox.CodeInvalid) {
			t.Errorf("%s: the error repeats the address or has another code: %v", c.name, err)
		}
	}
	for _, text := range []string{"", "one-agent", "https://", "https:sts.amazonaws.com", "https://sts.amazonaws.com\x00/", "//sts.amazonaws.com/", "https://[::1"} {
		if _, err := check(text, noon); err == nil || !strings.Contains(err.Error(), only) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

const answer = `{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"123456789012","Arn":"arn:aws:sts::123456789012:assumed-role/ci-agent/i-0abc","UserId":"AROA:i-0abc"},"ResponseMetadata":{"RequestId":"x"}}}`

// standIn is a server that vouches for being AWS, and a client that finds it there.
func standIn(t *testing.T, host string, h http.HandlerFunc) *Client {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stand-in"}, DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return New(Options{
		Resolve: func(string) string { return srv.Listener.Addr().String() }, RootCAs: roots, Timeout: 2 * time.Second, Now: func() time.Time { return noon },
	})
}

func TestAsk(t *testing.T) {
	var asked atomic.Int64
	c := standIn(t, "sts.amazonaws.com", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Host != "sts.amazonaws.com" || r.Method != http.MethodGet || r.Header.Get("Accept") != "application/json" || r.URL.Query().Get("X-Amz-Signature") != "SIGNED" {
			t.Errorf("asked %s %s with %v", r.Method, r.Host, r.Header)
		}
		fmt.Fprint(w, answer)
	})
	i, err := c.Ask(t.Context(), signed(nil))
	if err != nil || i != (Identity{"123456789012", "arn:aws:sts::123456789012:assumed-role/ci-agent/i-0abc"}) {
		t.Fatalf("%+v %v", i, err)
	}
	if _, err := c.Ask(t.Context(), signed(func(u *url.URL, _ url.Values) { u.Host = "evil.example" })); err == nil || asked.Load() != 1 {
		t.Errorf("an address elsewhere: %v, and %d were asked", err, asked.Load())
	}
}

func TestAskWhatGoesWrong(t *testing.T) {
	followed := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer followed.Close()
	for _, c := range []struct {
		name string
		host string
		h    http.HandlerFunc
		code signalbox.Code
		want string
	}{
		{"refused", "", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "SIGNED is bad", http.StatusForbidden) }, signalbox.CodeInvalid, "it answered 403"},
		{"redirect", "", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, followed.URL, http.StatusFound) }, signalbox.CodeInvalid, "it answered 302"},
		{"throttled", "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, signalbox.CodeUnavailable, "it answered 429"},
		{"broken", "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, signalbox.CodeUnavailable, "it answered 502"},
		{"endless", "", func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				fmt.Fprint(w, strings.Repeat(" ", 64<<10))
			}
		}, signalbox.CodeUnavailable, "too long"},
		{"XML", "", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<GetCallerIdentityResponse/>") }, signalbox.CodeUnavailable, "no JSON"},
		{"silent", "", func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Second):
			}
		}, signalbox.CodeUnavailable, "in time"},
		{"somebody else's certificate", "evil.example", func(http.ResponseWriter, *http.Request) { t.Error("asked somebody else") }, signalbox.CodeUnavailable, "certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := c.host
			if host == "" {
				host = "sts.amazonaws.com"
			}
			_, err := standIn(t, host, c.h).Ask(t.Context(), signed(nil))
			if signalbox.ErrorCode(err) != c.code || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "SIGNED") {
				t.Errorf("%v (%s), want %q (%s)", err, signalbox.ErrorCode(err), c.want, c.code)
			}
		})
	}
}

func TestAskingIsBounded(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, atOnce)
	c := standIn(t, "sts.amazonaws.com", func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		fmt.Fprint(w, answer)
	})
	c.o.Timeout = time.Minute
	done := make(chan error, atOnce)
	for range atOnce {
		go func() { _, err := c.Ask(context.WithoutCancel(t.Context()), signed(nil)); done <- err }()
	}
	for range atOnce {
		<-arrived
	}
	if _, err := c.Ask(t.Context(), signed(nil)); signalbox.ErrorCode(err) != signalbox.CodeUnavailable || !strings.Contains(err.Error(), "at once") {
		t.Errorf("one more: %v", err)
	}
	close(release)
	for range atOnce {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestName(t *testing.T) {
	const arn = "arn:aws:sts::123456789012:assumed-role/ci-agent/i-0abc"
	for _, c := range []struct {
		account, arn string
		roles        []string
		want         string // the name, or part of the refusal
		ok           bool
	}{
		{"123456789012", arn, []string{"ci-agent"}, "i-0abc", true},
		{"123456789012", arn, []string{"x", " ci-* "}, "i-0abc", true},
		{"123456789012", arn, []string{"*"}, "i-0abc", true},
		{"123456789012", arn, []string{"*agent"}, "i-0abc", true},
		{"123456789012", arn, []string{"c*-*t"}, "i-0abc", true},
		{"123456789012", arn, []string{"ci-agent*"}, "i-0abc", true},
		{"123456789012", arn, []string{"ci"}, "no pattern of this agent type names", false},
		{"123456789012", arn, []string{"agent"}, "no pattern", false},
		{"123456789012", arn, []string{"ci.agent"}, "no pattern", false},
		{"123456789012", arn, []string{"ci-agent*t"}, "no pattern", false},
		{"123456789012", arn, []string{"CI-AGENT"}, "no pattern", false},
		{"123456789012", arn, nil, "no pattern", false},
		{"210987654321", arn, []string{"*"}, "another one", false},
		{"123456789012", "arn:aws:sts::210987654321:assumed-role/ci-agent/i-0abc", []string{"*"}, "another one", false},
		{"123456789012", "arn:aws:iam::123456789012:user/ana", []string{"*"}, "no assumed role", false},
		{"123456789012", "arn:aws:iam::123456789012:root", []string{"*"}, "no assumed role", false},
		{"123456789012", arn + "/x", []string{"*"}, "no assumed role", false},
		{"123456789012", "", []string{"*"}, "no assumed role", false},
		{"123456789012", "arn:aws:sts::123456789012:assumed-role/ci-agent/a b", []string{"*"}, "cannot be a name", false},
		{"123456789012", "arn:aws:sts::123456789012:assumed-role/ci-agent/a@b.c=d", []string{"*"}, "a@b.c=d", true},
	} {
		name, err := Identity{c.account, c.arn}.Name("123456789012", c.roles)
		if (err == nil) != c.ok || err == nil && name != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s %q: %q %v, want %q", c.account, c.arn, c.roles, name, err, c.want)
		}
	}
}
