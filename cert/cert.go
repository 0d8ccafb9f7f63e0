// Package cert gives the server a certificate of its own: a local certificate authority made at the first start and a
// server certificate from it that renews itself. The authority's key is kept sealed in the store, so that all servers
// of one database share it; its certificate and a bundle that contains it lie in the data folder for agents and tools
// to trust.
package cert

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Sealer keeps the authority's key unreadable at rest.
type Sealer interface {
	Seal(plain []byte, additional string) []byte
	Open(sealed []byte, additional string) ([]byte, error)
}

// Blobs keeps sealed bytes under a name; Get returns nil when there are none, and PutNew
// keeps what is there.
type Blobs interface {
	Get(ctx context.Context, name string) ([]byte, error)
	PutNew(ctx context.Context, name string, data []byte) error
}

// Options for Ensure; Dir, Keys and Blobs are required.
type Options struct {
	Dir   string // data folder, for ca.crt and trust.pem
	Keys  Sealer
	Blobs Blobs
	Hosts []string         // names and addresses beside localhost and this host's name
	Now   func() time.Time // default time.Now
}

const (
	blobName   = "certificate-authority"
	caLife     = 10 * 365 * 24 * time.Hour
	serverLife = 90 * 24 * time.Hour
	renewLeft  = 30 * 24 * time.Hour
)

// Manager hands out the server's certificate.
type Manager struct {
	dir   string
	now   func() time.Time
	hosts []string
	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey

	mu      sync.Mutex
	current *tls.Certificate
}

// Ensure loads the authority, or makes it at the first start, and writes ca.crt and trust.pem.
func Ensure(ctx context.Context, o Options) (*Manager, error) {
	if o.Dir == "" || o.Keys == nil || o.Blobs == nil {
		return nil, errors.New("cert: a folder, keys and a store are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Manager{dir: o.Dir, now: o.Now, hosts: hosts(o.Hosts)}
	sealed, err := o.Blobs.Get(ctx, blobName)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	if sealed == nil {
		if sealed, err = newAuthority(o); err != nil {
			return nil, err
		}
		if err := o.Blobs.PutNew(ctx, blobName, sealed); err != nil {
			return nil, fmt.Errorf("store the certificate authority: %w", err)
		}
		// Another server may have been as new as we are: what is stored now counts.
		if sealed, err = o.Blobs.Get(ctx, blobName); err != nil {
			return nil, fmt.Errorf("read the certificate authority: %w", err)
		}
	}
	plain, err := o.Keys.Open(sealed, blobName)
	if err != nil {
		return nil, fmt.Errorf("open the certificate authority (is this the master key it was sealed with?): %w", err)
	}
	if m.ca, m.caKey, err = parseAuthority(plain); err != nil {
		return nil, err
	}
	if _, err := m.certificate(); err != nil {
		return nil, err
	}
	return m, m.writeTrust()
}

func hosts(more []string) []string {
	all := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil && name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r > '~' || r <= ' ' }) {
		all = append(all, name) // a certificate holds ASCII names only; ours must not fail for how the machine is called
	}
	for _, h := range more {
		if h != "" && !slices.Contains(all, h) {
			all = append(all, h)
		}
	}
	return all
}

func serial() (*big.Int, error) { return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) }

func newAuthority(o Options) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	n, err := serial()
	if err != nil {
		return nil, err
	}
	now := o.Now()
	t := &x509.Certificate{
		SerialNumber: n, Subject: pkix.Name{CommonName: "Signalbox local CA " + hex.EncodeToString(n.Bytes()[:4])},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLife), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	k, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := errors.Join(pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.Encode(&b, &pem.Block{Type: "EC PRIVATE KEY", Bytes: k})); err != nil {
		return nil, err
	}
	return o.Keys.Seal(b.Bytes(), blobName), nil
}

func parseAuthority(text []byte) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	c, rest := pem.Decode(text)
	k, _ := pem.Decode(rest)
	if c == nil || k == nil {
		return nil, nil, errors.New("the stored certificate authority is not complete")
	}
	ca, err := x509.ParseCertificate(c.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("parse the certificate authority: %w", err)
	}
	key, err := x509.ParseECPrivateKey(k.Bytes)
	return ca, key, err
}

// certificate returns the present server certificate, making a new one when there is none or it ends soon.
func (m *Manager) certificate() (*tls.Certificate, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if m.current != nil && m.current.Leaf.NotAfter.Sub(now) > renewLeft {
		return m.current, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	n, err := serial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: n, Subject: pkix.Name{CommonName: "Signalbox"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(serverLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range m.hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, m.ca, key.Public(), m.caKey)
	if err != nil {
		return nil, fmt.Errorf("make the server certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	m.current = &tls.Certificate{Certificate: [][]byte{der, m.ca.Raw}, PrivateKey: key, Leaf: leaf}
	return m.current, nil
}

// TLSConfig serves the certificate over HTTP/1.1 only: held requests cost less memory there than over HTTP/2.
func (m *Manager) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return m.certificate() },
	}
}

// CAFile is where the authority's certificate lies, TrustFile where it lies together with the system's.
func (m *Manager) CAFile() string    { return filepath.Join(m.dir, "ca.crt") }
func (m *Manager) TrustFile() string { return filepath.Join(m.dir, "trust.pem") }

// Fingerprint is the SHA-256 of the authority's certificate in hexadecimal.
func (m *Manager) Fingerprint() string {
	sum := sha256.Sum256(m.ca.Raw)
	return hex.EncodeToString(sum[:])
}

// TrustHint is the line that makes programs of this machine trust the server.
func (m *Manager) TrustHint() string { return trustHint(runtime.GOOS, m.CAFile(), m.TrustFile()) }

func trustHint(goos, ca, bundle string) string {
	switch goos {
	case "darwin":
		return "sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain " + ca
	case "windows":
		return "certutil -addstore -f ROOT " + ca
	}
	return "export SSL_CERT_FILE=" + bundle
}

// systemBundles are the usual places of a system's roots.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/usr/local/share/certs/ca-root-nss.crt",
}

// writeTrust writes ca.crt, and trust.pem with the system's roots and ours: SSL_CERT_FILE replaces the system's roots
// for every tool in a job, so a file with our authority alone would cut them off from everything else.
func (m *Manager) writeTrust() error {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.ca.Raw})
	var bundle []byte
	for _, p := range systemBundles {
		if b, err := os.ReadFile(p); err == nil {
			bundle = append(bytes.TrimRight(b, "\n"), '\n')
			break
		}
	}
	for path, text := range map[string][]byte{m.CAFile(): ca, m.TrustFile(): append(bundle, ca...)} {
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
			continue
		}
		tmp := path + ".tmp"
		if err := os.WriteFile(tmp, text, 0o644); err != nil { //nolint:gosec // certificates are public
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err := os.Rename(tmp, path); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}
