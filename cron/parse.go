package cron

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// maxLength bounds an expression.
const maxLength = 255

var macros = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *", "@minutely": "* * * * *",
}

const macroNames = "@yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @minutely"

// field is what may stand in one place of an expression.
type field struct {
	name     string
	place    int // in gronx
	min, max int
	names    []string // of min and the values after it
}

var fields = []field{
	{"minute", minuteField, 0, 59, nil},
	{"hour", hourField, 0, 23, nil},
	{"day of the month", dayField, 1, 31, nil},
	{"month", monthField, 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}},
	{"weekday", weekdayField, 0, 7, []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}},
	{"year", yearField, 1970, 9999, nil},
}

func invalid(format string, args ...any) error {
	return signalbox.Errorf(signalbox.CodeInvalid, "Invalid cron expression in 'at' field: "+format, args...)
}

// Never is the error for an expression that Next finds nothing for.
func (e *Expr) Never() error {
	return invalid("%q never happens: no day of the next %d years fits all its fields; a day must fit both the day of the month and the weekday, "+
		"so write * in one of them", e.text, horizon)
}

// Parse reads an expression. Its error says which field is wrong, why, and what to write.
func Parse(text string) (*Expr, error) {
	e := &Expr{text: text}
	switch {
	case text == "":
		return nil, invalid("it is empty; write minute, hour, day of the month, month and weekday, such as \"0 3 * * *\" for 3 o'clock every day")
	case len(text) > maxLength:
		return nil, invalid("it has %d characters; at most %d are allowed", len(text), maxLength)
	}
	if strings.HasPrefix(text, "@") {
		full, ok := macros[strings.ToLower(text)]
		switch {
		case strings.EqualFold(text, "@reboot"):
			return nil, invalid("@reboot names no time, so a task with it would never run; write %s, or make a task that is not recurring and run it when you want", macroNames)
		case !ok:
			return nil, invalid("%.40q is not known; write %s", text, macroNames)
		}
		text = full
	}
	parts := strings.Split(text, " ")
	if slices.Contains(parts, "") {
		return nil, invalid("there is a space too much; between two fields stands one space, and none before the first or after the last")
	}
	if len(parts) != 5 && len(parts) != 6 {
		return nil, invalid("it has %d fields; write five (minute, hour, day of the month, month, weekday) with single spaces between them, and a year if you want", len(parts))
	}
	for i, p := range parts {
		if err := e.read(fields[i], p); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// read takes one field in.
func (e *Expr) read(f field, text string) error {
	var plain, special []string
	for _, item := range strings.Split(text, ",") {
		norm, moves, err := f.item(item)
		if err != nil {
			return err
		}
		if moves {
			special = append(special, norm)
		} else {
			plain = append(plain, norm)
		}
	}
	switch f.place {
	case minuteField:
		e.minute = f.set(plain, 0, 59, func(v int) time.Time { return time.Date(2024, 1, 1, 0, v, 0, 0, time.UTC) })
	case hourField:
		e.hour = f.set(plain, 0, 23, func(v int) time.Time { return time.Date(2024, 1, 1, v, 0, 0, 0, time.UTC) })
	case dayField:
		e.days = special
		e.day = f.set(plain, 1, 31, func(v int) time.Time { return time.Date(2024, 1, v, 0, 0, 0, 0, time.UTC) })
	case monthField:
		e.month = f.set(plain, 1, 12, func(v int) time.Time { return time.Date(2024, time.Month(v), 1, 0, 0, 0, 0, time.UTC) })
	case weekdayField:
		e.wkdays = special
		e.wkday = f.set(plain, 0, 6, func(v int) time.Time { return time.Date(2023, 1, 1+v, 0, 0, 0, 0, time.UTC) }) // a Sunday and after
	case yearField:
		e.years = plain
	}
	return nil
}

// set asks for each value of a field whether one of its parts fits it.
func (f field) set(parts []string, from, to int, at func(int) time.Time) (bits uint64) {
	for v := from; v <= to; v++ {
		if due(parts, f.place, at(v)) {
			bits |= 1 << v
		}
	}
	return bits
}

func (f field) wrong(item, format string, args ...any) error {
	return invalid("the %s %.40q is not possible: %s", f.name, item, fmt.Sprintf(format, args...))
}

// item checks one part of a list and writes names as numbers. moves says that its day depends on the month.
func (f field) item(item string) (norm string, moves bool, err error) {
	s := strings.ToUpper(item)
	switch {
	case s == "":
		return "", false, invalid("the %s has an empty place in its list; write a value between two commas", f.name)
	case s == "?":
		return "", false, f.wrong(item, "it is of another kind of cron; write * for every %s", f.name)
	case f.place == dayField && strings.ContainsAny(s, "LW"):
		norm, err = f.lastOrNearest(item, s)
		return norm, true, err
	case f.place == weekdayField && strings.Contains(s, "#"):
		norm, err = f.nth(item, s)
		return norm, true, err
	case f.place == weekdayField && strings.HasSuffix(s, "L"):
		if s == "L" {
			return "", false, f.wrong(item, "say the last of what; write 5L for the last Friday of the month")
		}
		v, err := f.value(item, s[:len(s)-1])
		return strconv.Itoa(v) + "L", true, err
	}
	base, step, stepped := strings.Cut(s, "/")
	if stepped {
		n, ok := number(step)
		switch {
		case !ok:
			return "", false, f.wrong(item, "after / stands a number, the step; write */15 or 10-50/5")
		case n == 0:
			return "", false, f.wrong(item, "a step of 0 goes nowhere; write a step from 1")
		}
		step = "/" + strconv.Itoa(n)
	}
	if base == "*" {
		return "*" + step, false, nil
	}
	from, to, ranged := strings.Cut(base, "-")
	a, err := f.value(item, from)
	if err != nil || !ranged {
		// With a step one value is the beginning of a range, and gronx reads 0/n as */n.
		if stepped && err == nil {
			return fmt.Sprintf("%d-%d%s", a, f.end(), step), false, nil
		}
		return strconv.Itoa(a), false, err
	}
	b, err := f.value(item, to)
	if err != nil {
		return "", false, err
	}
	if f.place == weekdayField && b == 0 && a > 0 {
		b = 7 // to Sunday
	}
	if a > b {
		return "", false, f.wrong(item, "it ends before it begins; write %d-%d,%d-%d", a, f.end(), f.min, b)
	}
	return fmt.Sprintf("%d-%d%s", a, b, step), false, nil
}

// end is the last value that differs from all others.
func (f field) end() int {
	if f.place == weekdayField {
		return 6
	}
	return f.max
}

func (f field) lastOrNearest(item, s string) (string, error) {
	if s == "L" || s == lastWorkday {
		return s, nil
	}
	day, ok := strings.CutSuffix(s, "W")
	if !ok {
		return "", f.wrong(item, "write L for the last day, LW for the last workday, or 15W for the workday nearest to the 15th")
	}
	v, err := f.value(item, day)
	return strconv.Itoa(v) + "W", err
}

func (f field) nth(item, s string) (string, error) {
	day, which, _ := strings.Cut(s, "#")
	v, err := f.value(item, day)
	if err != nil {
		return "", err
	}
	n, ok := number(which)
	if !ok || n < 1 || n > 5 {
		return "", f.wrong(item, "after # stands a number from 1 to 5; write MON#1 for the first Monday of the month")
	}
	return fmt.Sprintf("%d#%d", v, n), nil
}

// value reads a number or a name.
func (f field) value(item, s string) (int, error) {
	if i := slices.Index(f.names, s); i >= 0 {
		return f.min + i, nil
	}
	hint := fmt.Sprintf("write a number from %d to %d", f.min, f.max)
	if f.names != nil {
		hint += " or a name from " + f.names[0] + " to " + f.names[len(f.names)-1]
	}
	n, ok := number(s)
	switch {
	case s == "":
		return 0, f.wrong(item, "a value is missing; %s", hint)
	case !ok:
		return 0, f.wrong(item, "%.20q is no number; %s", s, hint)
	case n < f.min:
		return 0, f.wrong(item, "%d is less than %d; %s", n, f.min, hint)
	case n > f.max:
		return 0, f.wrong(item, "%d is more than %d; %s", n, f.max, hint)
	}
	return n, nil
}

// number reads up to six digits.
func number(s string) (int, bool) {
	if s == "" || len(s) > 6 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}
