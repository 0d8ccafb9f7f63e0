package joblog

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// Text writes the log as plain text: each command's directive on a line, then what it printed, byte for byte. A gap
// is one line in brackets. It holds a small part of the log at a time.
func (l *Log) Text(ctx context.Context, attemptID string, w io.Writer) error {
	b := bufio.NewWriterSize(w, 64<<10)
	if _, _, err := l.scan(ctx, attemptID, 0, func(batch Batch) error { return writeText(b, batch) }); err != nil {
		return err
	}
	return b.Flush()
}

func writeText(b *bufio.Writer, batch Batch) error {
	if batch.Gap != nil {
		_, err := b.WriteString(batch.Gap.Text())
		return err
	}
	for _, raw := range batch.Events {
		if _, err := b.Write(textOf(raw)); err != nil {
			return fmt.Errorf("write the log: %w", err)
		}
	}
	return nil
}

// textOf returns what an event shows in plain text, nothing for most kinds.
func textOf(raw json.RawMessage) []byte {
	switch e := parse(raw); e.Event {
	case agentapi.EventCmdStarted:
		return []byte(e.Directive + "\n")
	case agentapi.EventCmdOutput:
		return outputOf(e)
	}
	return nil
}

// outputOf returns the exact bytes of an output where the agent gave them.
func outputOf(e agentapi.Event) []byte {
	if e.OutputB64 != "" {
		if exact, err := base64.StdEncoding.DecodeString(e.OutputB64); err == nil {
			return exact
		}
	}
	return []byte(e.Output)
}
