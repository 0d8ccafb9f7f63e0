package web

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// ask sends a request with headers and returns the whole answer.
func (s *site) ask(path string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(text)
}

func TestLogAPI(t *testing.T) {
	s := newBusySite(t)
	api := "/ui/jobs/" + s.failed.ID + "/log/"
	resp, text := s.ask(api + "index?attempt=1")
	var ix struct {
		Rev      string
		State    string
		Lines    int64
		Complete bool
		Commands []struct {
			N, Line, First, Last int64
			Directive            string
			Exit                 *int
		}
	}
	if err := json.Unmarshal([]byte(text), &ix); err != nil {
		t.Fatal(err, text)
	}
	if c := ix.Commands[3]; !ix.Complete || ix.State != "finished" || ix.Lines != 22 || c.Line != 7 || c.First != 8 || c.Last != 20 || *c.Exit != 2 || c.Directive != "make contract-consumer" {
		t.Errorf("the index is %s", text)
	}
	tag := resp.Header.Get("ETag")
	if resp, _ := s.ask(api+"index?attempt=1", "If-None-Match", tag); resp.StatusCode != http.StatusNotModified {
		t.Errorf("what the browser has is sent again: %d", resp.StatusCode)
	}
	resp, text = s.ask(api + "lines?attempt=1&rev=" + ix.Rev + "&from=12&count=2")
	want := `{"rev":"` + ix.Rev + `","from":12,"lines":[{"t":` + fmt.Sprint(s.failed.StartedAt.Unix()+9) + `,"s":[["    label_contract_test.go:88: interaction "],["\"a customer over the limit\"","term-fg33"]]},` +
		`{"t":` + fmt.Sprint(s.failed.StartedAt.Unix()+9) + `,"s":[["        "],["status 429 expected, got 500","term-fg31 term-fg1"]]}]}` + "\n"
	if diff := cmp.Diff(want, text); diff != "" || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("%s %s", diff, resp.Header.Get("Cache-Control"))
	}
	if resp, _ = s.ask(api + "lines?rev=" + ix.Rev + "&from=12&count=2"); strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
		t.Error("an answer about the newest attempt, whichever that is, is kept for ever")
	}
	if resp, text = s.ask(api + "lines?plain=1&from=12&count=2"); text != "    label_contract_test.go:88: interaction \"a customer over the limit\"\n        status 429 expected, got 500\n" ||
		resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("as text: %q", text)
	}
	if _, text = s.ask(api + "tail?count=1"); !strings.Contains(text, `"from":22,"lines":[{"t":`) || !strings.Contains(text, `[["Uploaded."]]`) || !strings.Contains(text, `"index":{`) {
		t.Errorf("the tail is %s", text)
	}
	if _, text = s.ask(api + "search?q=fail&case=1"); text != `{"done":true,"rev":"`+ix.Rev+`","total":0}`+"\n" {
		t.Errorf("a search says %s", text)
	}
	if _, text = s.ask(api + "search?q=fail:"); text != `{"line":16,"col":4,"len":5}`+"\n"+`{"line":17,"col":8,"len":5}`+"\n"+`{"done":true,"rev":"`+ix.Rev+`","total":2}`+"\n" && !strings.Contains(text, `"line":16`) {
		t.Errorf("a search says %s", text)
	}
	for _, bad := range []string{"lines?from=0", "lines?count=2001", "lines?from=x", "lines?plain=2", "tail?count=0", "search", "search?q=(&re=1", "search?q=x&limit=10001"} {
		if resp, text := s.ask(api + bad); resp.StatusCode != 400 || !strings.Contains(text, "message") {
			t.Errorf("%s: %d %s", bad, resp.StatusCode, text)
		}
	}
	for _, path := range []string{"index?attempt=9", "lines?attempt=9", "search?q=x&attempt=9", "stream?attempt=9"} {
		if resp, _ := s.ask(api + path); resp.StatusCode != 404 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	s.as("")
	for _, path := range []string{"index", "lines", "tail", "search?q=x", "stream"} {
		if resp, _ := s.ask(api + path); resp.StatusCode != 403 {
			t.Errorf("%s without permission: %d", path, resp.StatusCode)
		}
	}
}

