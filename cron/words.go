package cron

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Words says when an expression is due, as people would: "every day at 3:00".
func (e *Expr) Words() string {
	clock, daily := e.clockWords()
	days := e.dayWords()
	switch {
	case days == "" && daily:
		return "every day " + clock
	case days == "":
		return clock
	}
	return clock + " " + days
}

// mostTimes is how many times of a day are listed one by one.
const mostTimes = 6

// clockWords says at which times of a day, and whether those are few single ones.
func (e *Expr) clockWords() (words string, single bool) {
	minutes, hours := values(e.minute), values(e.hour)
	hourSteps, minuteSteps := steps(hours, 0, 23), steps(minutes, 0, 59)
	everyHour := hourSteps == 1
	if !everyHour && (hourSteps == 0 || len(hours) == 2) && len(minutes)*len(hours) <= mostTimes {
		var all []string
		for _, h := range hours {
			for _, m := range minutes {
				all = append(all, fmt.Sprintf("%d:%02d", h, m))
			}
		}
		return "at " + and(all), true
	}
	switch {
	case minuteSteps == 1:
		words = "every minute"
	case minuteSteps > 1:
		words = fmt.Sprintf("every %d minutes", minuteSteps)
	case len(minutes) == 1 && minutes[0] == 0:
		words = "on the hour"
	default:
		words = "at minute " + and(numbers(minutes))
	}
	exact := len(minutes) == 1 && minutes[0] == 0
	from, to, ranged := span(hours)
	switch {
	case everyHour && minuteSteps > 0:
		return words, false
	case everyHour && exact:
		return "every hour", false
	case everyHour:
		return "every hour " + words, false
	case hourSteps > 1 && exact:
		return fmt.Sprintf("every %d hours", hourSteps), false
	case hourSteps > 1:
		return fmt.Sprintf("%s of every %s hour", words, ordinal(hourSteps)), false
	case ranged && exact:
		return fmt.Sprintf("every hour from %d:00 to %d:00", from, to), false
	case ranged:
		return fmt.Sprintf("%s from %d:00 to %d:59", words, from, to), false
	}
	return words + " in the hours " + and(numbers(hours)), false
}

// dayWords says on which days, "" for all.
func (e *Expr) dayWords() string {
	var parts []string
	monthDays := e.monthDayWords()
	weekdays := e.weekdayWords()
	switch {
	case monthDays != "" && weekdays != "":
		parts = append(parts, on(monthDays)+", if that is "+weekdays)
	case monthDays != "":
		parts = append(parts, on(monthDays))
	case weekdays != "":
		parts = append(parts, on(weekdays))
	}
	months := values(e.month)
	if n := steps(months, 1, 12); n != 1 {
		var names []string
		for _, m := range months {
			names = append(names, time.Month(m).String())
		}
		if from, to, ranged := span(months); ranged {
			parts = append(parts, fmt.Sprintf("from %s to %s", time.Month(from), time.Month(to)))
		} else {
			parts = append(parts, "in "+and(names))
		}
	}
	if len(e.years) > 0 && e.years[0] != "*" {
		var years []string
		for _, y := range e.years {
			years = append(years, strings.Replace(y, "-", " to ", 1))
		}
		parts = append(parts, "in "+and(years))
	}
	return strings.Join(parts, " ")
}

// on puts days into a sentence: "on Monday", "from Monday to Friday".
func on(days string) string {
	if strings.Contains(days, " to ") && !strings.Contains(days, " and ") && !strings.Contains(days, "nearest") {
		return "from " + days
	}
	return "on " + days
}

// monthDayWords are the days of the month, "" for all.
func (e *Expr) monthDayWords() string {
	days := values(e.day)
	if steps(days, 1, 31) == 1 {
		return ""
	}
	var out []string
	if from, to, ranged := span(days); ranged {
		out = append(out, fmt.Sprintf("the %s to the %s", ordinal(from), ordinal(to)))
	} else {
		for _, d := range days {
			out = append(out, "the "+ordinal(d))
		}
	}
	for _, s := range e.days {
		switch s {
		case "L":
			out = append(out, "the last day")
		case lastWorkday:
			out = append(out, "the last workday")
		default:
			n, _ := strconv.Atoi(strings.TrimSuffix(s, "W"))
			out = append(out, "the workday nearest to the "+ordinal(n))
		}
	}
	return and(out) + " of the month"
}

// weekdayWords are the days of the week, "" for all.
func (e *Expr) weekdayWords() string {
	days := values(e.wkday)
	if steps(days, 0, 6) == 1 {
		return ""
	}
	day := func(n int) string { return time.Weekday(n % 7).String() }
	var out []string
	if from, to, ranged := span(days); ranged {
		out = append(out, day(from)+" to "+day(to))
	} else {
		for _, d := range days {
			out = append(out, day(d))
		}
	}
	for _, s := range e.wkdays {
		which, nth, ok := strings.Cut(s, "#")
		n, _ := strconv.Atoi(strings.TrimSuffix(which, "L"))
		place := "last"
		if ok {
			i, _ := strconv.Atoi(nth)
			place = ordinal(i)
		}
		out = append(out, "the "+place+" "+day(n)+" of the month")
	}
	return and(out)
}

// values are the bits that are set.
func values(set uint64) (out []int) {
	for ; set != 0; set &= set - 1 {
		out = append(out, bits.TrailingZeros64(set))
	}
	return out
}

// steps returns n when the values are every n-th from the first of a field to its end, else 0.
func steps(vs []int, first, last int) int {
	if len(vs) < 2 || vs[0] != first {
		return 0
	}
	n := vs[1] - vs[0]
	for i := 1; i < len(vs); i++ {
		if vs[i]-vs[i-1] != n {
			return 0
		}
	}
	if vs[len(vs)-1]+n <= last || len(vs) == 2 && n != (last+1-first)/2 {
		return 0
	}
	return n
}

// span returns the ends of at least three values without a gap.
func span(vs []int) (from, to int, ok bool) {
	if len(vs) < 3 || vs[len(vs)-1]-vs[0] != len(vs)-1 {
		return 0, 0, false
	}
	return vs[0], vs[len(vs)-1], true
}

func numbers(vs []int) (out []string) {
	for _, v := range vs {
		out = append(out, strconv.Itoa(v))
	}
	return out
}

func and(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

func ordinal(n int) string {
	end := "th"
	switch {
	case n%100 >= 11 && n%100 <= 13:
	case n%10 == 1:
		end = "st"
	case n%10 == 2:
		end = "nd"
	case n%10 == 3:
		end = "rd"
	}
	return strconv.Itoa(n) + end
}

// Coming returns the next n times after a moment, fewer when there are no more.
func (e *Expr) Coming(after time.Time, loc *time.Location, n int) (out []time.Time) {
	for range n {
		if after = e.Next(after, loc); after.IsZero() {
			break
		}
		out = append(out, after)
	}
	return out
}
