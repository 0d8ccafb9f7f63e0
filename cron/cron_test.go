package cron

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/adhocore/gronx"

	"github.com/signalbox-ci/signalbox"
)

const layout = "2006-01-02 15:04 MST"

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// next returns the first times after a local one, each as the clock of the place shows it.
func next(t *testing.T, expr, place, after string, n int) []string {
	t.Helper()
	e, err := Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	loc := zone(t, place)
	at, err := time.ParseInLocation("2006-01-02 15:04", after, loc)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for range n {
		if at = e.Next(at, loc); at.IsZero() {
			return append(out, "never")
		}
		out = append(out, at.In(loc).Format(layout))
	}
	return out
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ expr, after, want string }{
		{"* * * * *", "2026-11-25 10:00", "2026-11-25 10:01"},
		{"*/15 * * * *", "2026-11-25 10:46", "2026-11-25 11:00"},
		{"5/20 * * * *", "2026-11-25 10:06", "2026-11-25 10:25"},
		{"0/20 * * * *", "2026-11-25 10:41", "2026-11-25 11:00"},
		{"7,3 * * * *", "2026-11-25 10:03", "2026-11-25 10:07"},
		{"10-12 22-23 * * *", "2026-11-25 22:12", "2026-11-25 23:10"},
		{"10-30/7 * * * *", "2026-11-25 10:24", "2026-11-25 11:10"},
		{"0 3 * * *", "2026-11-25 03:00", "2026-11-26 03:00"},
		{"0 3 31 * *", "2026-11-25 03:00", "2026-12-31 03:00"},
		{"0 0 29 2 *", "2026-11-25 03:00", "2028-02-29 00:00"},
		{"0 0 */10 * *", "2026-11-25 03:00", "2026-12-01 00:00"},
		{"0 0 1 */4 *", "2026-11-25 03:00", "2027-01-01 00:00"},
		{"0 0 1 jan,Jul *", "2026-11-25 03:00", "2027-01-01 00:00"},
		{"0 0 * MAR-MAY mon", "2026-11-25 03:00", "2027-03-01 00:00"},
		{"0 0 * * MON-FRI", "2026-11-27 03:00", "2026-11-30 00:00"},
		{"0 0 * * 0", "2026-11-25 03:00", "2026-11-29 00:00"},
		{"0 0 * * 7", "2026-11-25 03:00", "2026-11-29 00:00"},
		{"0 0 * * SUN", "2026-11-25 03:00", "2026-11-29 00:00"},
		{"0 0 * * FRI-SUN", "2026-11-28 03:00", "2026-11-29 00:00"},
		{"0 0 * * 6-7", "2026-11-28 03:00", "2026-11-29 00:00"},
		{"0 0 * * 1/2", "2026-11-27 03:00", "2026-11-30 00:00"},
		{"0 0 * * */2", "2026-11-27 03:00", "2026-11-28 00:00"},
		{"0 0 L * *", "2026-11-25 03:00", "2026-11-30 00:00"},
		{"0 0 L 2 *", "2026-11-25 03:00", "2027-02-28 00:00"},
		{"0 0 LW * *", "2027-01-25 03:00", "2027-01-29 00:00"},  // the 31st is a Sunday
		{"0 0 LW 10 *", "2027-01-25 03:00", "2027-10-29 00:00"}, // the same again
		{"0 0 LW 7 *", "2027-01-25 03:00", "2027-07-30 00:00"},  // a Saturday
		{"0 0 15W * *", "2026-11-16 03:00", "2026-12-15 00:00"},
		{"0 0 1W 8 *", "2026-11-16 03:00", "2027-08-02 00:00"}, // a Sunday
		{"0 0 1W 5 *", "2026-11-16 03:00", "2027-05-03 00:00"}, // a Saturday, and never into the month before
		{"0 0 31W 2 *", "2026-11-16 03:00", "never"},
		{"0 0 1,L * *", "2026-11-25 03:00", "2026-11-30 00:00"},
		{"0 0 * * 5L", "2026-11-25 03:00", "2026-11-27 00:00"},
		{"0 0 * * SUNL", "2026-11-25 03:00", "2026-11-29 00:00"},
		{"0 0 * * MON#1", "2026-11-25 03:00", "2026-12-07 00:00"},
		{"0 0 * * 7#2", "2026-11-25 03:00", "2026-12-13 00:00"},
		{"0 0 * * 1#5", "2026-11-30 03:00", "2027-03-29 00:00"},
		{"0 0 * * 1#5,FRI", "2026-11-30 03:00", "2026-12-04 00:00"},
		{"0 0 1 1 * 2028", "2026-11-30 03:00", "2028-01-01 00:00"},
		{"0 0 1 1 * 2020-2030/5", "2026-11-30 03:00", "2030-01-01 00:00"},
		{"0 0 1 1 * 2027,2025", "2026-11-30 03:00", "2027-01-01 00:00"},
		{"0 0 1 1 * 2025", "2026-11-30 03:00", "never"},
		{"0 0 1 1 * 2040", "2026-11-30 03:00", "never"},
		{"0 0 31 2 *", "2026-11-30 03:00", "never"},
		{"@yearly", "2026-11-25 03:00", "2027-01-01 00:00"},
		{"@Annually", "2026-11-25 03:00", "2027-01-01 00:00"},
		{"@monthly", "2026-11-25 03:00", "2026-12-01 00:00"},
		{"@weekly", "2026-11-25 03:00", "2026-11-29 00:00"},
		{"@daily", "2026-11-25 03:00", "2026-11-26 00:00"},
		{"@midnight", "2026-11-25 03:00", "2026-11-26 00:00"},
		{"@hourly", "2026-11-25 03:00", "2026-11-25 04:00"},
		{"@minutely", "2026-11-25 03:00", "2026-11-25 03:01"},
	} {
		want := c.want
		if want != "never" {
			want += " UTC"
		}
		if got := next(t, c.expr, "", c.after, 1)[0]; got != want {
			t.Errorf("%s after %s: %s, want %s", c.expr, c.after, got, want)
		}
	}
}

