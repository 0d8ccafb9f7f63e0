package artifact_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/artifact"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/server"
	"github.com/signalbox-ci/signalbox/store"
)

func TestPushPullYank(t *testing.T) {
	databases(t, func(t *testing.T, database string) {
		w := newWorld(t, func(o *server.Options) { o.DatabaseURL = database })
		for _, scope := range []string{"jobs/" + w.jobs[0].ID, "workflows/" + w.flow.ID, "projects/" + w.project.ID} {
			path := "artifacts/" + scope + "/dir/a.txt"
			urls := w.sign(0, 0, path)
			if len(urls) != 2 || urls[0].Method != "HEAD" || urls[1].Method != "PUT" {
				t.Fatalf("push: %+v", urls)
			}
			if a := w.use(urls[0], ""); a.status != 404 {
				t.Errorf("HEAD before: %d", a.status)
			}
			if a := w.use(urls[1], "one"); a.status != 200 {
				t.Fatalf("PUT: %d %s", a.status, a.body)
			}
			if a := w.use(urls[0], ""); a.status != 200 || a.header.Get("Content-Length") != "3" {
				t.Errorf("HEAD after: %d %v", a.status, a.header)
			}
			if a := w.use(urls[1], "one"); a.status != 200 {
				t.Errorf("the same PUT again, because its answer was lost: %d %s", a.status, a.body)
			}
			if a := w.use(urls[1], "two"); a.status != 412 {
				t.Errorf("another PUT without force: %d %s", a.status, a.body)
			}
			if got := w.content(0, path); got != "one" {
				t.Errorf("pulled %q", got)
			}
			w.push(0, path, "three, and longer")
			if got := w.content(0, path); got != "three, and longer" {
				t.Errorf("after a forced push: %q", got)
			}
			yank := w.sign(0, "YANK", path)
			for range 2 { // the second asks again because the answer was lost
				if a := w.use(yank[0], ""); len(yank) != 1 || yank[0].Method != "DELETE" || a.status != 204 {
					t.Errorf("yank: %+v %d %s", yank, a.status, a.body)
				}
			}
			if got := w.content(0, path); got != "404" {
				t.Errorf("after yank: %q", got)
			}
		}
	})
}

func TestPrefixes(t *testing.T) {
	w := newWorld(t)
	names := []string{"out/a", "out/sub/b b", "out/sub/ü%41", "out/sub/c", "out/\"q\"", "outside", "other"}
	for _, n := range names {
		w.push(0, w.own(0, n), n)
	}
	asked := w.own(0, "out")
	urls := w.sign(0, 2, asked)
	got := map[string]string{}
	for _, u := range urls {
		got[pulledAs(t, u.URL, asked)] = w.use(u, "").body
	}
	// The client prints fragments in escaped form: it puts names with spaces elsewhere than they were, and only those.
	want := map[string]string{"/a": "out/a", "/sub/b%20b": "out/sub/b b", "/sub/ü%41": "out/sub/ü%41", "/sub/c": "out/sub/c", "/\"q\"": "out/\"q\""}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// A file wins over a folder of its name.
	w.push(0, asked, "file")
	if got := w.content(0, asked); got != "file" {
		t.Errorf("got %q", got)
	}
	if a := w.ask(w.token(0), 2, w.own(0, "ou")); a.status != 404 {
		t.Errorf("half a name: %d", a.status)
	}
	if a := w.ask(w.token(0), 3, w.own(0, "out"), w.own(0, "nothing")); a.status != 404 {
		t.Errorf("one of two paths is missing: %d", a.status)
	}
	if n := len(w.sign(0, 3, w.own(0, "out/sub"), w.own(0, "other"))); n != 4 {
		t.Errorf("two paths of a yank are %d files, want 4", n)
	}
	for _, n := range []string{"sp ace", "q?x#y", "100%", "ü/ö", "a&m=PUT", "+", strings.Repeat("x", 255)} {
		w.push(0, w.own(0, n), n)
		if got := w.content(0, w.own(0, n)); got != n {
			t.Errorf("%q holds %q", n, got)
		}
		if rest := pulledAs(t, w.sign(0, 2, w.own(0, n))[0].URL, w.own(0, n)); rest != "" {
			t.Errorf("%q would be put at %q", n, rest)
		}
	}
}

