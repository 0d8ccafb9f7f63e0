package agent

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/signalbox-ci/signalbox/agentapi"
)

// A spool is a file of records, each of which is one event of the log:
//
//	checksum 4 | length 4 | time 8 | kind 1 | payload
//
// The checksum (CRC-32C) covers everything after itself, so a record that a crash cut off is recognised. The time is in
// Unix milliseconds. Integers are little-endian.
const recordHeader = 17

// kind says what a record's payload is.
type kind byte

const (
	kindOutput kind = 'o' // bytes that a command printed
	kindEvent  kind = 'e' // any other event, as the JSON it is on the wire
	kindGap    kind = 'g' // 8 bytes: how much output the quota kept out here
)

// maxRecord bounds the payload of a record that is believed: the largest event is a command, and a payload is 256 MB at most.
const maxRecord = 256 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errTorn says that what follows is no whole record.
var errTorn = errors.New("the record is not whole")

func appendRecord(dst []byte, k kind, at time.Time, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(at.UnixMilli()))
	dst = append(dst, byte(k))
	dst = append(dst, payload...)
	binary.LittleEndian.PutUint32(dst[start:], crc32.Checksum(dst[start+4:], castagnoli))
	return dst
}

// record is one record of a spool. The payload aliases what it was read from.
type record struct {
	kind    kind
	at      time.Time
	payload []byte
	size    int // in the file
}

// readRecord reads the record at the beginning of b. need is how many bytes it would take when b is too short.
func readRecord(b []byte) (r record, need int, err error) {
	if len(b) < recordHeader {
		return r, recordHeader, nil
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if n > maxRecord {
		return r, 0, errTorn
	}
	r.size = recordHeader + int(n)
	if len(b) < r.size {
		return r, r.size, nil
	}
	if crc32.Checksum(b[4:r.size], castagnoli) != binary.LittleEndian.Uint32(b) {
		return r, 0, errTorn
	}
	r.at = time.UnixMilli(int64(binary.LittleEndian.Uint64(b[8:])))
	r.kind = kind(b[16])
	r.payload = b[recordHeader:r.size]
	return r, 0, nil
}

// appendLine appends the record as a line of the log on the wire.
func (r record) appendLine(dst []byte) []byte {
	switch r.kind {
	case kindOutput:
		dst = agentapi.AppendOutput(dst, r.at.Unix(), r.payload)
	case kindGap:
		dst = agentapi.AppendOutput(dst, r.at.Unix(), r.gapText())
	default:
		dst = append(dst, r.payload...)
	}
	return append(dst, '\n')
}

func (r record) gapText() []byte {
	var n uint64
	if len(r.payload) == 8 {
		n = binary.LittleEndian.Uint64(r.payload)
	}
	return []byte(fmt.Sprintf("\n[%d bytes of output are missing here: the log had reached its quota on the agent's disk while the server could not be reached]\n", n))
}

// appendText appends what the record is in the log as plain text: a command, or what it printed.
func (r record) appendText(dst []byte) []byte {
	switch r.kind {
	case kindOutput:
		return append(dst, r.payload...)
	case kindGap:
		return append(dst, r.gapText()...)
	}
	var e agentapi.Event
	if err := json.Unmarshal(r.payload, &e); err != nil || e.Event != agentapi.EventCmdStarted {
		return dst
	}
	return append(append(dst, e.Directive...), '\n')
}
