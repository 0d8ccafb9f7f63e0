package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const nbsp = "\u00a0"

// clock writes a duration as 0:06, 7:42 or 1:03:20; a negative one is unknown.
func clock(d time.Duration) string {
	if d < 0 {
		return "--:--"
	}
	s := int(d / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// spanOf is the time from start to end, to now when it has not ended, -1 when it has not started.
func spanOf(start, end, now time.Time) time.Duration {
	switch {
	case start.IsZero():
		return -1
	case end.IsZero():
		return max(now.Sub(start), 0)
	}
	return max(end.Sub(start), 0)
}

// ago says how long ago t was, as a date after a week.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "never"
	case d < 10*time.Second:
		return "now"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + nbsp + "s" + nbsp + "ago"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + nbsp + "min" + nbsp + "ago"
	case d < 24*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + nbsp + "h" + nbsp + "ago"
	case d < 48*time.Hour:
		return "yesterday"
	case d < 7*24*time.Hour:
		return strconv.Itoa(int(d/(24*time.Hour))) + nbsp + "days" + nbsp + "ago"
	case t.Year() == now.Year():
		return t.UTC().Format("2" + nbsp + "Jan")
	}
	return t.UTC().Format("2" + nbsp + "Jan" + nbsp + "2006")
}

// Moment is a point in time in all the forms that a page needs.
type Moment struct {
	Unix           int64
	ISO, Full, Ago string
	Minute         string // without seconds
}

func moment(t, now time.Time) *Moment {
	if t.IsZero() {
		return nil
	}
	return &Moment{t.Unix(), t.UTC().Format(time.RFC3339), t.UTC().Format("2 Jan 2006, 15:04:05") + " UTC", ago(t, now), t.UTC().Format("2 Jan 2006, 15:04") + " UTC"}
}

// Took is a duration that a script may go on counting while its thing runs.
type Took struct {
	Text  string
	Since int64 // Unix milliseconds when it is still running, else 0
}

func took(start, end, now time.Time) Took {
	t := Took{Text: clock(spanOf(start, end, now))}
	if !start.IsZero() && end.IsZero() {
		t.Since = start.UnixMilli()
	}
	return t
}

// count writes a number with commas: 1,204.
func count[N int | int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural writes "1 job" or "2 jobs".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1" + nbsp + one
	}
	return count(n) + nbsp + many
}

// size writes bytes as 6.1 KB.
func size(n int64) string {
	units := []string{"B", "KB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for f >= 999.5 && i < len(units)-1 {
		f /= 1000
		i++
	}
	if i == 0 || f >= 99.5 {
		return fmt.Sprintf("%.0f%s%s", f, nbsp, units[i])
	}
	return fmt.Sprintf("%.1f%s%s", f, nbsp, units[i])
}

// clip cuts a text to at most n characters, the last of which is then an ellipsis.
func clip(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	i := 0
	for at := range s {
		if i++; i == n {
			return s[:at] + "…"
		}
	}
	return s
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimLeft(s, "\r\n\t "), "\n")
	return strings.TrimSpace(line)
}

// titleOf is the first line of a commit message, or something to click on when there is none.
func titleOf(message string) string {
	if t := firstLine(message); t != "" {
		return clip(t, 200)
	}
	return "No commit message"
}

func shortSHA(sha string) string { return sha[:min(7, len(sha))] }

// actorName turns "user:ana" into "ana" and leaves the machinery's names as they are.
func actorName(actor string) string {
	if name, ok := strings.CutPrefix(actor, "user:"); ok {
		return clip(name, 80)
	}
	if name, ok := strings.CutPrefix(actor, "agent:"); ok {
		return "agent " + clip(name, 80)
	}
	return clip(actor, 80)
}

// joinNames writes "A", "A and B" or "A, B and 3 more".
func joinNames(names []string) string {
	for i := range names {
		names[i] = clip(names[i], 60)
	}
	switch n := len(names); {
	case n == 0:
		return ""
	case n == 1:
		return names[0]
	case n == 2:
		return names[0] + " and " + names[1]
	case n == 3:
		return names[0] + ", " + names[1] + " and " + names[2]
	default:
		return fmt.Sprintf("%s, %s and %d more", names[0], names[1], n-2)
	}
}

// initials are what an avatar shows.
func initials(name string) string {
	var out []rune
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '.' || r == '-' || r == '_' || r == '@' }) {
		r, _ := utf8.DecodeRuneInString(word)
		if out = append(out, r); len(out) == 2 {
			break
		}
	}
	return strings.ToUpper(string(out))
}
