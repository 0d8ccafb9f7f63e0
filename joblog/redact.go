package joblog

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/redact"
	"github.com/signalbox-ci/signalbox/store"
)

// redacted stores the events r of the push without the secrets in them.
func (w *writer) redacted(r run) error {
	key, err := w.key()
	if err != nil {
		return err
	}
	raw := w.events[r.from-w.from : r.to-w.from]
	state, found, err := w.tail(r.from)
	if err != nil {
		return err
	}
	if found {
		if err := w.setTail(r.from, redact.State{}); err != nil {
			return err
		}
	}
	events, hashes := make([][]byte, len(raw)), make([]byte, 0, len(raw)*hashSize)
	for i, e := range raw {
		var rest []byte
		events[i], rest, state = clean(w.m, state, e)
		hashes = append(hashes, key.hash(e)...)
		if err := w.rest(r.from+int64(i), rest); err != nil {
			return err
		}
		w.head.Bytes += int64(len(events[i])) + 1
	}
	for _, c := range w.l.encode(r.from, events) {
		at := (c.First - r.from) * hashSize
		c.Hashes = hashes[at : at+c.Count*hashSize]
		if err := w.t.AddLogChunk(w.head.AttemptID, c); err != nil {
			return err
		}
	}
	if len(state.Tail) == 0 {
		return nil
	}
	following, end, err := w.following(r.to)
	if err != nil {
		return err
	}
	if end == r.to {
		return w.setTail(r.to, state)
	}
	// The events fill a gap: what they end with is followed by what is stored already.
	if err := w.rest(r.to, w.m.Join(state, following)); err != nil || end < 0 {
		return err
	}
	old, _, err := w.tail(end)
	if err != nil {
		return err
	}
	return w.setTail(end, w.m.Bridge(state, following, old))
}

// rest stores text that was held back before an event.
func (w *writer) rest(before int64, text []byte) error {
	if len(text) == 0 {
		return nil
	}
	w.past = w.past || before < w.end
	w.head.Bytes += int64(len(text))
	return w.t.AddLogRest(w.head, store.LogText{Before: before, Data: text})
}

// maxFollowing is how much of what is stored behind a gap is looked at when the gap is filled.
const maxFollowing = 64 << 10

// following returns what is shown from event n on up to the first event that is not stored, and the index of that; -1 when
// it is more than maxFollowing away.
func (w *writer) following(n int64) (text []byte, end int64, err error) {
	for len(text) <= maxFollowing {
		var events []json.RawMessage
		if n < w.head.Next {
			chunks, err := w.t.LogChunks(w.head.AttemptID, n, 1, pageData)
			if err != nil {
				return nil, 0, err
			}
			if len(chunks) > 0 && chunks[0].First <= n {
				if events, err = w.l.decode(chunks[0]); err != nil {
					return nil, 0, err
				}
				events = events[n-chunks[0].First:]
			}
		}
		rests, err := w.t.LogRests(w.head.AttemptID, n, n+max(int64(len(events))-1, 0), maxIndex)
		if err != nil {
			return nil, 0, err
		}
		if len(events) == 0 {
			for _, r := range rests {
				text = append(text, r.Data...)
			}
			return text, n, nil
		}
		for _, e := range events {
			if len(rests) > 0 && rests[0].Before == n {
				text, rests = append(text, rests[0].Data...), rests[1:]
			}
			text = append(text, textOf(e)...)
			n++
		}
	}
	return text[:maxFollowing], -1, nil
}

// release stores all that is held back, because the log is closed.
func (w *writer) release() error {
	rows, err := w.t.LogTails(w.head.AttemptID, 0, maxIndex)
	if err != nil {
		return err
	}
	for _, row := range rows {
		s, err := w.openTail(row)
		if err != nil {
			return err
		}
		if !s.Held() {
			continue
		}
		text := []byte(redact.Mark) // nobody knows any more whether there is a secret in it
		if w.m != nil {
			text, s = w.m.Flush(s)
		} else {
			s = redact.State{}
		}
		if err := w.rest(row.Before, text); err != nil {
			return err
		}
		if err := w.setTail(row.Before, s); err != nil {
			return err
		}
	}
	return nil
}

