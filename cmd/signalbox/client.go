package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/server"
)

// client talks to a server's public API.
type client struct {
	base   string
	public string // how other machines reach the server
	token  string
	http   *http.Client
}

// client finds the server: the one that is named, or the one that runs on the data folder, where an administrator's
// token lies beside it for whoever may read that folder.
func (g *Globals) client() (*client, error) {
	c := &client{base: strings.TrimRight(g.Server, "/"), token: g.APIToken}
	caFile := g.CAFile
	if c.base == "" {
		dir, err := g.dataDir()
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(filepath.Join(dir, server.InfoFile))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no server runs on the data folder %s: start one with \"signalbox server\", or name one with --server and --api-token", dir)
		}
		if err != nil {
			return nil, err
		}
		var info struct {
			URL       string `json:"url"`
			PublicURL string `json:"public_url"`
			CAFile    string `json:"ca_file"`
		}
		if err := json.Unmarshal(text, &info); err != nil {
			return nil, fmt.Errorf("read %s: %w", server.InfoFile, err)
		}
		c.base, c.public = info.URL, info.PublicURL
		if caFile == "" {
			caFile = info.CAFile
		}
		if c.token == "" {
			t, err := os.ReadFile(filepath.Join(dir, server.LocalTokenFile))
			if err != nil {
				return nil, fmt.Errorf("read the local administrator's token: %w", err)
			}
			c.token = strings.TrimSpace(string(t))
		}
	}
	if c.public == "" {
		c.public = c.base
	}
	u, err := url.Parse(c.base)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("the server %q must look like https://ci.example.com", c.base)
	}
	if c.token == "" {
		return nil, errors.New("an API token is needed: --api-token or SIGNALBOX_API_TOKEN")
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if t.TLSClientConfig.RootCAs, err = rootsWith(caFile); err != nil {
		return nil, err
	}
	c.http = &http.Client{Transport: t}
	return c, nil
}

// rootsWith returns the system's certificates and those of a file, nil, which stands for the system's, without one.
func rootsWith(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read the CA file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	return roots, nil
}

// open sends a request and returns the body of a 200.
func (c *client) open(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Token "+c.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Signalbox/"+version)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the server does not answer: %w", err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	var e struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &e) != nil || e.Message == "" {
		e.Message = fmt.Sprintf("the server answered %s: %.200s", res.Status, text)
	}
	return nil, &signalbox.Error{Code: codes[res.StatusCode], Message: e.Message}
}

var codes = map[int]signalbox.Code{
	400: signalbox.CodeInvalid, 401: signalbox.CodeUnauthorized, 403: signalbox.CodeForbidden, 404: signalbox.CodeNotFound,
	409: signalbox.CodeConflict, 503: signalbox.CodeUnavailable, 500: signalbox.CodeInternal,
}

// call sends a request and decodes the answer into out.
func (c *client) call(ctx context.Context, method, path string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	b, err := c.open(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer b.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(b).Decode(out); err != nil {
		return fmt.Errorf("the server's answer is not the JSON that was expected: %w", err)
	}
	return nil
}

// print writes v as JSON when that is asked for, the text otherwise.
func (g *Globals) print(v any, text string) error {
	if g.Output == "json" {
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		text = string(b) + "\n"
	}
	_, err := io.WriteString(g.out, text)
	return err
}
