package api

import (
	"math"
	"net/http"
	"time"

	"github.com/signalbox-ci/signalbox/fleet"
)

// usageBody is what an agent type was used in some time up to now. Times are seconds, and so are waits.
type usageBody struct {
	AgentType string `json:"agent_type"`
	Range     string `json:"range"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
	Step      int64  `json:"step"`
	Complete  bool   `json:"complete"` // false: there were too many jobs, and from is later than was asked for
	Jobs      struct {
		Ended    int `json:"ended"`
		Started  int `json:"started"`
		Projects int `json:"projects"` // that they are of, and those that have not ended
		Wait     struct {
			P50 float64 `json:"p50"`
			P95 float64 `json:"p95"`
			Max float64 `json:"max"`
		} `json:"wait"`
	} `json:"jobs"`
	Agents struct {
		Hours     float64  `json:"hours"`
		BusyHours float64  `json:"busy_hours"`
		BusyShare *float64 `json:"busy_share"` // null where no agent was there
	} `json:"agents"`
	Peak struct {
		Needed int   `json:"needed"` // jobs that ran or waited at one moment
		At     int64 `json:"at"`
		Agents int   `json:"agents"` // that there were then
	} `json:"peak"`
	Points []usagePoint `json:"points"`
}

// usagePoint is one step; agents, busy and waiting are averages.
type usagePoint struct {
	At      int64   `json:"at"`
	Agents  float64 `json:"agents"`
	Busy    float64 `json:"busy"`
	Waiting float64 `json:"waiting"`
	Needed  int     `json:"needed"`
}

func (a *API) showUsage(w http.ResponseWriter, r *http.Request) error {
	span, err := fleet.UsageSpanNamed(r.URL.Query().Get("range"))
	if err != nil {
		return err
	}
	name := r.PathValue("type")
	u, err := a.Fleet.Usage(r.Context(), name, span)
	if err != nil {
		return err
	}
	b := usageBody{AgentType: name, Range: span.Name, From: unix(u.From), To: unix(u.To), Step: int64(u.Step / time.Second), Complete: !u.Cut, Points: make([]usagePoint, len(u.Points))}
	b.Jobs.Ended, b.Jobs.Started, b.Jobs.Projects = u.Ended, u.Started, u.Projects
	b.Jobs.Wait.P50, b.Jobs.Wait.P95, b.Jobs.Wait.Max = u.Half.Seconds(), u.Most.Seconds(), u.Longest.Seconds()
	b.Agents.Hours, b.Agents.BusyHours = thousandths(u.AgentHours), thousandths(u.BusyHours)
	if share, known := u.BusyShare(); known {
		share = thousandths(share)
		b.Agents.BusyShare = &share
	}
	b.Peak.Needed, b.Peak.At, b.Peak.Agents = u.Needed, unix(u.NeededAt), u.There
	for i, p := range u.Points {
		b.Points[i] = usagePoint{At: unix(p.At), Agents: thousandths(p.Agents), Busy: thousandths(p.Busy), Waiting: thousandths(p.Waiting), Needed: p.Needed}
	}
	return write(w, b)
}

func thousandths(f float64) float64 { return math.Round(f*1000) / 1000 }