// hostile are paths that must not be, whatever comes after artifacts/jobs/<id>/.
var hostile = []string{
	"", "/", ".", "..", "../x", "a/../b", "a/./b", "a//b", "a/", "/a", "a/..", "..\\x", "a\\b", "a\x00b", "a\nb", "a\rb", "\x7f",
	"a\u0085", "....//..", "../../../../etc/passwd", "../../projects/x", strings.Repeat("x", 256), strings.Repeat("x/", 600) + "x",
}

func TestHostilePaths(t *testing.T) {
	w := newWorld(t)
	good := w.own(0, "a")
	var bad []string
	for _, h := range hostile {
		bad = append(bad, w.own(0, h))
	}
	bad = append(bad, "", "/", "artifacts", "artifacts/jobs", "artifacts/jobs/"+w.jobs[0].ID, "/"+good, "x/"+good, "../"+good, "Artifacts"+good[9:],
		strings.ToUpper(good), "artifacts/job/"+w.jobs[0].ID+"/a", "artifacts/pipelines/"+w.jobs[0].ID+"/a", "artifacts/jobs/../"+w.jobs[0].ID+"/a",
		"artifacts/jobs/"+strings.ToUpper(w.jobs[0].ID)+"/a", "artifacts//"+w.jobs[0].ID+"/a", "artifacts/jobs/"+strings.Repeat("-", 36)+"/a")
	for _, p := range bad {
		for _, kind := range []int{0, 1, 2, 3} {
			if a := w.ask(w.token(0), kind, p); a.status != 400 || !strings.Contains(a.body, "not allowed") {
				t.Errorf("%.60q for %d: %d %s", p, kind, a.status, a.body)
			}
			if a := w.ask(w.token(0), kind, good, p); a.status != 400 {
				t.Errorf("%.60q as the second: %d", p, a.status)
			}
		}
	}
	// A signed URL is for its own path in one spelling, as it stands on the wire.
	u, err := url.Parse(w.sign(0, 1, good)[0].URL)
	w.must(err)
	dir := strings.TrimSuffix(u.Path, "a")
	for _, p := range []string{
		dir + "b", dir + "../a", dir + "%2e%2e/a", dir + "..%2fa", dir + "a/", dir + "./a", dir + "%61/../a", dir + "a%00", dir + "x/%2e%2e/a", dir + "a%5c",
		"/_store/v1/../v1" + strings.TrimPrefix(u.Path, "/_store/v1"), "/_store/v1/" + signalbox.NewID() + strings.TrimPrefix(u.Path, "/_store/v1/"+w.project.ID),
	} {
		if status := w.raw("PUT", p+"?"+u.RawQuery, "evil"); status < 300 || status >= 500 {
			t.Errorf("PUT %s: %d", p, status)
		}
	}
	if got := w.content(0, good); got != "404" {
		t.Errorf("something was stored: %q", got)
	}
	w.must(filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if b, _ := os.ReadFile(path); bytes.Contains(b, []byte("evil")) && !strings.Contains(path, ".db") {
				t.Errorf("%s holds it", path)
			}
		}
		return err
	}))
}

// raw sends a request line as it is.
func (w *world) raw(method, target, body string) int {
	w.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
	w.must(err)
	defer c.Close()
	_, err = fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, target, len(body), body)
	w.must(err)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	w.must(err)
	defer res.Body.Close()
	return res.StatusCode
}

