package joblog

import (
	"context"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// BenchmarkAppend compares a log that nobody asks for secrets of with one of an attempt that has none, and one that has.
func BenchmarkAppend(b *testing.B) {
	keys, err := auth.NewKeyring(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	s := storetest.OpenSQLite(b)
	body := []byte(strings.Repeat(printed("2026-01-01 12:00:00 compile internal/server/handler_test.go: ok\n")+"\n", 500))
	for _, c := range []struct {
		name string
		l    *Log
	}{
		{"no redaction", New(Options{Store: s})},
		{"no secrets", New(Options{Store: s, Secrets: &vault{}, Keys: keys})},
		{"one secret", New(Options{Store: s, Secrets: &vault{values: []string{"correct-horse-battery-staple"}}, Keys: keys})},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			a, from := signalbox.NewID(), int64(0)
			for b.Loop() {
				if _, err := c.l.Append(context.Background(), a, "job", from, body); err != nil {
					b.Fatal(err)
				}
				from += 500
			}
		})
	}
}
