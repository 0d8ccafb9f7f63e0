package schedule

import (
	"time"

	"github.com/signalbox-ci/signalbox/cron"
)

// Preview is what a time of a task means.
type Preview struct {
	Words string
	Zone  *time.Location
	Next  []time.Time // none when it never comes true
}

// Look reads when a task is to run, and tells when that is next, n times. Problems are at at and time_zone.
func Look(expression, zone string, now time.Time, n int) (Preview, []Problem) {
	var problems []Problem
	e, err := cron.Parse(expression)
	if err != nil {
		problems = append(problems, Problem{"at", err})
	}
	loc, err := cron.Zone(zone)
	if err != nil {
		problems = append(problems, Problem{"time_zone", err})
	}
	if len(problems) > 0 {
		return Preview{}, problems
	}
	p := Preview{e.Words(), loc, e.Coming(now, loc, n)}
	if len(p.Next) == 0 {
		problems = append(problems, Problem{"at", e.Never()})
	}
	return p, problems
}
