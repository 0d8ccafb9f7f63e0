package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// witness compares an answer with what is stored at this moment; no virtual time has passed since it was decided.
func (w *world) witness(s *server, q request, rec *httptest.ResponseRecorder, begin time.Time, jumps int) {
	if about, ok := strings.CutPrefix(q.path, agentapi.Base+agentapi.PathJobs+"/"); ok && rec.Code == http.StatusOK {
		var p agentapi.JobPayload
		about, _, _ = strings.Cut(about, "?")
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || p.JobID != about {
			w.wrong("%s was answered with what job %q is to run, %v (I2)", q.path, p.JobID, err)
		}
	}
	if rec.Code != http.StatusOK || !strings.HasSuffix(q.path, agentapi.PathSync) {
		return
	}
	var req agentapi.SyncRequest
	var res agentapi.SyncResponse
	if err := json.Unmarshal(q.body, &req); err != nil {
		w.wrong("sync: %v", err)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &res); err != nil {
		w.wrong("sync: %v in %q", err, rec.Body)
	}
	w.count(strings.TrimSpace("answer: " + string(res.Action) + " " + string(res.ShutdownReason)))
	w.mu.Lock()
	w.heard[q.authorization] = append(w.heard[q.authorization], begin) // a silence counts from when a request came, held or not
	w.mu.Unlock()
	if res.Action == agentapi.ActionContinue && begin.UnixNano()%4 != 0 {
		return // most answers; a part of them is enough
	}
	var g *signalbox.Agent
	var a *signalbox.Attempt
	err := s.st.Read(s.ctx, func(tx *store.Tx) (err error) {
		a = nil
		if g, err = tx.AgentByToken(auth.HashToken(strings.TrimPrefix(q.authorization, "Token "))); err != nil || g.AttemptID == "" {
			return err
		}
		a, err = tx.Attempt(g.AttemptID)
		return err
	})
	if err != nil {
		return // gone, or the server is
	}
	w.mu.Lock()
	steady := w.jumps == jumps
	w.mu.Unlock()
	// What was stored a while before the answer counts; what is stored at this very moment may have come after it.
	before := func(t time.Time) bool { return steady && !t.IsZero() && t.Before(begin.Add(-time.Millisecond)) }
	bad := func(why string) {
		w.wrong("%s was answered %+v, though %s; agent %+v, attempt %+v", q.body, res, why, g, a)
	}
	if res.Action == agentapi.ActionRunJob && a != nil && steady && w.now().Sub(a.OfferedAt).Abs() < 2*time.Millisecond {
		w.fresh(s, a)
	}
	leaves := !g.DisabledAt.IsZero() || !g.DrainAt.IsZero() || !g.InterruptedAt.IsZero() || !g.GoneAt.IsZero()
	switch {
	case res.Action == agentapi.ActionRunJob && (a == nil || a.JobID != res.JobID || q.wait > 0 && a.ID != res.Attempt):
		bad("this is not its attempt (I2)")
	case res.Action == agentapi.ActionRunJob && q.wait == 0 && a.N > 1 && hadBefore(s, g.ID, a):
		bad("it has fetched that job before and does not tell tries apart (I2)")
	case res.Action == agentapi.ActionRunJob && leaves:
		bad("it is to leave (I10)")
	case res.Action == agentapi.ActionRunJob && steady && !g.QuarantinedAt.IsZero() && a.OfferedAt.After(g.QuarantinedAt):
		bad("it is in quarantine")
	case res.Action == agentapi.ActionShutdown && a != nil:
		bad("it has an attempt (I10)")
	case res.Action == agentapi.ActionShutdown && !leaves:
		bad("it may be given a job afterwards (I10)")
	case res.Action == agentapi.ActionContinue && req.State == agentapi.StateWaitingForJobs && a != nil && a.State == signalbox.AttemptOffered && before(a.OfferedAt):
		bad("it has an offer (I3)")
	case res.Action == agentapi.ActionContinue && req.State == agentapi.StateRunningJob && (a == nil || a.JobID != req.JobID):
		bad("that is not its job any more (I2)")
	case res.Action == agentapi.ActionContinue && req.State == agentapi.StateRunningJob && before(a.StopRequestedAt):
		bad("its job is stopped (I7)")
	case req.State == agentapi.StateFinishedJob && a != nil && a.JobID == req.JobID && (req.Attempt == "" || req.Attempt == a.ID):
		bad("the attempt it has reported the end of is open (I9)")
	}
}

// fresh checks an offer that was made at this moment: it keeps the limit of its type, and no job that waits is more urgent.
func (w *world) fresh(s *server, a *signalbox.Attempt) {
	var typ *signalbox.AgentType
	var active []*store.Active
	var job *signalbox.Job
	var waiting []*signalbox.Job
	if err := s.st.Read(s.ctx, func(tx *store.Tx) (err error) {
		if typ, err = tx.AgentType(typeName); err != nil {
			return err
		}
		if active, err = tx.ActiveJobs(typeName); err != nil {
			return err
		}
		if job, err = tx.Job(a.JobID); err != nil {
			return err
		}
		waiting, err = tx.ClaimJobs(typeName, 1)
		return err
	}); err != nil {
		return
	}
	w.count("offer")
	for _, n := range active {
		if typ.MaxRunningJobs > 0 && n.Jobs > typ.MaxRunningJobs {
			w.wrong("job %s was offered: %d run, %d may", job.Name, n.Jobs, typ.MaxRunningJobs)
		}
	}
	for _, o := range waiting {
		if o.Priority > job.Priority && o.AttemptN == 0 && o.QueuedAt.Before(a.OfferedAt.Add(-time.Millisecond)) {
			w.wrong("job %s of priority %d was offered before %s of %d", job.Name, job.Priority, o.Name, o.Priority)
		}
	}
}

// hadBefore tells whether an agent has fetched an earlier attempt of the same job.
func hadBefore(s *server, agentID string, a *signalbox.Attempt) (yes bool) {
	_ = s.st.Read(s.ctx, func(tx *store.Tx) error { // a server that dies meanwhile is asked nothing more
		yes = false
		all, err := tx.Attempts(a.JobID)
		for _, o := range all {
			yes = yes || o.ID != a.ID && o.AgentID == agentID && !o.FetchedAt.IsZero()
		}
		return err
	})
	return yes
}

// look reads all jobs and attempts, and compares what has ended with how it had ended when it was seen before.
func (w *world) look() {
	now := map[string]string{}
	w.own(func(tx *store.Tx) error {
		clear(now)
		_, _, jobs, err := tx.PipelinesAfter("", 1000)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			if j.State == signalbox.JobFinished {
				now[j.ID] = fmt.Sprint("job ", j.Name, ": ", j.Result, " ", j.Reason, " ", j.FinishedAt)
			}
			all, err := tx.Attempts(j.ID)
			if err != nil {
				return err
			}
			for i, a := range all {
				if a.State == signalbox.AttemptEnded {
					now[a.ID] = fmt.Sprint("attempt ", a.N, " of job ", j.Name, ": ", a.Result, " ", a.Reason, " ", a.EndedAt)
				} else if i < len(all)-1 {
					w.wrong("attempt %d of job %s is %s beside newer ones (I2)", a.N, j.Name, a.State)
				}
			}
		}
		return nil
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, was := range w.final {
		if now[id] != was {
			w.wrong("%q has become %q (I4)", was, now[id])
		}
	}
	w.final = now
}