func TestWhoMay(t *testing.T) {
	databases(t, func(t *testing.T, database string) {
		w := newWorld(t, func(o *server.Options) { o.DatabaseURL = database })
		flow := w.workflow()
		third := w.start(flow)
		mine := w.own(0, "a")
		w.push(0, mine, "mine")
		old := append(w.sign(0, 2, mine), append(w.sign(0, 3, mine), w.sign(0, 0, mine)...)...)
		token := w.token(0)
		log := w.keys.AttemptToken(auth.AttemptLog, w.tries[0].ID, 0)
		for name, c := range map[string]struct {
			token  string
			status int
		}{
			"none": {"", 401}, "garbage": {"x", 401}, "log token": {log, 401}, "with a word": {"Bearer " + token, 401}, "cut": {token[:len(token)-1], 401},
			"of no attempt":         {w.keys.AttemptToken(auth.AttemptArtifact, signalbox.NewID(), 0), 403},
			"another job":           {w.token(1), 403},
			"of another workflow":   {w.token(third), 403},
			"its own":               {token, 200},
			"huge":                  {strings.Repeat("x", 10000), 401},
			"with the kind changed": {"artifact" + strings.TrimPrefix(log, "log"), 401},
		} {
			for _, kind := range []int{0, 1, 2, 3} {
				if a := w.ask(c.token, kind, mine); a.status != c.status {
					t.Errorf("token %s for %d: %d %s", name, kind, a.status, a.body)
				}
			}
		}
		if a := w.ask(w.token(1), 0, "artifacts/workflows/"+w.flow.ID+"/x"); a.status != 200 {
			t.Errorf("the other job of the workflow: %d", a.status)
		}
		if a := w.ask(w.token(third), 0, "artifacts/workflows/"+w.flow.ID+"/x"); a.status != 403 {
			t.Errorf("a job of another workflow: %d", a.status)
		}
		if a := w.ask(w.token(third), 0, "artifacts/projects/"+w.project.ID+"/x"); a.status != 200 {
			t.Errorf("another workflow of the project: %d", a.status)
		}
		if a := w.ask(w.token(0), 0, "artifacts/projects/"+signalbox.NewID()+"/x"); a.status != 403 {
			t.Errorf("another project: %d", a.status)
		}
		if a := w.ask(w.token(0), 0, mine, "artifacts/projects/"+w.project.ID+"/x"); a.status != 400 {
			t.Errorf("two scopes in one request: %d", a.status)
		}

		// Every change of a signed URL breaks it.
		for _, s := range old {
			u, err := url.Parse(s.URL)
			w.must(err)
			for key := range u.Query() {
				q := u.Query()
				q.Set(key, q.Get(key)+"1")
				if key == "m" {
					q.Set(key, map[string]string{"GET": "PUT", "HEAD": "GET", "PUT": "DELETE", "DELETE": "GET"}[s.Method])
				}
				changed := *u
				changed.RawQuery, changed.Fragment = q.Encode(), ""
				if a := w.call(s.Method, changed.String(), nil); a.status != 403 {
					t.Errorf("%s with another %s: %d", s.Method, key, a.status)
				}
			}
			q := u.Query()
			q.Del("n")
			q.Set("o", "anything")
			same := *u
			same.RawQuery, same.Fragment = q.Encode(), ""
			want := map[string]int{"GET": 200, "HEAD": 200, "PUT": 403}[s.Method]
			if s.Method != "DELETE" {
				if a := w.call(s.Method, same.String(), nil); a.status != want {
					t.Errorf("%s without n: %d, want %d", s.Method, a.status, want)
				}
			}
			for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
				if method == s.Method || method == "HEAD" && s.Method == "GET" {
					continue
				}
				if a := w.call(method, s.URL, nil); a.status != 405 || a.header.Get("Allow") != s.Method {
					t.Errorf("%s of a URL for %s: %d", method, s.Method, a.status)
				}
			}
			if a := w.call("POST", s.URL, nil); a.status != 405 {
				t.Errorf("POST: %d", a.status)
			}
		}

		w.late.Store(int64(6*time.Hour - time.Minute))
		if a := w.use(old[0], ""); a.status != 200 {
			t.Errorf("before its end: %d", a.status)
		}
		w.late.Store(int64(6*time.Hour + time.Second))
		for _, s := range old {
			if a := w.use(s, ""); a.status != 403 {
				t.Errorf("%s when expired: %d", s.Method, a.status)
			}
		}
		fresh := append(w.sign(0, 2, mine), append(w.sign(0, 3, mine), w.sign(0, 0, mine)...)...)
		w.end(0)
		for _, s := range fresh {
			if a := w.use(s, "x"); a.status != 403 {
				t.Errorf("%s after the attempt's end: %d", s.Method, a.status)
			}
		}
		if a := w.ask(token, 2, mine); a.status != 403 {
			t.Errorf("the token after the attempt's end: %d", a.status)
		}
	})
}

