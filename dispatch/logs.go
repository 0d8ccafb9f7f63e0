package dispatch

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// maxPush bounds one log push: 2000 events, each of at most a few kilobytes in practice.
const maxPush = 64 << 20

// bearer returns the token of a log request; one in the query wins over the header, and the scheme word of the header
// may be either.
func bearer(r *http.Request) string {
	if t := r.URL.Query().Get("jwt"); t != "" {
		return t
	}
	scheme, t, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme == "Bearer" || scheme == "Token" {
		return t
	}
	return ""
}

// pusher returns the open attempt that a log token is for. Everything else is 401, so that the agent asks for a new
// token.
func (h *Hub) pusher(r *http.Request, jobID string) (*signalbox.Attempt, error) {
	refused := signalbox.Errorf(signalbox.CodeUnauthorized, "Unauthorized: this token does not let you write the log of this job")
	kind, id, _, err := h.Keys.ParseAttemptToken(bearer(r))
	if err != nil || kind != auth.AttemptLog {
		return nil, refused
	}
	var a *signalbox.Attempt
	err = h.Store.Read(r.Context(), func(tx *store.Tx) (err error) {
		a, err = tx.Attempt(id)
		return err
	})
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return nil, refused
	}
	if err != nil {
		return nil, err
	}
	if a.JobID != jobID || a.State == signalbox.AttemptEnded {
		return nil, refused
	}
	return a, nil
}

func (h *Hub) servePush(w http.ResponseWriter, r *http.Request) error {
	a, err := h.pusher(r, r.PathValue("job_id"))
	if err != nil {
		return err
	}
	from, err := strconv.ParseInt(r.URL.Query().Get("start_from"), 10, 64)
	if err != nil || from < 0 {
		return reply(w, http.StatusBadRequest, "start_from must be the number of the first event in the body, from 0")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPush))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return reply(w, http.StatusRequestEntityTooLarge, "a log push may have at most "+strconv.Itoa(maxPush)+" bytes")
	}
	if err != nil {
		return reply(w, http.StatusBadRequest, "the body could not be read")
	}
	if n := countLines(body); n > agentapi.MaxLogBatch {
		return reply(w, http.StatusRequestEntityTooLarge, "a log push may have at most "+strconv.Itoa(agentapi.MaxLogBatch)+" events, not "+strconv.Itoa(n))
	}
	h.heartbeat(a.AgentID)
	if _, err := h.Log.Append(r.Context(), a.ID, a.JobID, from, body); err != nil {
		if signalbox.ErrorCode(err) == signalbox.CodeInvalid {
			return reply(w, http.StatusBadRequest, signalbox.ErrorMessage(err))
		}
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func countLines(b []byte) int {
	n := 0
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		if len(bytes.TrimSpace(line)) > 0 {
			n++
		}
	}
	return n
}

// heartbeat notes that an agent lives because its log arrives.
func (h *Hub) heartbeat(agentID string) {
	h.mu.Lock()
	p := h.byID[agentID]
	h.mu.Unlock()
	if p != nil {
		p.beat(h.Now(), "", false)
	}
}

// servePull answers the log in the official format to a log token of its attempt or to a user who may view logs.
func (h *Hub) servePull(w http.ResponseWriter, r *http.Request) error {
	jobID := r.PathValue("job_id")
	attemptID, err := h.reader(r, jobID)
	if err != nil {
		return err
	}
	if raw := r.URL.Query().Get("raw"); raw == "true" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		return h.Log.Text(r.Context(), attemptID, w)
	}
	var from int64
	if t := r.URL.Query().Get("token"); t != "" {
		if from, err = strconv.ParseInt(t, 10, 64); err != nil || from < 0 {
			return reply(w, http.StatusBadRequest, "token must be the number of the first event, from 0")
		}
	}
	events, next, closed, err := h.Log.Pull(r.Context(), attemptID, from, pullLimit)
	if err != nil {
		return err
	}
	answer := map[string]any{"events": events, "next": next}
	if closed && len(events) < pullLimit {
		answer["next"] = nil // that is how readers learn that the log is complete
	}
	return replyJSON(w, http.StatusOK, answer)
}

const pullLimit = 20000

func (h *Hub) reader(r *http.Request, jobID string) (attemptID string, err error) {
	none := signalbox.Errorf(signalbox.CodeNotFound, "Logs for %.60s not found", jobID)
	if kind, id, _, err := h.Keys.ParseAttemptToken(bearer(r)); err == nil && kind == auth.AttemptLog {
		return id, h.Store.Read(r.Context(), func(tx *store.Tx) error {
			a, err := tx.Attempt(id)
			if err == nil && a.JobID != jobID {
				return none
			}
			return err
		})
	}
	refused := signalbox.Errorf(signalbox.CodeUnauthorized, "Unauthorized: a log token or an API token is needed")
	err = h.Store.Read(r.Context(), func(tx *store.Tx) error {
		u, _, err := tx.UserByToken(auth.HashToken(bearer(r)))
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound || err == nil && !auth.Can(u.Role, auth.LogView) {
			return refused
		}
		if err != nil {
			return err
		}
		j, err := tx.Job(jobID)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound || err == nil && j.AttemptID == "" {
			return none
		}
		if err == nil {
			attemptID = j.AttemptID
		}
		return err
	})
	return attemptID, err
}