func TestPlainLog(t *testing.T) {
	s := newBusySite(t)
	base := "/jobs/" + s.failed.ID + "/plain_logs.txt"
	resp, whole := s.ask(base)
	if !strings.HasPrefix(whole, "checkout\nCloning into") || resp.Header.Get("Accept-Ranges") != "bytes" || resp.ContentLength != int64(len(whole)) {
		t.Errorf("%v %q", resp.Header, whole)
	}
	if resp, part := s.ask(base, "Range", "bytes=100-199"); resp.StatusCode != http.StatusPartialContent || part != whole[100:200] {
		t.Errorf("bytes 100 to 199: %d %q", resp.StatusCode, part)
	}
	if resp, part := s.ask(base, "Range", "bytes=-5"); resp.StatusCode != http.StatusPartialContent || part != whole[len(whole)-5:] {
		t.Errorf("the last bytes: %d %q", resp.StatusCode, part)
	}
	if resp, _ := s.ask(base, "If-None-Match", resp.Header.Get("ETag")); resp.StatusCode != http.StatusNotModified {
		t.Errorf("what the browser has is sent again: %d", resp.StatusCode)
	}
	if _, text := s.ask(base + "?ts=1"); !strings.HasPrefix(text, s.failed.StartedAt.UTC().Format("2006-01-02T15:04:05Z")+" checkout\n") || strings.Count(text, "\n") != strings.Count(whole, "\n") {
		t.Errorf("with times: %q", text)
	}
	resp, zip := s.ask(base + ".gz")
	z, err := gzip.NewReader(strings.NewReader(zip))
	if err != nil {
		t.Fatal(err, resp.Header)
	}
	if text, err := io.ReadAll(z); err != nil || string(text) != whole {
		t.Errorf("compressed: %q %v", text, err)
	}
}

// The stream goes on from where a page is, and ends with the log.
func TestLogStream(t *testing.T) {
	s := newBusySite(t)
	s.push(s.runningAttempt, s.runningLogNext, agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: s.now().Unix(), Output: "!\nnew \u202e<b>\n"})
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/ui/jobs/"+s.running.ID+"/log/stream?attempt=1&from=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", "7/0.1")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var got strings.Builder
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		got.WriteString(in.Text() + "\n")
		if strings.Contains(in.Text(), "[U+202E]") {
			s.closeLog(s.runningAttempt)
		}
		if in.Text() == "event: final" {
			break
		}
	}
	for _, want := range []string{"event: append", "id: 8/0.1", `"from":7`, "running labels!", `new [U+202E]\u003cb\u003e`, `"complete":true`, "event: final"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("the stream does not say %s:\n%s", want, got.String())
		}
	}
	if strings.Contains(got.String(), "migrations") {
		t.Error("the stream repeats lines that the page has")
	}
}

func TestSearchesAtOnce(t *testing.T) {
	s := newBusySite(t)
	for range maxSearches {
		if !s.web.searches.enter("u") {
			t.Fatal("a search is refused")
		}
	}
	path := "/ui/jobs/" + s.failed.ID + "/log/search?q=x"
	if resp, text := s.ask(path); resp.StatusCode != 503 || !strings.Contains(text, "3 searches of yours") {
		t.Errorf("a fourth search: %d %s", resp.StatusCode, text)
	}
	s.web.searches.leave("u")
	if resp, _ := s.ask(path); resp.StatusCode != 200 {
		t.Errorf("after one ended: %d", resp.StatusCode)
	}
	if s.web.searches.by["u"] != maxSearches-1 {
		t.Error("a search that ended is counted still")
	}
}

// A page is as large for a million lines as for a thousand, and as fast.
func TestJobPageOfALongLog(t *testing.T) {
	s := newSite(t)
	j := s.longJob(20_000)
	_, text := s.get("/jobs/" + j.ID + "?line=10000")
	checkPage(t, text)
	if n := strings.Count(text, `class="ln`); n > pageLines+6 {
		t.Errorf("the page holds %d lines", n)
	}
	for _, want := range []string{`id="L10000"`, "exited with 3", "**J** failed: `make report` exited with 3", "/jobs/" + j.ID + "?attempt=1&amp;line=20006#L20006"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}