func TestBadRequests(t *testing.T) {
	w := newWorld(t, func(o *server.Options) { o.ArtifactLimit = 10 })
	p := w.own(0, "a")
	send := func(body string) answer {
		return w.call("POST", w.base+"/api/v1/artifacts", strings.NewReader(body), "Authorization", w.token(0))
	}
	for body, want := range map[string]string{
		"": "empty", "{": "JSON", "[]": "JSON", `{"paths": "x"}`: "JSON", `{"paths": [1]}`: "JSON",
		`{"type": 4}`: "type must be", `{"type": -1}`: "type must be", `{"type": "pull"}`: "type must be", `{"type": 1.5}`: "type must be", `{"type": [0]}`: "type must be",
		`{"type": 2}`: "paths must name", `{"type": "YANK"}`: "paths must name",
	} {
		if a := send(body); a.status != 400 || !strings.Contains(a.body, want) || !strings.Contains(a.body, `"code":3`) {
			t.Errorf("%q: %d %s, want %q", body, a.status, a.body, want)
		}
	}
	for _, body := range []string{"{}", `{"paths":[],"type":1}`, `{"paths":null,"type":null,"more":1}`} {
		if got := w.urls(send(body)); len(got) != 0 {
			t.Errorf("%s: %v", body, got)
		}
	}
	if a := send(`{"paths":["` + strings.Repeat("x", 16<<20) + `"]}`); a.status != 413 {
		t.Errorf("a huge request: %d", a.status)
	}
	put := w.sign(0, "PUSHFORCE", p)[0]
	if a := w.use(put, "12345678901"); a.status != 413 {
		t.Errorf("a file over the limit: %d %s", a.status, a.body)
	}
	if a := w.use(put, "1234567890"); a.status != 200 {
		t.Errorf("a file at the limit: %d %s", a.status, a.body)
	}
	req, err := http.NewRequestWithContext(t.Context(), "PUT", put.URL, struct{ *strings.Reader }{strings.NewReader("x")})
	w.must(err)
	req.ContentLength = -1
	res, err := http.DefaultClient.Do(req)
	w.must(err)
	res.Body.Close()
	if res.StatusCode != http.StatusLengthRequired {
		t.Errorf("a body of unknown length: %d", res.StatusCode)
	}
	// A sender that dies leaves what was there.
	u, err := url.Parse(put.URL)
	w.must(err)
	c, err := net.Dial("tcp", u.Host)
	w.must(err)
	_, err = fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", u.RequestURI())
	w.must(err)
	w.must(c.(*net.TCPConn).CloseWrite())
	answered, err := http.ReadResponse(bufio.NewReader(c), nil)
	w.must(err)
	answered.Body.Close()
	if answered.StatusCode != 400 {
		t.Errorf("half a body: %d", answered.StatusCode)
	}
	c.Close()
	if got := w.content(0, p); got != "1234567890" {
		t.Errorf("after half a body: %q", got)
	}
	if got := w.files("uploads"); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

// files are the names of the files below a folder of the artifact folder.
func (w *world) files(sub string) (out []string) {
	w.Helper()
	w.must(filepath.WalkDir(filepath.Join(w.dir, "artifacts", sub), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, d.Name())
		}
		return err
	}))
	return out
}

