package download_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/download"
)

func open(t *testing.T, o download.Options) (*download.Downloads, func(method, path string, headers ...string) *httptest.ResponseRecorder) {
	t.Helper()
	d, err := download.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	mux := http.NewServeMux()
	for _, rt := range d.Routes() {
		mux.HandleFunc(rt.Pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := rt.Handler(w, r); err != nil {
				status := http.StatusInternalServerError
				if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
					status = http.StatusNotFound
				}
				http.Error(w, signalbox.ErrorMessage(err), status)
			}
		})
	}
	return d, func(method, path string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestDownloads(t *testing.T) {
	dir := t.TempDir()
	self := filepath.Join(dir, "self")
	write(t, self, "the running program")
	dist := filepath.Join(dir, "dist")
	if err := os.MkdirAll(filepath.Join(dist, "signalbox-darwin-amd64"), 0o700); err != nil { // a folder is no program
		t.Fatal(err)
	}
	other := "freebsd-arm64"
	write(t, filepath.Join(dist, "signalbox-windows-amd64.exe"), "for windows")
	write(t, filepath.Join(dist, "signalbox-"+other), "for another")
	write(t, filepath.Join(dist, "SHA256SUMS"), "sums")
	write(t, filepath.Join(dir, "secret"), "secret")
	write(t, filepath.Join(dir, "ca.crt"), "certificate")
	d, get := open(t, download.Options{Self: self, Dir: dist, CAFile: filepath.Join(dir, "ca.crt")})
	own := runtime.GOOS + "-" + runtime.GOARCH

	for path, c := range map[string][2]string{
		own: {"the running program", "signalbox"}, strings.ToUpper(own): {"the running program", "signalbox"},
		"windows-amd64": {"for windows", "signalbox.exe"}, "Windows-x86_64": {"for windows", "signalbox.exe"}, "FreeBSD-aarch64": {"for another", "signalbox"},
	} {
		w := get("GET", download.Base+path)
		if w.Code != 200 || w.Body.String() != c[0] || w.Header().Get("ETag") != `"`+sum(c[0])+`"` ||
			w.Header().Get("Content-Disposition") != "attachment; filename="+c[1] {
			t.Errorf("%s: %d %q %v", path, w.Code, w.Body, w.Header())
		}
		if w := get("HEAD", download.Base+path); w.Code != 200 || w.Header().Get("Content-Length") == "" || w.Body.Len() != 0 {
			t.Errorf("HEAD %s: %d %v", path, w.Code, w.Header())
		}
		if w := get("GET", download.Base+path+".sha256"); w.Body.String() != sum(c[0])+"  "+c[1]+"\n" {
			t.Errorf("%s.sha256: %q", path, w.Body)
		}
		if w := get("GET", download.Base+path, "Range", "bytes=4-6"); w.Code != 206 || w.Body.String() != c[0][4:7] {
			t.Errorf("a range of %s: %d %q", path, w.Code, w.Body)
		}
		if w := get("GET", download.Base+path, "If-None-Match", `"`+sum(c[0])+`"`); w.Code != 304 {
			t.Errorf("%s when it is known: %d", path, w.Code)
		}
	}
	for _, path := range []string{"", "linux", "plan9-amd64", "linux-386", "darwin-amd64", "darwin-arm64.sha256", "..%2f..%2fsecret", "linux-amd64%2f..%2f..%2fsecret", "windows-amd64.exe", "SHA256SUMS", "%00"} {
		w := get("GET", download.Base+path)
		if w.Code != 404 || path != "" && (!strings.Contains(w.Body.String(), own) || !strings.Contains(w.Body.String(), "windows-amd64")) {
			t.Errorf("%s: %d %q, want 404 that lists what is there", path, w.Code, w.Body)
		}
	}
	want := []string{other, own, "windows-amd64"}
	slices.Sort(want)
	if got := d.Available(); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("available %q, want %q", got, want)
	}
	// What runs goes on being offered, with its own hash, when the file is replaced; other builds are offered anew.
	if err := os.Remove(self); err != nil {
		t.Fatal(err)
	}
	write(t, self, "the next program")
	write(t, filepath.Join(dist, "signalbox-"+other), "for another, newer")
	if w := get("GET", download.Base+own); w.Body.String() != "the running program" {
		t.Errorf("after an upgrade: %q", w.Body)
	}
	if w := get("GET", download.Base+other+".sha256"); !strings.HasPrefix(w.Body.String(), sum("for another, newer")) {
		t.Errorf("after an upgrade: %q", w.Body)
	}
	if w := get("GET", download.CAPath); w.Code != 200 || w.Body.String() != "certificate" {
		t.Errorf("ca.crt: %d %q", w.Code, w.Body)
	}

	_, bare := open(t, download.Options{Self: self})
	if w := bare("GET", download.Base+"windows-amd64"); w.Code != 404 || !strings.Contains(w.Body.String(), "--dist") {
		t.Errorf("without a folder: %d %q", w.Code, w.Body)
	}
	if w := bare("GET", download.CAPath); w.Code != 404 {
		t.Errorf("without an authority: %d", w.Code)
	}
	if _, err := download.New(download.Options{Self: self, Dir: filepath.Join(dir, "none")}); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestInstallLines(t *testing.T) {
	trusted := download.Install{BaseURL: "https://ci.example.com", Token: "T"}
	if got, want := trusted.Unix(), `curl -fsS -o signalbox "https://ci.example.com/download/signalbox/$(uname -s)-$(uname -m)" && chmod +x signalbox && `+
		`SEMAPHORE_AGENT_TOKEN=T ./signalbox agent start --endpoint ci.example.com`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	plain := download.Install{BaseURL: "http://ci:8080", Token: "T"}
	if got := plain.Unix(); !strings.HasSuffix(got, "agent start --endpoint ci:8080 --no-https") {
		t.Error(got)
	}
	own := download.Install{BaseURL: "https://ci:8443", Token: "T", CA: []byte("cert")}
	for name, line := range map[string]string{"unix": own.Unix(), "windows": own.Windows()} {
		lower := strings.ToLower(line)
		k, check, program := strings.Index(lower, "-fssk"), strings.Index(lower, sum("cert")), strings.Index(lower, "/download/signalbox/")
		if k < 0 || check < k || program < check || strings.Count(lower, "-fssk") != 1 || !strings.Contains(line, "--cacert signalbox-ca.crt") || !strings.Contains(line, "--ca-file signalbox-ca.crt") {
			t.Errorf("%s: what is fetched unchecked must be the certificate alone, and be checked before anything else is fetched: %s", name, line)
		}
		if strings.Contains(line, "--token") {
			t.Errorf("%s: the token would be in the process list", name)
		}
	}
}
