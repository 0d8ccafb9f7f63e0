package main

import (
	"strings"
	"testing"
	"time"
)

func TestUsageText(t *testing.T) {
	at := time.Date(2026, 11, 27, 14, 0, 0, 0, time.Local)
	u := usage{From: at.Add(-24 * time.Hour).Unix(), Complete: true}
	for i := range 96 {
		u.Points = append(u.Points, usagePoint{At: at.Add(-24*time.Hour + time.Duration(i)*15*time.Minute).Unix(), Agents: 2, Busy: float64(i % 2), Needed: i})
	}
	text := u.text()
	for _, want := range []string{"From    Nov 26 14:00\n", "Busy    no agent was there\n", "Jobs    0 ended, 0 started, of 0 projects\n", "\nNov 27 13:00  2.0     0.5   0.0      95\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Wait") || strings.Contains(text, "Needed") || strings.Count(text, "\n") != 3+1+1+usageRows {
		t.Errorf("%d lines:\n%s", strings.Count(text, "\n"), text)
	}

	share := 0.634
	u.Complete, u.Agents.Hours, u.Agents.BusyShare = false, 41.25, &share
	u.Jobs.Ended, u.Jobs.Started, u.Jobs.Projects = 7, 6, 2
	u.Jobs.Wait.P50, u.Jobs.Wait.P95, u.Jobs.Wait.Max = 0.0421, 12.34, 754.4
	u.Peak.Needed, u.Peak.At, u.Peak.Agents = 9, at.Unix(), 4
	text = u.text()
	for _, want := range []string{
		"From    Nov 26 14:00, because more jobs ended than are counted\n", "Busy    63 % of 41.2 hours of agents\n", "Jobs    7 ended, 6 started, of 2 projects\n",
		"Wait    half started within 42ms, 95 % within 12.3s, all within 12m34s\n", "Needed  9 agents at the peak, Nov 27 14:00; there were 4\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}