func TestDownloads(t *testing.T) {
	w := newWorld(t)
	evil := `<script>alert(1)</script>`
	w.push(0, w.own(0, "ü \"x\".html"), evil)
	s := w.sign(0, 2, w.own(0, "ü \"x\".html"))[0]
	a := w.use(s, "", "Accept-Encoding", "gzip")
	for k, want := range map[string]string{
		"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'",
		"Content-Length": "25", "Content-Encoding": "", "Accept-Ranges": "bytes", "Content-Disposition": "attachment; filename*=utf-8''%C3%BC%20%22x%22.html",
	} {
		if got := a.header.Get(k); got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	sum := sha256.Sum256([]byte(evil))
	etag := `"` + hex.EncodeToString(sum[:]) + `"`
	if a.header.Get("ETag") != etag || a.body != evil {
		t.Errorf("ETag %s, body %q", a.header.Get("ETag"), a.body)
	}
	if a := w.use(s, "", "Range", "bytes=1-6"); a.status != 206 || a.body != "script" || a.header.Get("Content-Range") != "bytes 1-6/25" {
		t.Errorf("a range: %d %q %v", a.status, a.body, a.header)
	}
	if a := w.use(s, "", "Range", "bytes=25-"); a.status != 416 {
		t.Errorf("a range behind the end: %d", a.status)
	}
	if a := w.use(s, "", "If-None-Match", etag); a.status != 304 {
		t.Errorf("known already: %d", a.status)
	}
	if a := w.call("HEAD", s.URL, nil); a.status != 200 || a.header.Get("Content-Length") != "25" {
		t.Errorf("HEAD with the signature of GET: %d", a.status)
	}
	// What was packed when it was pushed arrives packed.
	w.push(0, w.own(0, "x.json"), "\x1f\x8b\x08packed")
	if got := w.content(0, w.own(0, "x.json")); got != "\x1f\x8b\x08packed" {
		t.Errorf("%q", got)
	}
	w.push(0, w.own(0, "empty"), "")
	if got := w.content(0, w.own(0, "empty")); got != "" {
		t.Errorf("%q", got)
	}
}

func TestManyPathsAtOnce(t *testing.T) {
	w := newWorld(t)
	var paths []string
	for i := range 50_000 {
		paths = append(paths, w.own(0, fmt.Sprintf("dir/%06d", i)))
	}
	begin := time.Now()
	urls := w.sign(0, 0, paths...)
	t.Logf("%s for %d paths", time.Since(begin), len(paths))
	if len(urls) != 100_000 || !strings.Contains(urls[99_999].URL, "dir/049999?m=PUT") {
		t.Errorf("%d URLs, the last of which is %v", len(urls), urls[len(urls)-1])
	}
}

func TestConcurrentPushesOfOnePath(t *testing.T) {
	databases(t, func(t *testing.T, database string) {
		w := newWorld(t, func(o *server.Options) { o.DatabaseURL = database })
		contents := map[string]bool{}
		var forced, create []func() int
		for i := range 8 {
			content := strings.Repeat(string(rune('a'+i%4)), 100_000)
			contents[content] = true
			f, c := w.sign(i%2, 1, "artifacts/workflows/"+w.flow.ID+"/forced")[0], w.sign(i%2, 0, "artifacts/workflows/"+w.flow.ID+"/created")[1]
			forced = append(forced, func() int { return w.use(f, content).status })
			create = append(create, func() int { return w.use(c, content+fmt.Sprint(i)).status })
		}
		count := map[int]int{}
		var mu sync.Mutex
		var group sync.WaitGroup
		for i := range forced {
			group.Go(func() {
				if s := forced[i](); s != 200 {
					t.Errorf("a forced push: %d", s)
				}
			})
			group.Go(func() {
				s := create[i]()
				mu.Lock()
				count[s]++
				mu.Unlock()
			})
		}
		group.Wait()
		if !contents[w.content(0, "artifacts/workflows/"+w.flow.ID+"/forced")] {
			t.Error("the file is none of those that were pushed")
		}
		if count[200] != 1 || count[412] != 7 {
			t.Errorf("of 8 pushes without force: %v", count)
		}
		w.content(0, "artifacts/workflows/"+w.flow.ID+"/created")
		if n := len(w.files("blobs")); n > 5 {
			t.Errorf("%d blobs for 5 contents", n)
		}
	})
}

// crashing commits the content and then dies, as far as the request can tell.
type crashing struct {
	artifact.Blobs
	crash bool
}

type crashingUpload struct {
	artifact.Upload
	b *crashing
}

func (b *crashing) Create(ctx context.Context) (artifact.Upload, error) {
	u, err := b.Blobs.Create(ctx)
	return crashingUpload{u, b}, err
}

func (u crashingUpload) Commit(name string) error {
	if err := u.Upload.Commit(name); err != nil || !u.b.crash {
		return err
	}
	return errors.New("crash")
}

func TestCrashBetweenContentAndMetadata(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(w.dir, "crash")
	folder, err := artifact.OpenFolder(dir, "me")
	w.must(err)
	blobs := &crashing{folder, true}
	a, err := artifact.New(artifact.Options{Store: w.st, Keys: w.keys, Blobs: blobs, Grace: time.Hour, Interval: 5 * time.Millisecond})
	w.must(err)
	mux := http.NewServeMux()
	for _, rt := range a.Routes() {
		mux.HandleFunc(rt.Pattern, func(rw http.ResponseWriter, r *http.Request) {
			if err := rt.Handler(rw, r); err != nil {
				rw.WriteHeader(map[signalbox.Code]int{signalbox.CodeUnavailable: 503, signalbox.CodeNotFound: 404, signalbox.CodeForbidden: 403}[signalbox.ErrorCode(err)])
			}
		})
	}
	srv := httptest.NewServer(mux)
	defer srv.Close()
	w.base = srv.URL
	path := w.own(0, "a")
	if a := w.use(w.sign(0, 0, path)[1], "content"); a.status != 503 {
		t.Fatalf("PUT: %d", a.status)
	}
	blob := func() []string { m, _ := filepath.Glob(filepath.Join(dir, "blobs", "*", "*")); return m }
	if got := w.content(0, path); got != "404" || len(blob()) != 1 {
		t.Errorf("after a crash: %q, blobs %v", got, blob())
	}
	stray := blob()[0]
	blobs.crash = false
	if a := w.use(w.sign(0, 0, path)[1], "content"); a.status != 200 {
		t.Errorf("again: %d", a.status)
	}
	if n := len(blob()); n != 2 {
		t.Fatalf("%d blobs", n)
	}
	run := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		w.must(a.Run(ctx))
	}
	run()
	if n := len(blob()); n != 2 {
		t.Errorf("%d blobs: young content may still get its metadata", n)
	}
	// Two hours later the stray is gone, and so is half an upload; the file is still there.
	old := time.Now().Add(-2 * time.Hour)
	half := filepath.Join(dir, "uploads", "upload-half")
	w.must(os.WriteFile(half, []byte("x"), 0o600))
	for _, f := range append(blob(), half) {
		w.must(os.Chtimes(f, old, old))
	}
	run()
	if _, err := os.Stat(stray); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the stray: %v", err)
	}
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the half upload: %v", err)
	}
	if got := w.content(0, path); got != "content" {
		t.Errorf("the file: %q", got)
	}
}

