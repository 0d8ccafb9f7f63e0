package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
)

// showLog answers a job's log: as events (default), as text (?format=text), or live as server-sent events (?follow=1).
// ?attempt=N chooses an attempt; the newest is the default.
func (a *API) showLog(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("job")
	q := r.URL.Query()
	var attemptID string
	if err := a.read(r, func(tx *store.Tx) (err error) {
		attemptID, err = findAttempt(tx, id, q.Get("attempt"))
		return err
	}); err != nil {
		return err
	}
	switch {
	case q.Get("follow") != "" && q.Get("follow") != "0" && q.Get("follow") != "false":
		return a.Log.ServeSSE(w, r, attemptID, 0)
	case q.Get("format") == "text":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		err := a.Log.Text(r.Context(), attemptID, w)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
			return nil // the agent has not sent anything yet
		}
		return err
	}
	events := []json.RawMessage{}
	for from := int64(0); ; {
		part, next, _, err := a.Log.Pull(r.Context(), attemptID, from, 20000)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
			break // the agent has not sent anything yet
		}
		if err != nil {
			return err
		}
		events = append(events, part...)
		if len(part) == 0 || next == from {
			break
		}
		from = next
	}
	if official(r) {
		events = joinOutput(events)
	}
	return write(w, map[string]any{"events": events})
}

// showLogPart answers the events of a log from number token on, as many as fit into one answer, and where to go on: next is null once the log
// is complete.
func (a *API) showLogPart(w http.ResponseWriter, r *http.Request) error {
	var from int64
	if token := r.URL.Query().Get("token"); token != "" {
		var err error
		if from, err = strconv.ParseInt(token, 10, 64); err != nil || from < 0 {
			return signalbox.Errorf(signalbox.CodeInvalid, "token must be the number of the first event, from 0")
		}
	}
	var attemptID string
	if err := a.read(r, func(tx *store.Tx) (err error) {
		attemptID, err = findAttempt(tx, r.PathValue("job"), r.URL.Query().Get("attempt"))
		return err
	}); err != nil {
		return err
	}
	events, next, closed, err := a.Log.Pull(r.Context(), attemptID, from, 20000)
	if err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound { // the agent has not sent anything yet
		return err
	}
	if events == nil {
		events = []json.RawMessage{}
	}
	answer := map[string]any{"events": events, "next": max(next, from)}
	if closed {
		answer["next"] = nil
	}
	return write(w, answer)
}

// joinOutput makes one event of the output events that follow one another, without a last line feed: the official
// command line ends each event with one, wherever the agent happened to cut the output.
func joinOutput(events []json.RawMessage) []json.RawMessage {
	out := []json.RawMessage{}
	var text strings.Builder
	var first agentapi.Event
	open := false
	flush := func() {
		if !open {
			return
		}
		first.Output = strings.TrimSuffix(strings.TrimSuffix(text.String(), "\n"), "\r")
		if b, err := json.Marshal(first); err == nil && text.Len() > 0 {
			out = append(out, b)
		}
		text.Reset()
		open = false
	}
	for _, raw := range events {
		var e agentapi.Event
		if json.Unmarshal(raw, &e) != nil || e.Event != agentapi.EventCmdOutput {
			flush()
			out = append(out, raw)
			continue
		}
		if !open {
			first, open = e, true
		}
		text.WriteString(e.Output)
	}
	flush()
	return out
}

// findAttempt returns the attempt whose log is asked for. A job that never had one has no log, and the error says why.
func findAttempt(tx *store.Tx, jobID, n string) (string, error) {
	j, err := tx.Job(jobID)
	if err == nil && j.Copied { // its log is that of the job that ran
		j, err = tx.Job(j.OriginalID)
	}
	if err != nil {
		return "", err
	}
	if j.AttemptID == "" {
		switch {
		case j.FailureReason != "":
			return "", signalbox.Errorf(signalbox.CodeNotFound, "%s", j.FailureReason)
		case j.State == signalbox.JobFinished:
			return "", signalbox.Errorf(signalbox.CodeNotFound, "This job was stopped before it started, so no logs were produced.")
		}
		return "", signalbox.Errorf(signalbox.CodeNotFound, "This job waits for an agent of type %s and has no log yet.", j.AgentType)
	}
	if n == "" {
		return j.AttemptID, nil
	}
	all, err := tx.Attempts(j.ID)
	if err != nil {
		return "", err
	}
	for _, t := range all {
		if n == strconv.Itoa(t.N) {
			return t.ID, nil
		}
	}
	return "", signalbox.Errorf(signalbox.CodeNotFound, "job %s has %d attempts; there is no attempt %.20s", jobID, len(all), n)
}
