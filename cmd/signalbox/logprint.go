package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// logPrinter writes log events as text.
type logPrinter struct {
	out  io.Writer
	next int64
}

func newLogPrinter(w io.Writer) *logPrinter { return &logPrinter{out: terminalSafe(w)} }

func (p *logPrinter) event(e agentapi.Event) {
	switch e.Event {
	case agentapi.EventCmdStarted:
		fmt.Fprintf(p.out, "\x1b[2m$\x1b[0m \x1b[1m%s\x1b[0m\n", e.Directive)
	case agentapi.EventCmdOutput:
		text := []byte(e.Output)
		if b, err := base64.StdEncoding.DecodeString(e.OutputB64); err == nil && len(b) > 0 {
			text = b
		}
		_, _ = p.out.Write(text)
	case agentapi.EventCmdFinished:
		if e.ExitCode != nil && *e.ExitCode != 0 {
			fmt.Fprintf(p.out, "\x1b[31mexit code %d\x1b[0m\n", *e.ExitCode)
		}
	}
}

// readStream reads one connection of a log stream. ended tells whether the server said that the log is complete.
func readStream(ctx context.Context, api *client, path string, p *logPrinter) (ended bool, err error) {
	body, err := api.openFrom(ctx, path, p.next)
	if err != nil {
		return false, err
	}
	defer body.Close()
	r := bufio.NewReaderSize(body, 64<<10)
	event, id, data := "", "", strings.Builder{}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false, nil //nolint:nilerr // cut off: the caller connects again
		}
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "event: "):
			event = line[7:]
		case strings.HasPrefix(line, "id: "):
			id = line[4:]
		case strings.HasPrefix(line, "data: "):
			data.WriteString(line[6:])
		case line == "":
			if event == "end" {
				return true, nil
			}
			p.block(event, data.String())
			if n, err := strconv.ParseInt(id, 10, 64); err == nil {
				p.next = n
			}
			event, id = "", ""
			data.Reset()
		}
	}
}

func (p *logPrinter) block(event, data string) {
	switch event {
	case "log":
		var events []agentapi.Event
		if json.Unmarshal([]byte(data), &events) != nil {
			return
		}
		for _, e := range events {
			p.event(e)
		}
	case "gap":
		fmt.Fprintf(p.out, "[a part of the log is missing: %s]\n", data)
	}
}

// openFrom opens a stream of server-sent events behind the last one that was read.
func (c *client) openFrom(ctx context.Context, path string, last int64) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Token "+c.token)
	if last > 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatInt(last, 10))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(res.Body, 2000))
		return nil, fmt.Errorf("the server answered %s: %s", res.Status, text)
	}
	return res.Body, nil
}

// terminalSafe passes text, tabs, newlines, carriage returns and colours on and drops everything else that a log could
// do to a terminal: titles, clipboard, cursor movement. The controls U+0080 to U+009F count too: to some terminals they
// are ESC sequences of one character.
func terminalSafe(w io.Writer) io.Writer { return &safeWriter{w: w} }

type safeWriter struct {
	w     io.Writer
	state byte // 0 text, 'e' after ESC, '[' in a CSI, ']' in a string sequence, '\\' after ESC in one, 'c' after 0xC2
	seq   []byte
}

func (s *safeWriter) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		out = s.step(out, c)
	}
	if _, err := s.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (s *safeWriter) step(out []byte, c byte) []byte {
	switch s.state {
	case 'e':
		switch c {
		case '[':
			s.state, s.seq = '[', append(s.seq[:0], 0x1b, '[')
		case ']', 'P', 'X', '^', '_':
			s.state = ']'
		default:
			s.state = 0
		}
	case '[':
		switch {
		case c >= '0' && c <= '9' || c == ';' || c == ':':
			if len(s.seq) < 64 {
				s.seq = append(s.seq, c)
			}
		case c == 'm':
			s.state = 0
			return append(append(out, s.seq...), 'm')
		case c >= 0x40 && c <= 0x7e:
			s.state = 0
		}
	case ']':
		switch c {
		case 0x07:
			s.state = 0
		case 0x1b:
			s.state = '\\'
		}
	case '\\':
		s.state = ']'
		if c == '\\' {
			s.state = 0
		}
	case 'c':
		s.state = 0
		if c >= 0xa0 && c < 0xc0 {
			return append(out, 0xc2, c)
		}
		if c < 0x80 || c > 0xbf { // a broken character; what follows it begins anew
			return s.step(append(out, 0xc2), c)
		}
	default:
		switch {
		case c == 0x1b:
			s.state = 'e'
		case c == 0xc2:
			s.state = 'c'
		case c >= ' ' && c != 0x7f || c == '\n' || c == '\r' || c == '\t':
			return append(out, c)
		}
	}
	return out
}
