package journey

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
)

// trusting believes the server's own authority and nobody else.
func trusting(w *world) *http.Transport {
	w.Helper()
	text, err := os.ReadFile(w.path("data", "ca.crt"))
	if err != nil {
		w.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
}
