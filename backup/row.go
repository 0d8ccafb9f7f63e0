package backup

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/signalbox-ci/signalbox/store"
)

// A row is a line with a JSON array: texts, numbers and booleans as they are, bytes as {"b": base64}, and texts that are not
// UTF-8, which SQLite does not mind, as {"t": base64}.
type encoded struct {
	Bytes *string `json:"b,omitempty"`
	Text  *string `json:"t,omitempty"`
}

func encodeRow(to *bytes.Buffer, row []any) error {
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	for i, v := range row {
		switch x := v.(type) {
		case []byte:
			text := base64.StdEncoding.EncodeToString(x)
			row[i] = encoded{Bytes: &text}
		case string:
			if !utf8.ValidString(x) {
				text := base64.StdEncoding.EncodeToString([]byte(x))
				row[i] = encoded{Text: &text}
			}
		}
	}
	return enc.Encode(row)
}

func decodeRow(line []byte, columns []store.Column) ([]any, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(line, &raw); err != nil {
		return nil, err
	}
	if len(raw) != len(columns) {
		return nil, fmt.Errorf("a row has %d values for %d columns", len(raw), len(columns))
	}
	row := make([]any, len(raw))
	for i, v := range raw {
		var err error
		if row[i], err = decodeValue(v, columns[i].Kind); err != nil {
			return nil, fmt.Errorf("column %s: %w", columns[i].Name, err)
		}
	}
	return row, nil
}

func decodeValue(v json.RawMessage, kind store.Kind) (any, error) {
	if string(v) == "null" {
		return nil, errors.New("a value is missing")
	}
	switch kind {
	case store.Int:
		var n int64
		err := json.Unmarshal(v, &n)
		return n, err
	case store.Bool:
		var b bool
		err := json.Unmarshal(v, &b)
		return b, err
	}
	if len(v) > 0 && v[0] == '"' && kind == store.Text {
		var s string
		err := json.Unmarshal(v, &s)
		return s, err
	}
	var e encoded
	if err := json.Unmarshal(v, &e); err != nil {
		return nil, err
	}
	text := e.Bytes
	if kind == store.Text {
		text = e.Text
	}
	if text == nil {
		return nil, fmt.Errorf("a value is not %s", kind)
	}
	data, err := base64.StdEncoding.DecodeString(*text)
	if kind == store.Text {
		return string(data), err
	}
	return data, err
}
