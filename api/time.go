package api

import (
	"strconv"
	"time"
)

// Times of the API, by endpoint.

func seconds(t time.Time) map[string]int64 {
	if t.IsZero() {
		return map[string]int64{"seconds": 0, "nanos": 0}
	}
	return map[string]int64{"seconds": t.Unix(), "nanos": int64(t.Nanosecond())}
}

func unixText(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.Unix(), 10)
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	return t.UTC().Format("2006-01-02 15:04:05.000000Z")
}
