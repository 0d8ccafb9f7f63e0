package cron

import (
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	for at, want := range map[string]string{
		"30 2 * * *":                  "every day at 2:30",
		"0 0,12 * * *":                "every day at 0:00 and 12:00",
		"* * * * *":                   "every minute",
		"*/15 * * * *":                "every 15 minutes",
		"*/40 * * * *":                "every hour at minute 0 and 40",
		"0 * * * *":                   "every hour",
		"7 * * * *":                   "every hour at minute 7",
		"0 */6 * * *":                 "every 6 hours",
		"5 */2 * * *":                 "at minute 5 of every 2nd hour",
		"*/15 8-17 * * MON-FRI":       "every 15 minutes from 8:00 to 17:59 from Monday to Friday",
		"0 8-17 * * *":                "every hour from 8:00 to 17:00",
		"1,2,3,5 1,4,9 * * *":         "at minute 1, 2, 3 and 5 in the hours 1, 4 and 9",
		"0 6 L * *":                   "at 6:00 on the last day of the month",
		"0 6 LW * *":                  "at 6:00 on the last workday of the month",
		"0 6 1,15W * *":               "at 6:00 on the 1st and the workday nearest to the 15th of the month",
		"0 9 1-7 * MON":               "at 9:00 from the 1st to the 7th of the month, if that is Monday",
		"0 6 15W * *":                 "at 6:00 on the workday nearest to the 15th of the month",
		"0 9 * * 1-3,5L":              "at 9:00 on Monday to Wednesday and the last Friday of the month",
		"0 9 * * MON#1":               "at 9:00 on the 1st Monday of the month",
		"0 9 * * 5L":                  "at 9:00 on the last Friday of the month",
		"0 9 * * 0,6":                 "at 9:00 on Sunday and Saturday",
		"0 0 1 1,4,7,10 *":            "at 0:00 on the 1st of the month in January, April, July and October",
		"0 12 24 12 * 2027":           "at 12:00 on the 24th of the month in December in 2027",
		"0 0 11-13,22,23 6-8 * ":      "",
		"0 0 11,12,22,23 6-8 *":       "at 0:00 on the 11th, the 12th, the 22nd and the 23rd of the month from June to August",
		"@weekly":                     "at 0:00 on Sunday",
		"@yearly":                     "at 0:00 on the 1st of the month in January",
		"0 0 * * *":                   "every day at 0:00",
		"0 0 * * 1 2027,2030-2032":    "at 0:00 on Monday in 2027 and 2030 to 2032",
		"0 0 * * * *":                 "every day at 0:00",
		"0-59 0-23 1-31 1-12 SUN-SAT": "every minute",
	} {
		e, err := Parse(at)
		if want == "" {
			if err == nil {
				t.Errorf("%q is read", at)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Words(); got != want {
			t.Errorf("%q is %q, want %q", at, got, want)
		}
	}
}

func TestComing(t *testing.T) {
	berlin, err := Zone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		at   string
		loc  *time.Location
		want []string
	}{
		// The clock goes back on the 25th: the local time stays, the time in UTC does not.
		{"0 3 * * *", berlin, []string{"2026-10-24 01:00", "2026-10-25 02:00", "2026-10-26 02:00"}},
		{"0 12 24 12 * 2026-2027", time.UTC, []string{"2026-12-24 12:00", "2027-12-24 12:00"}},
		{"0 0 31 2 *", time.UTC, nil},
	} {
		e, err := Parse(tt.at)
		if err != nil {
			t.Fatal(err)
		}
		got := e.Coming(time.Date(2026, 10, 23, 12, 0, 0, 0, time.UTC), tt.loc, 3)
		if len(got) != len(tt.want) {
			t.Fatalf("%q: %v", tt.at, got)
		}
		for i, want := range tt.want {
			if s := got[i].UTC().Format("2006-01-02 15:04"); s != want {
				t.Errorf("%q: time %d is %s, want %s", tt.at, i+1, s, want)
			}
		}
	}
}
