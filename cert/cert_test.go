package cert

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// box seals by turning bits and writing the name in front: enough to see what is stored sealed, and under which name.
type box struct{}

func (box) Seal(plain []byte, additional string) []byte {
	out := []byte(additional + "\x00")
	for _, b := range plain {
		out = append(out, b^0x55)
	}
	return out
}

func (box) Open(sealed []byte, additional string) ([]byte, error) {
	rest, ok := bytes.CutPrefix(sealed, []byte(additional+"\x00"))
	if !ok {
		return nil, errors.New("does not open")
	}
	plain := make([]byte, len(rest))
	for i, b := range rest {
		plain[i] = b ^ 0x55
	}
	return plain, nil
}

// shelf keeps blobs in memory.
type shelf struct {
	mu   sync.Mutex
	held map[string][]byte
	puts int
	fail error
}

func (s *shelf) Get(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[name], s.fail
}

func (s *shelf) PutNew(_ context.Context, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[string][]byte{}
	}
	s.held[name] = data
	s.puts++
	return s.fail
}

func ensure(t *testing.T, o Options) *Manager {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Keys = box{}
	if o.Blobs == nil {
		o.Blobs = &shelf{}
	}
	m, err := Ensure(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// pool reads a file of certificates as a client would.
func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", file)
	}
	return p
}

// serve answers HTTPS with the manager's settings and returns its address.
func serve(t *testing.T, m *Manager) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	s.Config.ErrorLog = nil
	s.Listener = tls.NewListener(s.Listener, m.TLSConfig())
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// shake does a handshake with the server at addr and returns what was agreed.
func shake(addr string, c *tls.Config) (tls.ConnectionState, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: c}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState(), nil
}

func TestHandshake(t *testing.T) {
	m := ensure(t, Options{Hosts: []string{"ci.example.com", "192.0.2.7", "localhost", ""}})
	addr, roots := serve(t, m), pool(t, m.CAFile())
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", host, "ci.example.com", "192.0.2.7"} {
		if _, err := shake(addr, &tls.Config{RootCAs: roots, ServerName: name}); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	for name, c := range map[string]*tls.Config{
		"another name":      {RootCAs: roots, ServerName: "other.example.com"},
		"another address":   {RootCAs: roots, ServerName: "192.0.2.8"},
		"nobody trusted":    {RootCAs: x509.NewCertPool(), ServerName: "localhost"},
		"another authority": {RootCAs: pool(t, ensure(t, Options{}).CAFile()), ServerName: "localhost"},
		"TLS 1.1":           {RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
	} {
		if _, err := shake(addr, c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		state, err := shake(addr, &tls.Config{
			RootCAs: roots, ServerName: "localhost", MinVersion: version, MaxVersion: version, NextProtos: []string{"h2", "http/1.1"},
		})
		if err != nil || state.Version != version || state.NegotiatedProtocol != "http/1.1" {
			t.Errorf("%s: agreed on %s, %q, %v", tls.VersionName(version), tls.VersionName(state.Version), state.NegotiatedProtocol, err)
		}
	}
	for _, file := range []string{m.CAFile(), m.TrustFile()} {
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool(t, file)}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
		}}
		res, err := client.Get("https://" + addr)
		if err != nil {
			t.Errorf("trusting %s: %v", filepath.Base(file), err)
			continue
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(body) != "HTTP/1.1" {
			t.Errorf("served over %s", body)
		}
	}
}

