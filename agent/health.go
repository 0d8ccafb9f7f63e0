package agent

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// staleSync is how old the last answer of the server may be before an agent without a job counts as unhealthy. An agent
// that is well syncs about every half minute.
const staleSync = 2 * time.Minute

// unhealthy says what is wrong with an agent; "" is nothing. An agent that runs a job is well whatever the server does.
func (s Status) unhealthy(now time.Time) string {
	switch {
	case s.State == StatusEnded, s.Job != nil:
		return ""
	case s.State == StatusRegistering:
		return s.Name + " has not registered yet"
	case s.AnsweredAt.IsZero() && now.Sub(s.StartedAt) <= staleSync, now.Sub(s.AnsweredAt) <= staleSync:
		return ""
	}
	reason := s.Name + " has had no answer from " + s.Server + " since " + s.AnsweredAt.Format(time.RFC3339)
	if s.AnsweredAt.IsZero() {
		reason = s.Name + " has never had an answer from " + s.Server
	}
	if s.Sync != nil && s.Sync.Error != "" {
		reason += ": " + s.Sync.Error
	}
	return reason
}

// HealthHandler answers GET /healthz, /status and /metrics about the agents of one process.
func HealthHandler(statuses func() []Status, now func() time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		var wrong []string
		for _, s := range statuses() {
			if text := s.unhealthy(now()); text != "" {
				wrong = append(wrong, text)
			}
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if len(wrong) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, strings.Join(wrong, "\n"))
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(statuses()) // the client has gone away
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write([]byte(metrics(statuses(), now())))
	})
	return mux
}

// metrics writes the text form that Prometheus reads.
func metrics(all []Status, now time.Time) string {
	var b strings.Builder
	family := func(name, kind, help string, value func(Status, func(labels string, v float64))) {
		fmt.Fprintf(&b, "# HELP signalbox_agent_%s %s\n# TYPE signalbox_agent_%s %s\n", name, help, name, kind)
		for _, s := range all {
			value(s, func(labels string, v float64) {
				fmt.Fprintf(&b, "signalbox_agent_%s{agent=\"%s\"%s} %g\n", name, labelEscapes.Replace(s.Name), labels, v)
			})
		}
	}
	family("jobs_total", "counter", "Jobs that have ended, by result.", func(s Status, put func(string, float64)) {
		put(`,result="passed"`, float64(s.Jobs.Passed))
		put(`,result="failed"`, float64(s.Jobs.Failed))
		put(`,result="stopped"`, float64(s.Jobs.Stopped))
	})
	family("job_running", "gauge", "1 while the agent has a job.", func(s Status, put func(string, float64)) {
		v := 0.0
		if s.Job != nil {
			v = 1
		}
		put("", v)
	})
	family("last_answer_age_seconds", "gauge", "Time since the server has last answered a sync.", func(s Status, put func(string, float64)) {
		if !s.AnsweredAt.IsZero() {
			put("", now.Sub(s.AnsweredAt).Round(time.Millisecond).Seconds())
		}
	})
	family("spool_bytes", "gauge", "Bytes of logs on disk that wait for delivery.", func(s Status, put func(string, float64)) {
		put("", float64(s.Spool.Bytes))
	})
	family("spool_logs", "gauge", "Logs on disk that wait for delivery.", func(s Status, put func(string, float64)) {
		put("", float64(s.Spool.Logs))
	})
	family("pushes_failed_total", "counter", "Requests with parts of logs that failed.", func(s Status, put func(string, float64)) {
		put("", float64(s.PushesFailed))
	})
	return b.String()
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
