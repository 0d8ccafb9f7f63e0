package api_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func TestAgentTypeUsage(t *testing.T) {
	w := newWorld(t)
	w.fill()
	end := func(id string, queued, started, finished time.Duration) {
		w.write(func(tx *store.Tx) error {
			j, err := tx.Job(id)
			if err != nil {
				return err
			}
			from := j.State
			j.State, j.Result = signalbox.JobFinished, signalbox.JobPassed
			j.QueuedAt, j.StartedAt, j.FinishedAt = epoch.Add(-queued), epoch.Add(-started), epoch.Add(-finished)
			return tx.UpdateJob(j, from, "test", "passed", "")
		})
	}
	// Of two jobs one waited for 30 seconds; both ran at once for a while.
	end(w.jobs[0].ID, 2*time.Hour+10*time.Second, 2*time.Hour, time.Hour)
	end(w.jobs[1].ID, 2*time.Hour, 2*time.Hour-30*time.Second, 90*time.Minute)
	const path = "/api/v1alpha/self_hosted_agent_types/s1-linux/usage"
	var u struct {
		Range          string
		From, To, Step int64
		Complete       bool
		Jobs           struct {
			Ended, Started, Projects int
			Wait                     struct{ P50, P95, Max float64 }
		}
		Agents struct {
			Hours     float64
			BusyHours float64  `json:"busy_hours"`
			Share     *float64 `json:"busy_share"`
		}
		Peak   struct{ Needed, At int64 }
		Points []struct {
			At                    int64
			Agents, Busy, Waiting float64
			Needed                int
		}
	}
	ask := func(query, token string) {
		t.Helper()
		res := w.call("GET", path+query, "", "Authorization", "Token "+token)
		text, err := json.Marshal(w.expect(200, res))
		w.must(err)
		w.must(json.Unmarshal(text, &u))
	}
	ask("", w.viewer)
	if u.Range != "24h" || u.To != epoch.Unix() || u.From != epoch.Unix()-86400 || u.Step != 900 || !u.Complete || len(u.Points) != 96 {
		t.Errorf("%+v", u)
	}
	if u.Jobs.Ended != 2 || u.Jobs.Started != 2 || u.Jobs.Projects != 1 || u.Jobs.Wait.P50 != 10 || u.Jobs.Wait.Max != 30 || u.Peak.Needed != 2 || u.Peak.At != epoch.Add(-2*time.Hour).Unix() {
		t.Errorf("jobs %+v, peak %+v", u.Jobs, u.Peak)
	}
	// 8 quarters before the end both run, the second after half a minute of waiting.
	if p := u.Points[96-8]; p.At != epoch.Add(-2*time.Hour).Unix() || p.Needed != 2 || p.Busy != 1.967 || p.Waiting != 0.033 {
		t.Errorf("%+v", p)
	}
	if p := u.Points[96-5]; p.Busy != 1 || p.Needed != 1 {
		t.Errorf("%+v", p)
	}
	// The agents came just now.
	if u.Agents.Share != nil || u.Agents.Hours != 0 || u.Agents.BusyHours != 1.492 {
		t.Errorf("%+v", u.Agents)
	}
	ask("?range=7d", w.token)
	if u.Range != "7d" || u.Step != 3600 || len(u.Points) != 168 || u.Jobs.Ended != 2 {
		t.Errorf("%+v", u)
	}
	w.expect(400, w.call("GET", path+"?range=1y", ""))
	w.expect(404, w.call("GET", "/api/v1alpha/self_hosted_agent_types/s1-none/usage", ""))
}
