package signalbox

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

var idClock struct {
	sync.Mutex
	last uint64 // milliseconds << 12 | counter
}

// NewID returns a new UUID of version 7 in lower case. Ids made by one process sort in the order they were made,
// because the 12 bits after the milliseconds are a counter.
func NewID() string {
	var b [16]byte
	if _, err := rand.Read(b[8:]); err != nil {
		panic("signalbox: no randomness: " + err.Error())
	}
	idClock.Lock()
	tick := uint64(time.Now().UnixMilli()) << 12
	if tick <= idClock.last {
		tick = idClock.last + 1
	}
	idClock.last = tick
	idClock.Unlock()

	binary.BigEndian.PutUint64(b[:8], tick>>12<<16|0x7000|tick&0xfff)
	b[8] = b[8]&0x3f | 0x80
	return formatUUID(b)
}

// IsID tells whether s has the shape of an id: 8-4-4-4-12 hexadecimal digits.
func IsID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
			continue
		}
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}

func formatUUID(b [16]byte) string {
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
