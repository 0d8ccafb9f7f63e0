package logline

import (
	"bytes"
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/joblog"
)

var usualStart = []byte(`{"event":"cmd_output","timestamp":`)

// usual reads an event that has exactly the form in which agents write nearly all of them, into a buffer that it returns.
// Logs have millions of these, and the general reader takes most of the time that a search has.
func usual(event json.RawMessage, buf []byte) (at int64, text []byte, ok bool) {
	rest, ok := bytes.CutPrefix(event, usualStart)
	if !ok {
		return 0, buf, false
	}
	digits := 0
	for digits < len(rest) && digits < 18 && rest[digits] >= '0' && rest[digits] <= '9' {
		at = at*10 + int64(rest[digits]-'0')
		digits++
	}
	rest = rest[digits:]
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"output":"`)); !ok || digits == 0 {
		return 0, buf, false
	}
	if rest, ok = bytes.CutSuffix(rest, []byte(`"}`)); !ok {
		return 0, buf, false
	}
	text, ok = unquote(rest, buf)
	return at, text, ok
}

// unquote appends what stands between the quotes of a JSON string. It says no where it is not sure, for example because the
// string ends in the middle.
func unquote(s, dst []byte) ([]byte, bool) {
	if !utf8.Valid(s) || bytes.IndexByte(s, '"') >= 0 && !onlyEscaped(s) {
		return dst, false
	}
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(dst, s...), true
		}
		dst = append(dst, s[:i]...)
		if s = s[i+1:]; len(s) == 0 {
			return dst, false
		}
		c := s[0]
		s = s[1:]
		switch c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'u':
			r, ok := hex4(s)
			if !ok || utf16.IsSurrogate(r) {
				return dst, false
			}
			dst, s = utf8.AppendRune(dst, r), s[4:]
		default:
			return dst, false
		}
	}
}

// onlyEscaped tells whether no quote ends the string.
func onlyEscaped(s []byte) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return false
		}
	}
	return true
}

func hex4(s []byte) (r rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for _, c := range s[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// read parses an event, and takes the short way where there is one. The text of an output is only good until buf is used again.
func read(raw json.RawMessage, buf []byte) (e agentapi.Event, output, _ []byte) {
	at, text, ok := usual(raw, buf[:0])
	if ok {
		return agentapi.Event{Event: agentapi.EventCmdOutput, Timestamp: at}, text, text
	}
	e = joblog.Parse(raw)
	if e.Event == agentapi.EventCmdOutput {
		output = joblog.Output(e)
	}
	return e, output, text
}
