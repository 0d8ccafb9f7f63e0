package web

import (
	"slices"
	"strconv"
	"time"
)

// usualOf is how many past runs say what is usual, and fewest how many there must be.
const (
	usualOf = 20
	fewest  = 3
)

// usual is the median of past runs, 0 when there are too few.
func usual(past []time.Duration) time.Duration {
	if len(past) < fewest {
		return 0
	}
	return median(past)
}

// median is that of at least one duration.
func median(of []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// compared says how far something that took so long is from what is usual; a quarter, or five seconds, is nothing to speak of.
func compared(took, usual time.Duration) string {
	by := took - usual
	if usual <= 0 || by.Abs() < 5*time.Second || by.Abs() < usual/4 {
		return ""
	}
	if took >= 2*usual {
		return strconv.FormatFloat(float64(took)/float64(usual), 'f', 1, 64) + " times as long as usual"
	}
	percent := strconv.FormatInt(int64(by.Abs()*100/usual), 10) + " % "
	if by < 0 {
		return percent + "faster than usual"
	}
	return percent + "slower than usual"
}
