package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// seconds is a setting that the official agent counts in seconds: "300"; "5m" is understood too.
type seconds time.Duration

func (s *seconds) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	d, err := time.ParseDuration(text)
	if n, nerr := strconv.ParseInt(text, 10, 32); nerr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 || d%time.Second != 0 || d > 1<<31*time.Second {
		return fmt.Errorf("%q must be whole seconds such as 300, or a duration such as 5m, and not negative", text)
	}
	*s = seconds(d)
	return nil
}

func (s seconds) String() string { return time.Duration(s).String() }

// byteSize is a number of bytes: "1048576", "500MB" (of 1000) or "1GiB" (of 1024).
type byteSize int64

var byteUnits = []struct {
	name string
	size int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
}

func (s *byteSize) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	number, unit := text, int64(1)
	for _, u := range byteUnits {
		if len(text) > len(u.name) && strings.EqualFold(text[len(text)-len(u.name):], u.name) {
			number, unit = strings.TrimSpace(text[:len(text)-len(u.name)]), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("%q must be a number of bytes such as 1048576, 500MB or 1GiB", text)
	}
	*s = byteSize(n * unit)
	return nil
}