func TestContentThatNothingNeedsGoesAfterAGrace(t *testing.T) {
	w := newWorld(t)
	one, two := w.own(0, "one"), w.own(0, "two")
	w.push(0, one, "same")
	w.push(0, two, "same")
	if n := len(w.files("blobs")); n != 1 {
		t.Fatalf("one content is %d blobs", n)
	}
	folder, err := artifact.OpenFolder(filepath.Join(w.dir, "artifacts"), strings.TrimSpace(w.owner()))
	w.must(err)
	sweep := func(grace time.Duration) int {
		w.Helper()
		a, err := artifact.New(artifact.Options{Store: w.st, Keys: w.keys, Blobs: folder, Grace: grace, Interval: time.Hour})
		w.must(err)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		w.must(a.Run(ctx))
		return len(w.files("blobs"))
	}
	w.use(w.sign(0, 3, one)[0], "")
	if n := sweep(time.Nanosecond); n != 1 {
		t.Errorf("%d blobs, although one file needs it", n)
	}
	get := w.sign(0, 2, two)[0]
	w.use(w.sign(0, 3, two)[0], "")
	if n := sweep(time.Hour); n != 1 {
		t.Errorf("%d blobs within the grace", n)
	}
	if n := sweep(time.Nanosecond); n != 0 {
		t.Errorf("%d blobs after the grace", n)
	}
	if a := w.use(get, ""); a.status != 404 {
		t.Errorf("a file that is gone: %d", a.status)
	}
	w.push(0, one, "same")
	if got := w.content(0, one); got != "same" {
		t.Errorf("pushed again: %q", got)
	}
}

func (w *world) owner() string {
	b, err := os.ReadFile(filepath.Join(w.dir, "artifacts", "owner"))
	w.must(err)
	return string(b)
}

func TestAFolderHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	for i, owner := range []string{"me", "me", "you"} {
		if _, err := artifact.OpenFolder(dir, owner); (err != nil) != (i == 2) {
			t.Errorf("opened by %s: %v", owner, err)
		}
	}
}

// Content goes through memory in pieces, and arrives as it was.
func TestALargeFile(t *testing.T) {
	w := newWorld(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	b := make([]byte, 20<<20+1)
	_, _ = r.Read(b)
	w.push(0, w.own(0, "big"), string(b))
	if got := w.content(0, w.own(0, "big")); got != string(b) {
		t.Errorf("%d bytes, not the same", len(got))
	}
	sum := sha256.Sum256(b)
	if names := w.files("blobs"); len(names) != 1 || !strings.HasPrefix(names[0], hex.EncodeToString(sum[:])) {
		t.Errorf("blobs %v", names)
	}
}

func TestDeletionIsInTheHistory(t *testing.T) {
	w := newWorld(t)
	w.push(0, w.own(0, "a"), "x")
	var f *signalbox.Artifact
	w.write(func(tx *store.Tx) (err error) {
		f, err = tx.Artifact(signalbox.ArtifactsOfJob, w.jobs[0].ID, "a")
		return err
	})
	w.use(w.sign(0, 3, w.own(0, "a"))[0], "")
	w.write(func(tx *store.Tx) error {
		events, err := tx.Events("artifact", f.ID)
		if len(events) != 2 || events[1].Reason != "deleted" || events[1].Actor != "job:"+w.jobs[0].ID {
			b, _ := json.Marshal(events)
			t.Errorf("%s", b)
		}
		return err
	})
	if !slices.Equal(w.files("uploads"), nil) {
		t.Error("uploads are left")
	}
}
