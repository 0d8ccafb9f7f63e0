package web

import (
	"crypto/x509"
	"encoding/pem"
)

// Builds tells what machines can fetch from the server.
type Builds interface {
	Available() []string // platforms such as linux-amd64
	CA() ([]byte, error) // certificate of the server's own authority, nil when it has none
}

// ownCA tells whether machines must be told to trust the server's certificate.
func (w *Web) ownCA() bool { return len(w.ca()) > 0 }

// ca is the certificate of the server's own authority as machines fetch it, nil when there is none that can be read.
func (w *Web) ca() []byte {
	if w.o.Builds == nil {
		return nil
	}
	text, err := w.o.Builds.CA()
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return nil
	}
	return text
}
