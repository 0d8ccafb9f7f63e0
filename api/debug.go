package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/trigger"
)

// debugBody is what a debug job says of itself beside what every job says.
func debugBody(tx *store.Tx, j *signalbox.Job) (map[string]any, error) {
	b := map[string]any{"job_id": j.DebugOf, "duration": int(j.TimeLimit / time.Second), "started_by": "", "host": "", "ends_at": ""}
	events, err := tx.Events("job", j.ID)
	if err != nil {
		return nil, err
	}
	if len(events) > 0 {
		b["started_by"] = events[0].Actor
	}
	if j.StartedAt.IsZero() {
		return b, nil
	}
	b["ends_at"] = unixText(j.StartedAt.Add(j.TimeLimit))
	at, err := tx.Attempt(j.AttemptID)
	if err != nil {
		return nil, err
	}
	ag, err := tx.Agent(at.AgentID)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return b, nil
	}
	if err == nil {
		b["host"] = ag.Hostname
	}
	return b, err
}

// debugTime reads a duration in seconds, which official clients write as text.
func debugTime(raw json.RawMessage) (time.Duration, error) {
	text := strings.Trim(strings.TrimSpace(string(raw)), `"`)
	if text == "" || text == "null" || text == "0" {
		return engine.DebugTime, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > int64(engine.MaxDebugTime/time.Second) {
		return 0, signalbox.Errorf(signalbox.CodeInvalid, "duration %.40q: write whole seconds, at most %d; 0 is %d", text,
			int64(engine.MaxDebugTime/time.Second), int64(engine.DebugTime/time.Second))
	}
	return time.Duration(n) * time.Second, nil
}

func (a *API) debugJob(w http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	var in struct {
		JobID    string          `json:"job_id"`
		Duration json.RawMessage `json:"duration"`
	}
	if err := read(w, r, &in); err != nil {
		return err
	}
	if in.JobID != "" && in.JobID != id {
		return signalbox.Errorf(signalbox.CodeInvalid, "job_id in the body is %.60q, in the path %q; they must be the same", in.JobID, id)
	}
	limit, err := debugTime(in.Duration)
	if err != nil {
		return err
	}
	j, err := a.Trigger.Debug(r.Context(), id, route.ActorFrom(r.Context()), limit)
	if err != nil {
		return err
	}
	return a.answerJob(w, r, j.ID)
}

// debugSSHKey has never a key: nobody can log in to an agent through the server.
func (a *API) debugSSHKey(_ http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	if err := a.read(r, func(tx *store.Tx) error {
		j, err := tx.Job(id)
		if err != nil {
			return err
		}
		return trigger.MayEnter(tx, j, route.ActorFrom(r.Context()), auth.Attach)
	}); err != nil {
		return err
	}
	return signalbox.Errorf(signalbox.CodeForbidden, "SSH keys are not available for self-hosted jobs")
}
