package web

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync"
)

// worthPacking is from how many bytes on compressing an answer pays.
const worthPacking = 1400

var packers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, 5) // the level is a right one
	return z
}}

// takesGzip tells whether a browser can read gzip; all that are not made for a test can.
func takesGzip(r *http.Request) bool {
	for _, coding := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if name == "gzip" && strings.ReplaceAll(quality, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

func pack(text []byte) []byte {
	var out bytes.Buffer
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	z.Reset(&out)
	_, _ = z.Write(text) // a buffer takes all
	_ = z.Close()
	return out.Bytes()
}

// writePacked writes an answer, compressed where that is wanted and pays.
func writePacked(rw http.ResponseWriter, packed bool, status int, text []byte) error {
	h := rw.Header()
	h.Add("Vary", "Accept-Encoding")
	if packed && len(text) >= worthPacking {
		h.Set("Content-Encoding", "gzip")
		text = pack(text)
	}
	rw.WriteHeader(status)
	_, err := rw.Write(text)
	return err
}
