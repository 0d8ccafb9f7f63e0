package storybook

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var told = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/storybook`)

func TestServe(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, "127.0.0.1:0", Options{Now: at}, in)
		_ = in.Close()
	}()
	var said bytes.Buffer
	if _, err := io.CopyN(&said, out, 60); err != nil {
		t.Fatal(err, <-done)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	address := told.FindString(said.String())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("it says %q: %v", said.String(), err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || !strings.Contains(string(text), "Storybook") {
		t.Errorf("%v: %.200s", err, text)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "signalbox-storybook-*")); len(left) > 0 {
		t.Errorf("it leaves %q", left)
	}
	if err := Serve(t.Context(), "nowhere:none", Options{}, io.Discard); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("an address that is none: %v", err)
	}
}
