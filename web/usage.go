package web

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/queue"
	"github.com/signalbox-ci/signalbox/store"
)

// usagesPath is the page with the usage of all agent types.
const usagesPath = "/agents/usage"

// Measures of the chart; browsers stretch it.
const (
	chartWidth  = 960
	chartHeight = 180
)

// usageView is how an agent type was used, for people.
type usageView struct {
	Name, URL  string
	Busy       string // part of the agents' time, "" where there was no agent
	BusyWidth  int    // of 100
	IdleWidth  int
	Hours      string // of agents
	Ended      int
	Half, Most string // "" where no job began
	Needed     int
	There      int
	NeededAt   *Moment
	Short      bool // fewer agents than were needed
	Load       string
	Since      *Moment // set where not all of the time is known
}

func newUsageView(name string, u *fleet.Usage, now time.Time) usageView {
	v := usageView{
		Name: name, URL: typesPath + url.PathEscape(name) + "/usage", Ended: u.Ended, Needed: u.Needed, There: u.There, NeededAt: moment(u.NeededAt, now),
		Short: u.Needed > u.There, Hours: decimal(u.AgentHours), Load: sparkline(u.Points),
	}
	if share, known := u.BusyShare(); known {
		v.BusyWidth = int(math.Round(share * 100))
		v.IdleWidth, v.Busy = 100-v.BusyWidth, strconv.Itoa(v.BusyWidth)+nbsp+"%"
	}
	if u.Cut {
		v.Since = moment(u.From, now)
	}
	if u.Started > 0 {
		v.Half, v.Most = shortly(u.Half), shortly(u.Most)
	}
	return v
}

// orNone stands for the usage of a type that was made a moment ago.
func orNone(u *fleet.Usage) *fleet.Usage {
	if u == nil {
		return &fleet.Usage{}
	}
	return u
}

// shortly is a wait in words; most are shorter than a second.
func shortly(d time.Duration) string {
	if d < time.Second {
		return "a second"
	}
	return roughly(d)
}

// decimal writes a number with at most one digit behind the point.
func decimal(f float64) string {
	if f >= 99.95 {
		return count(int(math.Round(f)))
	}
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
}

// sparkline is the load of the agents as a path in a drawing of 96 by 22.
func sparkline(points []fleet.UsagePoint) string {
	points = fleet.Coarse(points, 24)
	top := 1.0
	for _, p := range points {
		top = max(top, p.Busy)
	}
	var b strings.Builder
	for i, p := range points {
		if h := int(math.Round(p.Busy / top * 22)); h > 0 {
			fmt.Fprintf(&b, "M%d 22v-%dh3v%dz", i*96/len(points), h, h)
		}
	}
	return b.String()
}

// spanLink is one of the times that can be looked at.
type spanLink struct {
	Name, URL string
	Current   bool
}

var spanWords = map[string]string{"24h": "24 hours", "7d": "7 days"}

func spanLinks(path string, of fleet.UsageSpan) (out []spanLink) {
	for _, s := range fleet.UsageSpans {
		out = append(out, spanLink{spanWords[s.Name], path + "?range=" + s.Name, s == of})
	}
	return out
}

type usagesBody struct {
	Rows  []usageView
	Spans []spanLink
	Words string // of the span
	Tabs  agentTabs
}

func (w *Web) getUsages(rw http.ResponseWriter, r *http.Request) error {
	span, err := fleet.UsageSpanNamed(r.URL.Query().Get("range"))
	if err != nil {
		return err
	}
	all, err := w.o.Fleet.Usages(r.Context(), span)
	if err != nil {
		return err
	}
	b := usagesBody{Spans: spanLinks(usagesPath, span), Words: spanWords[span.Name]}
	var s Shell
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b.Rows = nil
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		if _, err := b.Tabs.read(tx, r); err != nil {
			return err
		}
		types, err := tx.AgentTypes()
		for _, t := range types {
			b.Rows = append(b.Rows, newUsageView(t.Name, orNone(all[t.Name]), tx.Now))
		}
		return err
	}); err != nil {
		return err
	}
	s.Title, s.Section, s.Script = "Usage of agents", "agents", "page"
	return w.render(rw, http.StatusOK, "usages", s, b)
}

type usageBody struct {
	usageView
	TypeURL  string
	Spans    []spanLink
	Words    string
	Chart    *usageChart
	Rows     []usageRow
	CSV      string
	Endpoint string
	Answer   string // that autoscalers get now
}

type usageRow struct {
	At                    *Moment
	Agents, Busy, Waiting string
	Needed                int
}