// clean returns an event without secrets, and the text that was held back and now stands before it. An event in which there
// is none stays as it is, byte for byte.
func clean(m *redact.Matcher, s redact.State, event []byte) (out, rest []byte, next redact.State) {
	if !utf8.Valid(event) && !bytes.Equal(m.Text(event), event) {
		event = bytes.ToValidUTF8(event, []byte("\ufffd")) // no JSON: what is read of it is something else
	}
	if output, ok := usual(event); ok {
		if text, next := m.Next(s, []byte(output)); string(text) == output {
			return event, nil, next
		}
	}
	fs, ok := fieldsOf(event)
	if !ok {
		rest, next = m.Flush(s)
		return []byte(`{"event":"cmd_output","output":"` + redact.Mark + `"}`), rest, next
	}
	e := parse(event)
	var stream string // the field that is part of what readers see as one text
	switch e.Event {
	case agentapi.EventCmdOutput:
		exact := outputOf(e)
		text, next := m.Next(s, exact)
		changed := !bytes.Equal(text, exact) || !honest(fs, e, exact)
		if fs, ok = others(m, fs, "output", "output_b64"); !ok && !changed {
			return event, nil, next
		}
		if changed {
			fs = fs.set("output", strings.ToValidUTF8(string(text), "\ufffd"))
			fs = fs.set("output_b64", base64Unless(string(text)))
		}
		return fs.bytes(), nil, next
	case agentapi.EventCmdStarted:
		stream = "directive"
	}
	rest, next = m.Flush(s)
	changed := false
	if stream != "" {
		text, after := m.Next(next, []byte(e.Directive))
		more, after := m.Flush(after)
		next = after
		if d := string(text) + string(more); d != e.Directive || fs.count(stream) > 1 {
			fs, changed = fs.set(stream, d), true
		}
	}
	if fs, ok = others(m, fs, stream); !ok && !changed {
		return event, rest, next
	}
	return fs.bytes(), rest, next
}

var usualStart = []byte(`{"event":"cmd_output","timestamp":`)

// usual returns what an event prints that has exactly the form in which agents write nearly all of them: nothing else has
// to be looked at in it.
func usual(event []byte) (output string, ok bool) {
	rest, ok := bytes.CutPrefix(event, usualStart)
	if !ok {
		return "", false
	}
	for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' {
		rest = rest[1:]
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"output":`)); !ok || len(rest) < 3 || rest[0] != '"' {
		return "", false
	}
	end := 1
	for end < len(rest) && rest[end] != '"' {
		if rest[end] == '\\' {
			end++
		}
		end++
	}
	if end != len(rest)-2 || json.Unmarshal(rest[:end+1], &output) != nil {
		return "", false
	}
	return output, true
}

// honest tells whether an output says the same in its two fields, once.
func honest(fs fields, e agentapi.Event, exact []byte) bool {
	if fs.count("output") > 1 || fs.count("output_b64") > 1 {
		return false
	}
	if !fs.has("output_b64") {
		return true
	}
	return once(strings.ToValidUTF8(string(exact), "\ufffd")) == once(e.Output)
}

// once makes one replacement character of several.
func once(s string) string {
	for strings.Contains(s, "\ufffd\ufffd") {
		s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
	}
	return s
}

// times are fields whose numbers mean nothing else.
var times = map[string]bool{"timestamp": true, "started_at": true, "finished_at": true, "exit_code": true}

// others searches all fields but some, keys included, each as a text of its own. changed is false when there was nothing.
func others(m *redact.Matcher, fs fields, but ...string) (_ fields, changed bool) {
	out := make(fields, 0, len(fs))
fields:
	for _, f := range fs {
		for _, b := range but {
			if f.key == b {
				out = append(out, f)
				continue fields
			}
		}
		if key := string(m.Text([]byte(f.key))); key != f.key {
			f.key, changed = key, true
		}
		number := len(f.value) > 0 && (f.value[0] == '-' || f.value[0] >= '0' && f.value[0] <= '9')
		if !(number && times[f.key] && len(f.value) < 20) {
			if v, ok := cleanJSON(m, f.value); ok {
				f.value, changed = v, true
			}
		}
		out = append(out, f)
	}
	return out, changed
}

// cleanJSON searches all texts and numbers within a JSON value.
func cleanJSON(m *redact.Matcher, value json.RawMessage) (_ json.RawMessage, changed bool) {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return json.RawMessage(`"` + redact.Mark + `"`), true
	}
	var walk func(any) any
	text := func(s string) string {
		t := string(m.Text([]byte(s)))
		changed = changed || t != s
		return t
	}
	walk = func(v any) any {
		switch v := v.(type) {
		case string:
			return text(v)
		case json.Number:
			if t := text(v.String()); t != v.String() {
				return t
			}
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			n := make(map[string]any, len(v))
			for k, x := range v {
				n[text(k)] = walk(x)
			}
			return n
		}
		return v
	}
	v = walk(v)
	if !changed {
		return value, false
	}
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage(`"` + redact.Mark + `"`), true
	}
	return b, true
}

func (fs fields) count(key string) (n int) {
	for _, f := range fs {
		if f.key == key {
			n++
		}
	}
	return n
}

// set gives a field a text, once; output_b64 without a text is taken away.
func (fs fields) set(key, text string) fields {
	out := make(fields, 0, len(fs)+1)
	value, err := json.Marshal(text)
	done := key == "output_b64" && text == "" || err != nil
	for _, f := range fs {
		if f.key != key {
			out = append(out, f)
		} else if !done {
			out, done = append(out, field{key, value}), true
		}
	}
	if !done {
		out = append(out, field{key, value})
	}
	return out
}

func (fs fields) bytes() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for _, f := range fs {
		write(&b, f.key, f.value)
	}
	b.WriteByte('}')
	if !utf8.Valid(b.Bytes()) {
		return bytes.ToValidUTF8(b.Bytes(), []byte("\ufffd"))
	}
	return b.Bytes()
}
