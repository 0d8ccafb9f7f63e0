// Package download hands out the program itself, so that a machine that is to become an agent needs nothing but the
// server: the build that runs, and those that lie in a folder for other systems. It also hands out the certificate of
// the server's own authority, and makes the lines that fetch both safely. The programs are no secret, so anybody may
// have them.
package download

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
)

// Paths that are answered. A platform is written as Go or as uname writes it: linux-amd64, Linux-x86_64.
const (
	Base   = "/download/signalbox/"
	CAPath = "/download/ca.crt"
)

// Options for New; the zero value offers nothing but what runs.
type Options struct {
	Self   string // file of the running program; default: found
	Dir    string // folder with signalbox-<os>-<arch>[.exe] for other systems
	CAFile string // certificate of the server's own authority, "" when it has none
}

// Downloads answers downloads.
type Downloads struct {
	o    Options
	self *os.File // held open: what runs stays the same when the file is replaced

	mu   sync.Mutex
	sums map[sumKey]string
}

type sumKey struct {
	path string
	size int64
	time time.Time
}

// New opens the running program and checks that the folder is there.
func New(o Options) (*Downloads, error) {
	d := &Downloads{o: o, sums: map[sumKey]string{}}
	if o.Dir != "" {
		if info, err := os.Stat(o.Dir); err != nil || !info.IsDir() {
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "the folder for downloads %s is not there; \"make dist\" fills one", o.Dir)
		}
	}
	path := o.Self
	if path == "" {
		var err error
		if path, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find the running program: %w", err)
		}
	}
	var err error
	d.self, err = os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the running program: %w", err)
	}
	return d, nil
}

// Close closes the running program's file.
func (d *Downloads) Close() error { return d.self.Close() }

// Routes returns what anybody may fetch.
func (d *Downloads) Routes() []route.Route {
	return []route.Route{
		{Pattern: "GET " + Base + "{file}", Access: route.Public, Style: route.Agent, Handler: d.serveProgram},
		{Pattern: "GET " + CAPath, Access: route.Public, Style: route.Agent, Handler: d.serveCA},
	}
}

var (
	systems = []string{"linux", "darwin", "windows", "freebsd"}
	archs   = []string{"amd64", "arm64"}
	aliases = map[string]string{"x86_64": "amd64", "aarch64": "arm64"}
)

// platform returns the name that Go has for a platform, "" for what is none of those we build for.
func platform(s string) string {
	system, arch, _ := strings.Cut(strings.ToLower(s), "-")
	if a, ok := aliases[arch]; ok {
		arch = a
	}
	if !slices.Contains(systems, system) || !slices.Contains(archs, arch) {
		return ""
	}
	return system + "-" + arch
}

func own() string { return runtime.GOOS + "-" + runtime.GOARCH }

func suffix(platform string) string {
	if strings.HasPrefix(platform, "windows-") {
		return ".exe"
	}
	return ""
}

// Available lists the platforms that there is a program for.
func (d *Downloads) Available() []string {
	out := []string{own()}
	for _, s := range systems {
		for _, a := range archs {
			p := s + "-" + a
			if d.o.Dir == "" || p == own() {
				continue
			}
			if info, err := os.Stat(d.file(p)); err == nil && info.Mode().IsRegular() {
				out = append(out, p)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (d *Downloads) file(platform string) string {
	return filepath.Join(d.o.Dir, "signalbox-"+platform+suffix(platform))
}

// program is one build, open.
type program struct {
	*io.SectionReader
	key   sumKey
	close func() error
}

func (d *Downloads) open(p string) (*program, error) {
	none := func() error {
		return signalbox.Errorf(signalbox.CodeNotFound, "there is no program for this platform here, only for %s; "+
			"the server's --dist names a folder with more", strings.Join(d.Available(), ", "))
	}
	f, stop := d.self, func() error { return nil }
	if p != own() {
		if p == "" || d.o.Dir == "" {
			return nil, none()
		}
		var err error
		f, err = os.Open(d.file(p))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, none()
		}
		if err != nil {
			return nil, err
		}
		stop = f.Close
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	if !info.Mode().IsRegular() {
		return nil, errors.Join(none(), stop())
	}
	return &program{io.NewSectionReader(f, 0, info.Size()), sumKey{f.Name(), info.Size(), info.ModTime()}, stop}, nil
}

// sum returns the hash of a program; it is computed once for each file.
func (d *Downloads) sum(p *program) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.sums[p.key]; ok {
		return s, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(p.SectionReader, 0, p.Size())); err != nil {
		return "", err
	}
	if len(d.sums) > 100 {
		clear(d.sums) // of files that have been replaced
	}
	d.sums[p.key] = hex.EncodeToString(h.Sum(nil))
	return d.sums[p.key], nil
}

func (d *Downloads) serveProgram(w http.ResponseWriter, r *http.Request) error {
	name, hashOnly := strings.CutSuffix(r.PathValue("file"), ".sha256")
	name = platform(name)
	p, err := d.open(name)
	if err != nil {
		return err
	}
	defer p.close()
	sum, err := d.sum(p)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("ETag", `"`+sum+`"`)
	if hashOnly {
		h.Set("ETag", `"sum-`+sum+`"`)
		h.Set("Content-Type", "text/plain; charset=utf-8")
		http.ServeContent(w, r, "", p.key.time, strings.NewReader(sum+"  signalbox"+suffix(name)+"\n"))
		return nil
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": "signalbox" + suffix(name)}))
	// The server's own limit is for short answers; a slow line may take longer for a program.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour))
	http.ServeContent(w, r, "", p.key.time, p)
	return nil
}

// CA returns the certificate of the server's own authority, nil when it has none.
func (d *Downloads) CA() ([]byte, error) {
	if d.o.CAFile == "" {
		return nil, nil
	}
	return os.ReadFile(d.o.CAFile)
}

func (d *Downloads) serveCA(w http.ResponseWriter, r *http.Request) error {
	text, err := d.CA()
	if err != nil {
		return err
	}
	if text == nil {
		return signalbox.Errorf(signalbox.CodeNotFound, "this server has no certificate authority of its own: its certificate is not made by itself")
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	w.Header().Set("Content-Disposition", `attachment; filename="signalbox-ca.crt"`)
	_, _ = w.Write(text)
	return nil
}
