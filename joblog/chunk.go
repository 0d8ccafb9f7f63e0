package joblog

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
)

const (
	// MaxEvent is the size of the largest event that is stored. A larger one becomes a gap.
	MaxEvent = 8 << 20
	// maxChunk is how much of one push lies in one row, so that reading never needs more than that at once (or one
	// event, when that is larger).
	maxChunk = 1 << 20
)

// newCodec makes the compressor and decompressor that all goroutines share: memory for one each, whatever the load.
func newCodec() (*zstd.Encoder, *zstd.Decoder) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderLevel(zstd.SpeedFastest))
	dec, err2 := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil || err2 != nil {
		// The options are constants, so this is a mistake in the lines above.
		panic(fmt.Sprintf("joblog: prepare compression: %v, %v", err, err2))
	}
	return enc, dec
}

// split cuts a push into its events, which alias body. Empty lines are no events. A line that is not a JSON object
// becomes an event that holds its bytes, because refusing it would make the agent repeat the same push until it gives
// the rest of the log up. A line larger than MaxEvent is nil.
func split(body []byte) [][]byte {
	var events [][]byte
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		switch {
		case len(bytes.TrimRight(line, "\r")) == 0:
		case len(line) > MaxEvent:
			events = append(events, nil)
		default:
			events = append(events, event(line))
		}
	}
	return events
}

func event(line []byte) []byte {
	if object := bytes.TrimSpace(line); len(object) > 0 && object[0] == '{' && json.Valid(object) {
		return object
	}
	// No time of arrival in it: a repeated push must give the same event.
	text := string(line) + "\n"
	wrapped, err := json.Marshal(agentapi.Event{
		Event: agentapi.EventCmdOutput, Output: strings.ToValidUTF8(text, "\ufffd"), OutputB64: base64Unless(text),
	})
	if err != nil || len(wrapped) > MaxEvent {
		return nil
	}
	return wrapped
}

// encode packs events, none of them nil, into chunks. It returns nothing when one is.
func (l *Log) encode(from int64, events [][]byte) []store.LogChunk {
	var chunks []store.LogChunk
	var raw []byte
	count := int64(0)
	flush := func() {
		if count == 0 {
			return
		}
		chunks = append(chunks, store.LogChunk{First: from, Count: count, Data: l.enc.EncodeAll(raw, nil)})
		from, count, raw = from+count, 0, raw[:0]
	}
	for _, e := range events {
		if e == nil {
			return nil
		}
		if len(raw)+len(e) >= maxChunk {
			flush()
		}
		if count > 0 {
			raw = append(raw, '\n')
		}
		raw = append(raw, e...)
		count++
	}
	flush()
	return chunks
}

// decode returns the events of a chunk.
func (l *Log) decode(c store.LogChunk) ([]json.RawMessage, error) {
	raw, err := l.dec.DecodeAll(c.Data, nil)
	if err != nil {
		return nil, fmt.Errorf("decompress events from %d on: %w", c.First, err)
	}
	events := make([]json.RawMessage, 0, c.Count)
	for line := range bytes.SplitSeq(raw, []byte("\n")) {
		events = append(events, line)
	}
	if int64(len(events)) != c.Count {
		return nil, fmt.Errorf("the chunk at event %d holds %d events, not %d", c.First, len(events), c.Count)
	}
	return events, nil
}

// base64Unless returns the exact bytes of a text in base64 when the text is not valid UTF-8, else "".
func base64Unless(text string) string {
	if utf8.ValidString(text) {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(text))
}