func TestAuthorityIsShared(t *testing.T) {
	blobs := &shelf{}
	first, second := ensure(t, Options{Blobs: blobs}), ensure(t, Options{Blobs: blobs})
	if blobs.puts != 1 || first.Fingerprint() != second.Fingerprint() || len(first.Fingerprint()) != 64 {
		t.Errorf("%d authorities were stored, fingerprints %s and %s", blobs.puts, first.Fingerprint(), second.Fingerprint())
	}
	if _, err := shake(serve(t, second), &tls.Config{RootCAs: pool(t, first.CAFile()), ServerName: "localhost"}); err != nil {
		t.Errorf("who trusts one server refuses the other: %v", err)
	}
	for name, data := range blobs.held {
		if bytes.Contains(data, []byte("PRIVATE KEY")) || !bytes.HasPrefix(data, []byte(name)) {
			t.Errorf("%s is not sealed under its name", name)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(first.CAFile()))
	if err != nil || len(entries) != 2 {
		t.Errorf("the folder holds %v, %v; want ca.crt and trust.pem", entries, err)
	}
}

func TestCertificateRenewsItself(t *testing.T) {
	var now time.Time
	var mu sync.Mutex
	set := func(at time.Time) { mu.Lock(); now = at; mu.Unlock() }
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	set(start)
	m := ensure(t, Options{Now: clock})
	addr, roots := serve(t, m), pool(t, m.CAFile())
	serial := func() string {
		t.Helper()
		state, err := shake(addr, &tls.Config{RootCAs: roots, ServerName: "localhost", Time: clock})
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].SerialNumber.String()
	}
	const day = 24 * time.Hour
	first := serial()
	set(start.Add(60*day - time.Second))
	if serial() != first {
		t.Error("renewed with more than 30 days left")
	}
	set(start.Add(60 * day))
	second := serial()
	if second == first {
		t.Error("not renewed with 30 days left")
	}
	set(start.Add(150 * day)) // nobody came for a while: the old one has ended
	if third := serial(); third == second || third == first {
		t.Error("not renewed after its end")
	}
	set(start.Add(9 * 365 * day))
	serial() // the authority still holds
	if ca := m.ca; ca.NotAfter.Sub(start) != 10*365*day || !ca.IsCA || !ca.MaxPathLenZero {
		t.Errorf("the authority ends %v, IsCA %v", ca.NotAfter, ca.IsCA)
	}
}

func TestTrustFile(t *testing.T) {
	m := ensure(t, Options{})
	ca, err := os.ReadFile(m.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(m.TrustFile())
	if err != nil || !bytes.HasSuffix(bundle, ca) {
		t.Errorf("trust.pem does not end with our authority (%v)", err)
	}
	at := slices.IndexFunc(systemBundles, func(p string) bool { _, err := os.Stat(p); return err == nil })
	if at >= 0 {
		system, err := os.ReadFile(systemBundles[at])
		if err != nil || !bytes.HasPrefix(bundle, bytes.TrimSpace(system)) {
			t.Errorf("trust.pem does not hold the system's roots of %s (%v)", systemBundles[at], err)
		}
	}
	// a damaged copy is mended at the next start
	dir, blobs := t.TempDir(), &shelf{}
	m = ensure(t, Options{Dir: dir, Blobs: blobs})
	if err := os.WriteFile(m.CAFile(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ensure(t, Options{Dir: dir, Blobs: blobs})
	pool(t, m.CAFile())
}

func TestTrustHint(t *testing.T) {
	for goos, want := range map[string]string{
		"linux": "SSL_CERT_FILE=/d/trust.pem", "freebsd": "SSL_CERT_FILE=/d/trust.pem",
		"darwin": "security add-trusted-cert", "windows": "certutil -addstore",
	} {
		hint := trustHint(goos, "/d/ca.crt", "/d/trust.pem")
		if !strings.Contains(hint, want) || strings.Contains(hint, "\n") {
			t.Errorf("%s: %q", goos, hint)
		}
		if !strings.Contains(want, "trust.pem") && !strings.Contains(hint, "/d/ca.crt") {
			t.Errorf("%s: %q does not name the authority", goos, hint)
		}
	}
}

func TestEnsureRefuses(t *testing.T) {
	ctx, away := context.Background(), errors.New("database away")
	for name, o := range map[string]Options{
		"no folder": {Keys: box{}, Blobs: &shelf{}},
		"no keys":   {Dir: t.TempDir(), Blobs: &shelf{}},
		"no store":  {Dir: t.TempDir(), Keys: box{}},
	} {
		if _, err := Ensure(ctx, o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := Ensure(ctx, Options{Dir: t.TempDir(), Keys: box{}, Blobs: &shelf{fail: away}}); !errors.Is(err, away) {
		t.Errorf("got %v, want the store's error", err)
	}
	for name, sealed := range map[string][]byte{
		"another master key": []byte("something else"),
		"not complete":       box{}.Seal([]byte("-----BEGIN"), blobName),
		"nothing":            {},
	} {
		blobs := &shelf{held: map[string][]byte{blobName: sealed}}
		if _, err := Ensure(ctx, Options{Dir: t.TempDir(), Keys: box{}, Blobs: blobs}); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if blobs.puts != 0 {
			t.Errorf("%s: the authority that clients trust was replaced", name)
		}
	}
}