func (w *Web) getUsage(rw http.ResponseWriter, r *http.Request) error {
	span, err := fleet.UsageSpanNamed(r.URL.Query().Get("range"))
	if err != nil {
		return err
	}
	name := r.PathValue("type")
	u, err := w.o.Fleet.Usage(r.Context(), name, span)
	if err != nil {
		return orNotFound(err, "agent type")
	}
	if r.URL.Query().Get("format") == "csv" {
		return writeUsage(rw, name, u)
	}
	var b usageBody
	var s Shell
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		v := newUsageView(name, u, tx.Now)
		b = usageBody{
			usageView: v, TypeURL: typesPath + url.PathEscape(name), Spans: spanLinks(v.URL, span), Words: spanWords[span.Name], Chart: newUsageChart(u, span),
			CSV: v.URL + "?format=csv&range=" + span.Name, Endpoint: w.o.PublicURL(r) + agentapi.Base + agentapi.PathMetrics,
		}
		for _, p := range fleet.Coarse(u.Points, 28) {
			b.Rows = append(b.Rows, usageRow{moment(p.At, tx.Now), decimal(p.Agents), decimal(p.Busy), decimal(p.Waiting), p.Needed})
		}
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		t, err := tx.AgentType(name)
		if err != nil {
			return orNotFound(err, "agent type")
		}
		b.Answer, err = w.scalerAnswer(tx, t)
		return err
	}); err != nil {
		return err
	}
	s.Title, s.Section, s.Script, s.Crumbs = "Usage · "+name, "agents", "page", []Link{{"Agents", "/agents"}, {name, b.TypeURL}}
	return w.render(rw, http.StatusOK, "usage", s, b)
}

// scalerAnswer is what an autoscaler of the type would be told.
func (w *Web) scalerAnswer(tx *store.Tx, t *signalbox.AgentType) (string, error) {
	d, err := queue.ReadDemand(tx, t, queue.SeenSince(tx.Now, w.o.Started))
	if err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(agentapi.MetricsResponse{
		Jobs:   agentapi.JobMetrics{Queued: d.Queued + d.Offered, Running: d.Running},
		Agents: agentapi.AgentMetrics{Idle: d.Agents.Free, Occupied: d.Occupied}, DesiredAgents: d.Desired,
	}, "", "  ")
	return string(text), err
}

// writeUsage writes the points as a table for programs.
func writeUsage(rw http.ResponseWriter, name string, u *fleet.Usage) error {
	rw.Header().Set("Content-Type", "text/csv; charset=utf-8")
	rw.Header().Set("Content-Disposition", `attachment; filename="usage.csv"`)
	rw.Header().Set("Cache-Control", "no-store")
	c := csv.NewWriter(rw)
	number := func(f float64) string { return strconv.FormatFloat(math.Round(f*1000)/1000, 'f', -1, 64) }
	_ = c.Write([]string{"agent_type", "from", "agents", "busy", "waiting", "most_at_once"})
	for _, p := range u.Points {
		_ = c.Write([]string{name, p.At.UTC().Format(time.RFC3339), number(p.Agents), number(p.Busy), number(p.Waiting), strconv.Itoa(p.Needed)})
	}
	c.Flush()
	return c.Error()
}

// usageChart is a drawing of jobs that ran, of jobs that waited on top of them, and of the agents as a line.
type usageChart struct {
	Width, Height         int
	Top, Half             string // of the scale
	Busy, Waiting, Agents string // paths
	Lines                 []int  // where the scale below has its marks
	Labels                []string
}

func newUsageChart(u *fleet.Usage, span fleet.UsageSpan) *usageChart {
	top := 0.0
	for _, p := range u.Points {
		top = max(top, p.Agents, p.Busy+p.Waiting)
	}
	top = float64(scaleTop(top))
	c := &usageChart{Width: chartWidth, Height: chartHeight, Top: count(int(top)), Half: count(int(top / 2))}
	n := len(u.Points)
	x := func(i int) int { return i * chartWidth / n }
	y := func(v float64) string { return strconv.FormatFloat(chartHeight-v/top*chartHeight, 'f', 1, 64) }
	var busy, waiting, agents strings.Builder
	for i, p := range u.Points {
		fmt.Fprintf(&busy, "L%d %sH%d", x(i), y(p.Busy), x(i+1))
		fmt.Fprintf(&agents, "%c%d %sH%d", "ML"[min(i, 1)], x(i), y(p.Agents), x(i+1))
	}
	for i := 0; i < n; i++ {
		begin := i
		for i < n && u.Points[i].Waiting > 0 {
			i++
		}
		if begin == i {
			continue
		}
		for k := begin; k < i; k++ {
			fmt.Fprintf(&waiting, "%c%d %sH%d", "ML"[min(k-begin, 1)], x(k), y(u.Points[k].Busy+u.Points[k].Waiting), x(k+1))
		}
		for k := i - 1; k >= begin; k-- {
			fmt.Fprintf(&waiting, "L%d %sH%d", x(k+1), y(u.Points[k].Busy), x(k))
		}
		waiting.WriteByte('Z')
	}
	base := strconv.Itoa(chartHeight)
	c.Busy = "M0 " + base + busy.String() + "L" + strconv.Itoa(chartWidth) + " " + base + "Z"
	c.Waiting, c.Agents = waiting.String(), agents.String()
	parts, unit, each := 4, "h", 6
	if span.Long > 48*time.Hour {
		parts, unit, each = 7, "d", 1
	}
	if u.Cut {
		c.Labels = []string{ago(u.From, u.To), "now"}
		return c
	}
	for i := range parts {
		if i > 0 {
			c.Lines = append(c.Lines, i*chartWidth/parts)
		}
		c.Labels = append(c.Labels, "−"+strconv.Itoa((parts-i)*each)+nbsp+unit)
	}
	c.Labels = append(c.Labels, "now")
	return c
}

// scaleTop is the end of a scale that holds a value, an even number that is easily read.
func scaleTop(v float64) int {
	for unit := 1; ; unit *= 10 {
		for _, n := range []int{2, 4, 6, 8, 10} {
			if v <= float64(n*unit) {
				return n * unit
			}
		}
	}
}
