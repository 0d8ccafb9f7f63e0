package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	artifactTries   = 5
	artifactPause   = time.Second
	artifactAnswer  = 64 << 10 // bytes of an answer that are read
	artifactTimeout = time.Minute
)

// ArtifactTarget is where an artifact is pushed to.
type ArtifactTarget struct {
	URL   string // of the server; what follows the host is ignored
	Token string
	Path  string // artifacts/workflows/<id>/...
	Force bool   // replaces what is there
}

// artifactExistsError says that nothing was pushed because the server has a file at the path already.
type artifactExistsError struct{ path string }

func (e *artifactExistsError) Error() string {
	return "the server has the artifact " + e.path + " already"
}

// ArtifactExists tells whether an error of PushArtifact means that nothing was pushed because a file was there.
func ArtifactExists(err error) bool {
	var e *artifactExistsError
	return errors.As(err, &e)
}

// PushArtifact stores one file of size bytes among the artifacts of a server: it asks for signed URLs, looks whether
// there is such a file unless it may replace it, and uploads ours if not. open is called for each try. Connection errors, 429 and 5xx answers
// are tried again, but what is wrong now will be wrong in a second too. Errors hold neither the token nor a signature.
func PushArtifact(ctx context.Context, hc *http.Client, to ArtifactTarget, size int64, open func() (io.ReadCloser, error)) error {
	path := to.Path
	in := map[string]any{"paths": []string{path}}
	if to.Force {
		in["type"] = 1
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	base, err := url.Parse(to.URL)
	if err != nil || base.Host == "" {
		return fmt.Errorf("push the artifact %s: %q is not the URL of a server", path, to.URL)
	}
	p := artifactPush{hc: hc, path: path, force: to.Force}
	status, answer, err := p.send(ctx, artifactTimeout, func(ctx context.Context) (*http.Request, error) {
		target := base.Scheme + "://" + base.Host + "/api/v1/artifacts"
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(append(body, '\n')))
		if err == nil {
			req.Header.Set("Authorization", to.Token) // as it is, without a word before it
		}
		return req, err
	})
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return p.refused("ask for its URL", status, answer)
	}
	look, put, err := p.urls(answer)
	if err != nil {
		return err
	}
	if look != "" {
		status, _, err = p.send(ctx, artifactTimeout, func(ctx context.Context) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, http.MethodHead, look, nil)
		})
		if err != nil {
			return err
		}
		if status/100 == 2 {
			return &artifactExistsError{path}
		}
	}
	status, answer, err = p.send(ctx, 0, func(ctx context.Context) (*http.Request, error) {
		content, err := open()
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, put, content)
		if err != nil {
			content.Close()
			return nil, err
		}
		if req.ContentLength = size; size == 0 {
			content.Close()
			req.Body = http.NoBody // otherwise 0 would mean that the length is not known
		}
		return req, nil
	})
	switch {
	case err != nil:
		return err
	case status == http.StatusPreconditionFailed: // it appeared after we looked
		return &artifactExistsError{path}
	case status/100 != 2:
		return p.refused("upload it", status, answer)
	}
	return nil
}

type artifactPush struct {
	hc    *http.Client
	path  string
	force bool
}

// urls returns where to look, "" where that is not wanted, and where to upload.
func (p artifactPush) urls(answer []byte) (look, put string, err error) {
	var out struct {
		URLs []struct {
			URL    string `json:"url"`
			Method string `json:"method"`
		} `json:"urls"`
		Error string `json:"error"`
	}
	err = json.Unmarshal(answer, &out)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("push the artifact %s: the server's answer is not the JSON it should be", p.path)
	case out.Error != "":
		return "", "", fmt.Errorf("push the artifact %s: the server says: %.500s", p.path, out.Error)
	case p.force && len(out.URLs) == 1 && out.URLs[0].Method == http.MethodPut:
		return "", out.URLs[0].URL, nil
	case p.force || len(out.URLs) != 2 || out.URLs[0].Method != http.MethodHead || out.URLs[1].Method != http.MethodPut:
		return "", "", fmt.Errorf("push the artifact %s: the server answered %d URLs, not those that were expected", p.path, len(out.URLs))
	}
	return out.URLs[0].URL, out.URLs[1].URL, nil
}

func (p artifactPush) refused(what string, status int, answer []byte) error {
	return fmt.Errorf("push the artifact %s: %s: %w", p.path, what, &statusError{status, message(answer[:min(len(answer), 500)])})
}

// send sends a request until it is answered with something that trying again does not change. A limit of 0 is none.
func (p artifactPush) send(ctx context.Context, limit time.Duration, make func(context.Context) (*http.Request, error)) (status int, answer []byte, err error) {
	for try := 1; ; try++ {
		status, answer, err = p.once(ctx, limit, make)
		var local *localError
		switch {
		case errors.As(err, &local):
			return 0, nil, fmt.Errorf("push the artifact %s: %w", p.path, local.err)
		case ctx.Err() != nil:
			return 0, nil, ctx.Err()
		case err == nil && status != http.StatusTooManyRequests && (status < 500 || status == http.StatusNotImplemented):
			return status, answer, nil
		case try == artifactTries && err != nil:
			return 0, nil, fmt.Errorf("push the artifact %s: no answer in %d tries: %w", p.path, try, err)
		case try == artifactTries:
			return status, answer, nil
		}
		pause := time.NewTimer(artifactPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return 0, nil, ctx.Err()
		case <-pause.C:
		}
	}
}

// localError is an error of this side, which the server cannot mend.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }

func (p artifactPush) once(ctx context.Context, limit time.Duration, make func(context.Context) (*http.Request, error)) (int, []byte, error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	req, err := make(ctx)
	if err != nil {
		return 0, nil, &localError{withoutSignature(err)}
	}
	res, err := p.hc.Do(req)
	if err != nil {
		return 0, nil, withoutSignature(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, artifactAnswer))
	if err != nil && res.StatusCode/100 == 2 {
		return 0, nil, withoutSignature(err)
	}
	return res.StatusCode, answer, nil
}

// withoutSignature takes the query and fragment out of the URL that errors of HTTP clients hold: whoever reads them
// could use it.
func withoutSignature(err error) error {
	var e *url.Error
	if !errors.As(err, &e) {
		return err
	}
	address, _, _ := strings.Cut(e.URL, "?")
	address, _, _ = strings.Cut(address, "#")
	return fmt.Errorf("%s %s: %w", e.Op, address, e.Err)
}