// A day must fit both day fields. Other crons take one that fits either.
func TestDayFieldsAreAnded(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{"0 0 13 * FRI", "2027-08-13 00:00 UTC"},
		{"0 0 1-7 * MON", "2026-12-07 00:00 UTC"},
		{"0 0 25-31 12 3", "2026-12-30 00:00 UTC"},
		{"0 0 */2 * */6", "2026-11-29 00:00 UTC"},
		{"0 0 L * SUN", "2027-01-31 00:00 UTC"},
		{"0 0 29 2 MON", "never"},
	} {
		if got := next(t, c.expr, "", "2026-11-25 03:00", 1)[0]; got != c.want {
			t.Errorf("%s: %s, want %s", c.expr, got, c.want)
		}
	}
}

func TestClockChanges(t *testing.T) {
	for _, c := range []struct {
		expr, place, after string
		want               []string
	}{
		// Not there: at the first moment after the gap.
		{"30 2 * * *", "Europe/Berlin", "2027-03-27 12:00", []string{"2027-03-28 03:00 CEST", "2027-03-29 02:30 CEST"}},
		{"30 2 * * *", "America/New_York", "2027-03-13 12:00", []string{"2027-03-14 03:00 EDT", "2027-03-15 02:30 EDT"}},
		{"15 2 * * *", "Australia/Lord_Howe", "2027-10-02 12:00", []string{"2027-10-03 02:30 +11", "2027-10-04 02:15 +11"}},
		{"45 2 * * *", "Australia/Lord_Howe", "2027-10-02 12:00", []string{"2027-10-03 02:45 +11"}},
		// Several that are not there run once.
		{"*/20 2,3 * * *", "Europe/Berlin", "2027-03-28 00:30", []string{"2027-03-28 03:00 CEST", "2027-03-28 03:20 CEST", "2027-03-28 03:40 CEST", "2027-03-29 02:00 CEST"}},
		{"@hourly", "Europe/Berlin", "2027-03-28 00:30", []string{"2027-03-28 01:00 CET", "2027-03-28 03:00 CEST", "2027-03-28 04:00 CEST"}},
		// The gap may begin the day.
		{"0 0 * * *", "America/Asuncion", "2023-09-30 12:00", []string{"2023-10-01 01:00 -03", "2023-10-02 00:00 -03"}},
		// There twice: the first time.
		{"30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", []string{"2026-10-25 02:30 CEST", "2026-10-26 02:30 CET"}},
		{"30 1 * * *", "America/New_York", "2026-10-31 12:00", []string{"2026-11-01 01:30 EDT", "2026-11-02 01:30 EST"}},
		{"45 1 * * *", "Australia/Lord_Howe", "2027-04-03 12:00", []string{"2027-04-04 01:45 +11", "2027-04-05 01:45 +1030"}},
		{"@hourly", "America/New_York", "2026-11-01 00:30", []string{"2026-11-01 01:00 EDT", "2026-11-01 02:00 EST", "2026-11-01 03:00 EST"}},
		// From within the second of two hours, nothing of it is left.
		{"*/30 * * * *", "Europe/Berlin", "2026-10-25 02:50", []string{"2026-10-25 03:00 CET"}},
		// A day that happens twice by a shift over midnight.
		{"50 23 * * *", "America/Havana", "2026-10-31 12:00", []string{"2026-10-31 23:50 CDT", "2026-11-01 23:50 CST"}},
		{"30 0 * * *", "America/Havana", "2026-10-31 12:00", []string{"2026-11-01 00:30 CDT", "2026-11-02 00:30 CST"}},
		// A day that did not happen.
		{"0 12 30 12 *", "Pacific/Apia", "2011-12-29 12:00", []string{"2011-12-31 00:00 +14"}},
	} {
		got := next(t, c.expr, c.place, c.after, len(c.want))
		if strings.Join(got, ", ") != strings.Join(c.want, ", ") {
			t.Errorf("%s in %s:\n%s, want\n%s", c.expr, c.place, strings.Join(got, ", "), strings.Join(c.want, ", "))
		}
	}
	// Second occurrence of 2:30: one moment, given in UTC because its local time is ambiguous.
	e, _ := Parse("*/30 2 * * *")
	loc := zone(t, "Europe/Berlin")
	second := time.Date(2026, 10, 25, 1, 10, 0, 0, time.UTC)
	if second.In(loc).Format(layout) != "2026-10-25 02:10 CET" {
		t.Fatal("the test does not stand in the second hour")
	}
	if got := e.Next(second, loc).In(loc).Format(layout); got != "2026-10-26 02:00 CET" {
		t.Errorf("in the second hour the next is %s", got)
	}
}

func TestRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "it is empty; write minute, hour,",
		"* * * *":                               "it has 4 fields; write five",
		"0 0 * * * * *":                         "it has 7 fields",
		"0  3 * * *":                            "a space too much",
		" 0 3 * * *":                            "none before the first",
		"0 3 * * * ":                            "or after the last",
		"0\t3 * * *":                            "it has 4 fields",
		"60 * * * *":                            `the minute "60" is not possible: 60 is more than 59; write a number from 0 to 59`,
		"* 24 * * *":                            `the hour "24" is not possible: 24 is more than 23`,
		"* * 0 * *":                             `the day of the month "0" is not possible: 0 is less than 1`,
		"* * 32 * *":                            "32 is more than 31",
		"* * * 13 *":                            "13 is more than 12; write a number from 1 to 12 or a name from JAN to DEC",
		"* * * FOO *":                           `"FOO" is no number; write a number from 1 to 12 or a name`,
		"* * * * 8":                             "8 is more than 7; write a number from 0 to 7 or a name from SUN to SAT",
		"JAN * * * *":                           `"JAN" is no number; write a number from 0 to 59`,
		"* * * * * 99":                          "99 is less than 1970",
		"* * * * * 99999":                       "99999 is more than 9999",
		"*/0 * * * *":                           "a step of 0 goes nowhere",
		"*/ * * * *":                            "after / stands a number",
		"*/x * * * *":                           "after / stands a number",
		"1/2/3 * * * *":                         "after / stands a number",
		"5- * * * *":                            "a value is missing",
		"-5 * * * *":                            "a value is missing",
		"1-2-3 * * * *":                         `"2-3" is no number`,
		"1,,2 * * * *":                          "an empty place in its list",
		"1, * * * *":                            "an empty place in its list",
		"* 22-2 * * *":                          "it ends before it begins; write 22-23,0-2",
		"* * * * FRI-MON":                       "it ends before it begins; write 5-6,0-1",
		"? * * * *":                             "write * for every minute",
		"* * L-3 * *":                           "write L for the last day, LW for the last workday",
		"* * W * *":                             "a value is missing",
		"* * 40W * *":                           "40 is more than 31",
		"* * * * L":                             "say the last of what; write 5L",
		"* * * * 9L":                            "9 is more than 7",
		"* * * * 1#6":                           "after # stands a number from 1 to 5",
		"* * * * #1":                            "a value is missing",
		"* * * * 1#":                            "after # stands",
		"L * * * *":                             `"L" is no number`,
		"+5 * * * *":                            `"+5" is no number`,
		"٣ * * * *":                             "is no number",
		"9999999999 * * * *":                    "is no number",
		"@reboot":                               "@reboot names no time, so a task with it would never run",
		"@fortnightly":                          `"@fortnightly" is not known; write @yearly,`,
		"@every 5m":                             "is not known",
		strings.Repeat("1,", 200) + "1 * * * *": "at most 255",
	} {
		_, err := Parse(text)
		if signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.HasPrefix(err.Error(), "Invalid cron expression in 'at' field: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	e, err := Parse("0 0 30 2 *")
	if err != nil {
		t.Fatal(err)
	}
	if never := e.Never().Error(); !strings.HasPrefix(never, "Invalid cron expression in 'at' field: ") || !strings.Contains(never, "never happens") {
		t.Error(never)
	}
}

func TestZones(t *testing.T) {
	for _, name := range []string{"", "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"} {
		if _, err := Zone(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"Local", "Berlin", "../etc/passwd", "/etc/localtime", "Europe/Berlin ", strings.Repeat("x", 1000)} {
		if _, err := Zone(name); signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), "IANA name") || len(err.Error()) > 300 {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNewest(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	at := func(s string) time.Time {
		v, err := time.Parse("2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ expr, after, until, want string }{
		{"* * * * *", "2026-01-01 00:00", "2026-11-25 10:30", "2026-11-25 10:30"},
		{"0 3 * * *", "2026-11-01 00:00", "2026-11-25 10:30", "2026-11-25 02:00"},
		{"0 3 1 1 *", "2020-11-01 00:00", "2026-11-25 10:30", "2026-01-01 02:00"},
		{"0 3 1 1 *", "2026-01-01 02:00", "2026-11-25 10:30", ""},
		{"0 3 1 1 * 2012", "2000-01-01 00:00", "2026-11-25 10:30", ""}, // Next sees five years
		{"0 3 29 2 *", "2021-11-01 00:00", "2026-11-25 10:30", "2024-02-29 02:00"},
	} {
		e, err := Parse(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		got := e.Newest(at(c.after), at(c.until), berlin)
		if c.want == "" && !got.IsZero() || c.want != "" && !got.Equal(at(c.want)) {
			t.Errorf("%s between %s and %s: %v, want %s", c.expr, c.after, c.until, got, c.want)
		}
	}
}

// Where only one day field says anything, gronx and we must agree.
func TestAgreesWithGronx(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	n := func(lo, hi int) string { return strconv.Itoa(lo + r.IntN(hi-lo+1)) }
	part := func(lo, hi int) string {
		switch r.IntN(6) {
		case 0:
			return "*"
		case 1:
			return "*/" + n(1, hi)
		case 2:
			a := lo + r.IntN(hi-lo+1)
			return strconv.Itoa(a) + "-" + n(a, hi)
		case 3:
			a := lo + r.IntN(hi-lo+1)
			return strconv.Itoa(a) + "-" + n(a, hi) + "/" + n(1, 9)
		case 4:
			return n(lo, hi) + "," + n(lo, hi) + "," + n(lo, hi)
		}
		return n(lo, hi)
	}
	compared := 0
	for range 1500 {
		day, wkday := "*", "*"
		switch r.IntN(3) {
		case 0:
			if day = part(1, 31); r.IntN(4) == 0 {
				day = []string{"L", n(1, 31) + "W"}[r.IntN(2)]
			}
		case 1:
			if wkday = part(0, 6); r.IntN(4) == 0 {
				wkday = n(0, 7) + []string{"L", "#" + n(1, 5)}[r.IntN(2)]
			}
		}
		text := strings.Join([]string{part(0, 59), part(0, 23), day, part(1, 12), wkday}, " ")
		after := time.Date(2026+r.IntN(6), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), 0, 0, time.UTC)
		e, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		want, err := gronx.NextTickAfter(text, after, false)
		if err != nil {
			continue // gronx gives up after 500 steps
		}
		got := e.Next(after, time.UTC)
		if got.IsZero() && want.Year() > after.Year()+horizon {
			continue
		}
		compared++
		if !got.Equal(want) {
			t.Errorf("%s after %s: %s, gronx says %s", text, after.Format(layout), got.Format(layout), want.Format(layout))
		}
	}
	if compared < 1000 {
		t.Errorf("only %d expressions were compared", compared)
	}
}

var fuzzZones = []string{"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu"}

// Whatever the text, it is refused with a sentence or gives times that go forward, fit the clock and are not skipped.
func FuzzExpression(f *testing.F) {
	for i, text := range []string{"0 3 * * *", "*/15 2 L * 5L", "@daily", "0 0 29 2 MON#1 2028", "61 * * * *", "0 0 LW,15W,1-7/2 JAN-MAR 7"} {
		f.Add(text, int64(1_774_000_000+i*86_400), uint8(i))
	}
	f.Fuzz(func(t *testing.T, text string, unix int64, z uint8) {
		e, err := Parse(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "Invalid cron expression in 'at' field: ") || signalbox.ErrorCode(err) != signalbox.CodeInvalid {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		loc := zone(t, fuzzZones[int(z)%len(fuzzZones)])
		begin := time.Unix(946_684_800+((unix%1_600_000_000)+1_600_000_000)%1_600_000_000, 0)
		for at, i := begin, 0; i < 5; i++ {
			n := e.Next(at, loc)
			if n.IsZero() {
				return
			}
			if !n.After(at) || n.Nanosecond() != 0 || n.Second() != 0 {
				t.Fatalf("%q after %s: %s", text, at, n)
			}
			if m := e.Next(n.Add(-time.Second), loc); !m.Equal(n) {
				t.Fatalf("%q: just before %s the next is %s", text, n, m)
			}
			if m := e.Newest(at, n, loc); !m.Equal(n) {
				t.Fatalf("%q: the newest between %s and %s is %s", text, at, n, m)
			}
			at = n
		}
	})
}

func BenchmarkNext(b *testing.B) {
	e, err := Parse("0 3 29 2 *")
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2024, 2, 29, 3, 0, 0, 0, time.UTC)
	for b.Loop() {
		if e.Next(at, time.UTC).IsZero() {
			b.Fatal("never")
		}
	}
}
