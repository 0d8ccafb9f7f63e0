package agentapi

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

// Event words of a job log.
const (
	EventJobStarted  = "job_started"
	EventCmdStarted  = "cmd_started"
	EventCmdOutput   = "cmd_output"
	EventCmdFinished = "cmd_finished"
	EventJobFinished = "job_finished"
)

// Event is one line of a job log. Timestamps are Unix seconds. Only the fields of its kind are set; the pointers are
// those whose zero must be written.
type Event struct {
	Event      string `json:"event"`
	Timestamp  int64  `json:"timestamp"`
	Directive  string `json:"directive,omitempty"`
	Output     string `json:"output,omitempty"`
	OutputB64  string `json:"output_b64,omitempty"` // exact bytes, when output is not valid UTF-8
	ExitCode   *int   `json:"exit_code,omitempty"`
	StartedAt  *int64 `json:"started_at,omitempty"`
	FinishedAt *int64 `json:"finished_at,omitempty"`
	Result     string `json:"result,omitempty"`
}

// AppendOutput appends to dst, as one line of a log without its line end, the cmd_output event for b, printed at a Unix
// time in seconds. JSON holds only Unicode, so the exact bytes go beside the text when they are something else.
func AppendOutput(dst []byte, timestamp int64, b []byte) []byte {
	dst = append(dst, `{"event":"cmd_output","timestamp":`...)
	dst = strconv.AppendInt(dst, timestamp, 10)
	dst = append(dst, `,"output":"`...)
	dst, valid := appendText(dst, b)
	dst = append(dst, '"')
	if !valid {
		dst = append(dst, `,"output_b64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, b)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// appendText appends b as the inside of a JSON string, with U+FFFD for each byte that is not UTF-8.
func appendText(dst, b []byte) (_ []byte, valid bool) {
	valid = true
	from := 0
	for i := 0; i < len(b); {
		c := b[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(b[i:])
			if r != utf8.RuneError || n != 1 {
				i += n
				continue
			}
			dst = append(append(dst, b[from:i]...), "\uFFFD"...)
			valid = false
			i++
			from = i
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, b[from:i]...)
		switch c {
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '"', '\\':
			dst = append(dst, '\\', c)
		default:
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(dst, b[from:]...), valid
}
