package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"testing"
)

func TestPacked(t *testing.T) {
	s := newBusySite(t)
	get := func(path, accepts string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", accepts) // then the client does not unpack by itself
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, text
	}
	for _, path := range []string{"/workflows/" + s.workflow.ID, s.web.assets.url("app.css")} {
		_, plain := get(path, "identity")
		resp, small := get(path, "br, gzip;q=0.8")
		if resp.Header.Get("Content-Encoding") != "gzip" || resp.Header.Get("Vary") != "Accept-Encoding" || len(small) > len(plain)/3 {
			t.Fatalf("%s: %v, %d bytes for %d", path, resp.Header, len(small), len(plain))
		}
		z, err := gzip.NewReader(bytes.NewReader(small))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil || !bytes.Equal(text, plain) {
			t.Errorf("%s: %v, %d bytes unpacked, %d as they are", path, err, len(text), len(plain))
		}
		for _, accepts := range []string{"identity", "gzip; q=0", "xgzip"} {
			if resp, _ := get(path, accepts); resp.Header.Get("Content-Encoding") != "" {
				t.Errorf("%s for %q is packed", path, accepts)
			}
		}
	}
}
