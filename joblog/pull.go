package joblog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/signalbox-ci/signalbox/agentapi"
)

const (
	defaultPull = 2000
	maxPullSize = 4 << 20 // bytes of events in one answer, give or take one event
)

// Pull returns up to limit (0: 2000) events from an index on as existing clients know them: job_finished carries its
// result under both names, output_b64 is left out, and a gap is an output of its own. Call again with next until
// closed, which says that the log is closed and nothing follows. An attempt without a log is CodeNotFound.
func (l *Log) Pull(ctx context.Context, attemptID string, from int64, limit int) (events []json.RawMessage, next int64, closed bool, err error) {
	if limit <= 0 {
		limit = defaultPull
	}
	next = max(from, 0)
	enough := errors.New("enough")
	size := 0
	var before []json.RawMessage // a rest goes with what it stands before, because it has no index to go on from
	_, closed, err = l.scan(ctx, attemptID, from, func(b Batch) error {
		if b.rest {
			before = append(before, official(b.Events[0]))
			return nil
		}
		if b.Gap != nil {
			if len(events) >= limit {
				return enough
			}
			e, err := json.Marshal(agentapi.Event{Event: agentapi.EventCmdOutput, Output: b.Gap.Text()})
			if err != nil {
				return err
			}
			events, next = append(append(events, before...), e), b.Gap.To
			before = nil
			return nil
		}
		for _, e := range b.Events {
			if len(events) >= limit || size >= maxPullSize {
				return enough
			}
			e = official(e)
			events, next, size = append(append(events, before...), e), next+1, size+len(e)
			before = nil
		}
		return nil
	})
	if errors.Is(err, enough) {
		return events, next, false, nil
	}
	return append(events, before...), next, closed, err
}

// Text is what a reader sees in the place of what is missing.
func (g Gap) Text() string {
	what, verb := fmt.Sprintf("events %d to %d", g.From, g.To-1), "were"
	if g.To-g.From == 1 {
		what, verb = fmt.Sprintf("event %d", g.From), "was"
	}
	switch g.Why {
	case WhyQuota:
		return "[" + what + " of the log " + verb + " not stored: the log reached its quota]\n"
	case WhyWithheld:
		return "[" + what + " of the log " + verb + " not stored: the log was closed, and which secrets to hide is not known any more]\n"
	case WhyTooLarge:
		return "[" + what + " of the log " + verb + " not stored: too large]\n"
	}
	return "[" + what + " of the log never arrived]\n"
}

var (
	outputB64   = []byte(`"output_b64"`)
	jobFinished = []byte(`"job_finished"`)
)

// official rewrites an event for existing clients. Events it does not know stay as they are.
func official(event json.RawMessage) json.RawMessage {
	event = bytes.ToValidUTF8(event, []byte("\ufffd"))
	if !bytes.Contains(event, outputB64) && !bytes.Contains(event, jobFinished) {
		return event
	}
	fields, ok := fieldsOf(event)
	if !ok {
		return event
	}
	finished := fields.text("event") == agentapi.EventJobFinished && !fields.has("job_result")
	var b bytes.Buffer
	b.WriteByte('{')
	for _, f := range fields {
		if f.key == "output_b64" {
			continue
		}
		write(&b, f.key, f.value)
		if finished && f.key == "result" {
			write(&b, "job_result", f.value)
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// fields are the keys and values of a JSON object in their order.
type fields []field

type field struct {
	key   string
	value json.RawMessage
}

func fieldsOf(object []byte) (fields, bool) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	var list fields
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return nil, false
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, false
		}
		list = append(list, field{key, value})
	}
	return list, true
}

func (fs fields) has(key string) bool {
	for _, f := range fs {
		if f.key == key {
			return true
		}
	}
	return false
}

func (fs fields) text(key string) string {
	var s string
	for _, f := range fs {
		if f.key == key && json.Unmarshal(f.value, &s) == nil {
			return s
		}
	}
	return ""
}

func write(b *bytes.Buffer, key string, value json.RawMessage) {
	if b.Len() > 1 {
		b.WriteByte(',')
	}
	name, err := json.Marshal(key)
	if err != nil {
		return // a string always has a JSON form
	}
	b.Write(name)
	b.WriteByte(':')
	b.Write(value)
}

// parse reads the fields that readers need. What has the wrong type is as if it were not there.
func parse(event json.RawMessage) agentapi.Event {
	var e agentapi.Event
	var wrongType *json.UnmarshalTypeError
	if err := json.Unmarshal(event, &e); err != nil && !errors.As(err, &wrongType) {
		return agentapi.Event{}
	}
	return e
}
