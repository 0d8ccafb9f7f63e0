// Package cron reads cron expressions and finds the times they name: five fields and an optional year, where a day must
// fit both the day of the month and the weekday. Times are local to a zone; one that a change of the clocks skips counts
// at the first moment after the gap, and one that happens twice counts the first time. It has no clock: whoever asks
// says from when.
package cron

import (
	"math/bits"
	"time"
	_ "time/tzdata" // zones for machines that have none

	"github.com/adhocore/gronx"

	"github.com/signalbox-ci/signalbox"
)

// horizon is how far ahead Next looks.
const horizon = 5 // years

// Expr is an expression that was read.
type Expr struct {
	text                            string
	minute, hour, day, month, wkday uint64   // a bit for each value
	days, wkdays                    []string // what depends on the month: L, 15W, 5L, 1#2
	years                           []string // nil is every year
}

// String returns the expression as it was written.
func (e *Expr) String() string { return e.text }

// Zone returns the zone of an IANA name; "" is UTC.
func Zone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, signalbox.Errorf(signalbox.CodeInvalid,
			"time_zone %.60q is not known; write the IANA name of a place, such as Europe/Berlin or America/New_York, or UTC", name)
	}
	return loc, nil
}

// Next returns the first time after a moment, or the zero time when there is none within five years. What begins in
// one place of the clock and ends in another stays in order, so each local time counts once.
func (e *Expr) Next(after time.Time, loc *time.Location) time.Time {
	from := after.In(loc)
	year, month, day := from.Date()
	// Nothing that stands earlier on the clock of this day can come later: see instant.
	begin := from.Hour()*60 + from.Minute() + 1
	for date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC); date.Year() <= year+horizon; {
		if !e.onYear(date) {
			date, begin = time.Date(date.Year()+1, 1, 1, 0, 0, 0, 0, time.UTC), 0
			continue
		}
		if e.month>>date.Month()&1 == 0 {
			date, begin = time.Date(date.Year(), date.Month()+1, 1, 0, 0, 0, 0, time.UTC), 0
			continue
		}
		if e.onDay(date) {
			if t := e.within(date, begin, after, loc); !t.IsZero() {
				return t
			}
		}
		date, begin = date.AddDate(0, 0, 1), 0
	}
	return time.Time{}
}

// within returns the first time of a day, at or after a minute of it, that is later than a moment.
func (e *Expr) within(date time.Time, begin int, after time.Time, loc *time.Location) time.Time {
	for hours := e.hour >> (begin / 60) << (begin / 60); hours != 0; hours &= hours - 1 {
		h := bits.TrailingZeros64(hours)
		minutes := e.minute
		if h == begin/60 {
			minutes = minutes >> (begin % 60) << (begin % 60)
		}
		for ; minutes != 0; minutes &= minutes - 1 {
			if t := instant(date, h, bits.TrailingZeros64(minutes), loc); t.After(after) {
				return t
			}
		}
	}
	return time.Time{}
}

// Newest returns the last time that is later than after and not later than until, or the zero time.
func (e *Expr) Newest(after, until time.Time, loc *time.Location) time.Time {
	for back := time.Minute; ; back *= 4 {
		from := until.Add(-back)
		if from.Before(after) || back > 10*366*24*time.Hour {
			from = after
		}
		var last time.Time
		for t := e.Next(from, loc); !t.IsZero() && !t.After(until); t = e.Next(t, loc) {
			last = t
		}
		if !last.IsZero() || from.Equal(after) {
			return last
		}
	}
}

// instant returns when the clock of a place shows a time of day. The result never goes back when the time goes on.
func instant(date time.Time, hour, minute int, loc *time.Location) time.Time {
	want := time.Date(date.Year(), date.Month(), date.Day(), hour, minute, 0, 0, time.UTC)
	t := time.Date(date.Year(), date.Month(), date.Day(), hour, minute, 0, 0, loc)
	start, end := t.ZoneBounds()
	switch shown := clock(t); {
	case shown.After(want): // skipped, and t lies after the gap
		return start.UTC()
	case shown.Before(want): // skipped, and t lies before the gap
		return end.UTC()
	}
	if !start.IsZero() { // does the clock show it before the last change too?
		_, offset := start.Add(-time.Second).Zone()
		if first := want.Add(-time.Duration(offset) * time.Second); first.Before(start) {
			return first
		}
	}
	return t.UTC()
}

// clock is what a clock shows, as if it were in UTC.
func clock(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

func (e *Expr) onYear(date time.Time) bool { return e.years == nil || due(e.years, yearField, date) }

func (e *Expr) onDay(date time.Time) bool {
	day := e.day>>date.Day()&1 == 1 || due(e.days, dayField, date)
	return day && (e.wkday>>date.Weekday()&1 == 1 || due(e.wkdays, weekdayField, date))
}

// Places of the fields in gronx, which has seconds first.
const (
	minuteField = iota + 1
	hourField
	dayField
	monthField
	weekdayField
	yearField
)

// due tells whether one of the parts of a field fits a time. What a part means is up to gronx; that both day fields
// must fit, and what happens when clocks change, is ours.
func due(parts []string, field int, t time.Time) bool {
	c := gronx.SegmentChecker{}
	c.SetRef(t)
	for _, p := range parts {
		if p == lastWorkday {
			if t.Day() == lastWorkdayOf(t) {
				return true
			}
			continue
		}
		if ok, err := c.CheckDue(p, field); err == nil && ok {
			return true
		}
	}
	return false
}

// lastWorkday is what gronx does not know.
const lastWorkday = "LW"

func lastWorkdayOf(t time.Time) int {
	last := time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC)
	switch last.Weekday() {
	case time.Saturday:
		return last.Day() - 1
	case time.Sunday:
		return last.Day() - 2
	}
	return last.Day()
}
