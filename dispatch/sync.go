package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// Sync answers one sync of the agent with an access token. wait is how long the agent allows to be held in any state
// (Prefer: wait=N), 0 for official agents, which may be held only while they wait. ctx ends when the agent hangs up.
func (h *Hub) Sync(ctx context.Context, hash string, req agentapi.SyncRequest, wait time.Duration) (agentapi.SyncResponse, error) {
	return h.sync(ctx, hash, req, wait, nil)
}

// errParked tells that a sync goes on elsewhere.
var errParked = errors.New("dispatch: the sync is parked")

func (h *Hub) sync(ctx context.Context, hash string, req agentapi.SyncRequest, wait time.Duration, park func() bool) (res agentapi.SyncResponse, err error) {
	begin, held := h.Now(), time.Duration(0)
	defer func() {
		if err == nil {
			h.OnSync(h.Now().Sub(begin) - held)
		}
	}()
	p, err := h.find(ctx, hash)
	if err != nil {
		return agentapi.SyncResponse{}, err
	}
	if err := h.refresh(ctx, p); err != nil {
		return agentapi.SyncResponse{}, h.lateReport(ctx, hash, err, nil, &req)
	}
	p.supersede()
	now := h.Now()
	if err := h.mayRenew(p, now); err != nil {
		return agentapi.SyncResponse{}, err
	}
	// A request that makes no sense leaves the agent untouched.
	if _, err := Decide(p.view(now, req.State, h.Timing), req, now); err != nil {
		return agentapi.SyncResponse{}, err
	}
	if p.beat(now, req.State, wait == 0) {
		h.firsts.note(p)
	}
	if err := h.interrupted(ctx, p, req.InterruptedAt); err != nil {
		return agentapi.SyncResponse{}, err
	}
	if err := h.troubled(ctx, p, req.Problems); err != nil {
		return agentapi.SyncResponse{}, err
	}
	deadline := now.Add(h.holdFor(req.State, wait))
	for tries := 0; ; tries++ {
		if err := h.refresh(ctx, p); err != nil {
			return agentapi.SyncResponse{}, err
		}
		now = h.Now()
		view := p.view(now, req.State, h.Timing)
		v, err := Decide(view, req, now)
		if err != nil {
			return agentapi.SyncResponse{}, err
		}
		if v.Deed == DeedHold || v.Deed == DeedHoldBusy {
			from := h.Now()
			if park != nil && from.Before(deadline) {
				if park() {
					return agentapi.SyncResponse{}, errParked
				}
				park = nil
			}
			again, err := h.hold(ctx, p, view, v.Deed, deadline, wait)
			held += min(h.Now().Sub(from), max(0, deadline.Sub(from)))
			if err != nil || !again {
				res = h.answer(v, wait)
				res.Held = held
				return res, err
			}
			continue
		}
		err = h.do(ctx, p, view, v, req)
		// Somebody was faster: what was decided is no longer true, so look again.
		if signalbox.ErrorCode(err) == signalbox.CodeConflict && tries < 5 {
			p.outdate()
			continue
		}
		if err != nil {
			return agentapi.SyncResponse{}, err
		}
		res = h.answer(v, wait)
		res.Held = held
		return res, nil
	}
}

// holdFor returns how long a sync may be held.
func (h *Hub) holdFor(state agentapi.AgentState, wait time.Duration) time.Duration {
	select {
	case <-h.closing:
		return 0
	default:
	}
	if wait > 0 {
		return min(wait, h.Timing.HoldLimit)
	}
	if state != agentapi.StateWaitingForJobs {
		return 0
	}
	jitter := 0.8 + 0.4*h.Random()
	return time.Duration(float64(h.Timing.Hold) * jitter)
}

// hold waits for work or for a change of the agent. It returns false when the time is up.
func (h *Hub) hold(ctx context.Context, p *presence, view View, deed Deed, deadline time.Time, wait time.Duration) (again bool, err error) {
	left := deadline.Sub(h.Now())
	if left <= 0 {
		return false, nil
	}
	var w *waiter
	var got <-chan *offer
	ag := view.Agent
	switch {
	case deed == DeedHold:
		if ag.IdleTimeout > 0 {
			left = min(left, ag.IdleTimeout-view.Idle+time.Millisecond)
		}
		if !ag.QuarantinedAt.IsZero() {
			break // it waits for its release only
		}
		w = &waiter{agentType: ag.AgentType, agentID: ag.ID, tells: wait > 0, result: make(chan *offer, 1)}
		got = w.result
		h.enter(w)
	case !ag.InterruptedAt.IsZero():
		left = min(left, ag.InterruptedAt.Add(ag.GracePeriod).Sub(h.Now())+time.Millisecond)
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	leave := p.holds()
	defer p.held(leave)
	var o *offer
	select {
	case <-leave:
	case o = <-got:
		if o == nil {
			p.outdate()
			return false, nil
		}
	case <-p.changed:
		p.outdate()
		again = true
	case <-timer.C:
		// The end of an idle timeout or grace period is another decision, not the end of the hold.
		again = h.Now().Before(deadline)
	case <-h.closing:
	case <-ctx.Done():
	}
	if w != nil && o == nil {
		o = h.leave(w)
	}
	if o != nil {
		p.offered(o)
		again = true
	}
	if ctx.Err() == nil {
		return again, nil
	}
	// The agent has hung up: an offer would never reach it.
	if o != nil {
		if err := h.withdraw(context.WithoutCancel(ctx), o.attempt.ID, "the agent hung up before the answer"); err != nil {
			return false, err
		}
	}
	return false, ctx.Err()
}

// do carries out the deed of a verdict.
func (h *Hub) do(ctx context.Context, p *presence, view View, v Verdict, req agentapi.SyncRequest) error {
	ag, at := view.Agent, view.Attempt
	actor := "agent:" + ag.Name
	var err error
	switch v.Deed {
	case DeedWithdraw:
		err = h.Store.Write(ctx, func(tx *store.Tx) error {
			if err := engine.Withdraw(tx, at.ID, "the agent is leaving", Actor); err != nil {
				return err
			}
			return retire(tx, ag.ID, actor, "leaving", "")
		})
	case DeedRetire:
		err = h.Store.Write(ctx, func(tx *store.Tx) error {
			return retire(tx, ag.ID, Actor, "idle", "no job for "+ag.IdleTimeout.String())
		})
	case DeedForgotten:
		h.Logger.Warn("an agent came back and knows nothing of its job", "agent", ag.Name, "job", at.JobID)
		err = h.Finish(ctx, at.ID, signalbox.JobFailed, v.Reason, "agent "+ag.Name+" was restarted while it ran this job", Actor)
	case DeedFetched:
		err = h.Store.Write(ctx, func(tx *store.Tx) error {
			if _, _, err := engine.Fetched(tx, at.ID, actor); err != nil {
				return err
			}
			return engine.RunningWith(tx, at.ID, lease(req), actor)
		})
	case DeedRunning:
		err = h.starts.do(ctx, engine.Start{AttemptID: at.ID, Lease: lease(req), Actor: actor})
	case DeedFinish:
		err = h.finish(ctx, at.ID, func(tx *store.Tx) error {
			if err := h.Engine.Finish(tx, at.ID, v.Result, v.Reason, "", actor); err != nil || v.Action != agentapi.ActionShutdown {
				return err
			}
			return retire(tx, ag.ID, actor, "leaving", "") // what ended meanwhile did not make it leave
		})
	case DeedIgnore:
		err = h.evidence(ctx, ag, req, v)
	default:
		return nil
	}
	p.outdate()
	return err
}

// startAll notes that the jobs of a group run.
func (h *Hub) startAll(ctx context.Context, group []engine.Start, errs []error) error {
	return h.Store.Write(ctx, func(tx *store.Tx) error { return engine.RunningAll(tx, group, errs) })
}

// Finish ends an attempt and its log.
func (h *Hub) Finish(ctx context.Context, attemptID string, result signalbox.JobResult, reason signalbox.Reason, detail, actor string) error {
	return h.finish(ctx, attemptID, func(tx *store.Tx) error {
		return h.Engine.Finish(tx, attemptID, result, reason, detail, actor)
	})
}

func (h *Hub) finish(ctx context.Context, attemptID string, write func(tx *store.Tx) error) error {
	if err := h.Store.Write(ctx, write); err != nil {
		return err
	}
	// The log decides nothing: should this fail, the next start of the server closes it.
	if err := h.Log.Close(ctx, attemptID); err != nil {
		h.Logger.Error("could not close a log", "attempt", attemptID, "error", err)
	}
	return nil
}

func (h *Hub) withdraw(ctx context.Context, attemptID, why string) error {
	return h.Store.Write(ctx, func(tx *store.Tx) error { return engine.Withdraw(tx, attemptID, why, Actor) })
}

// evidence keeps a report that concerns no open attempt of this agent. A repeat of the report that ended the attempt
// is no news and changes nothing. An agent that is told to leave gets no job from then on.
func (h *Hub) evidence(ctx context.Context, ag *signalbox.Agent, req agentapi.SyncRequest, v Verdict) error {
	actor := "agent:" + ag.Name
	about, leaves := signalbox.IsID(req.JobID), v.Action == agentapi.ActionShutdown
	if !about && !leaves {
		return nil // nothing is written for words that mean nothing
	}
	return h.Store.Write(ctx, func(tx *store.Tx) error {
		if leaves {
			if err := retire(tx, ag.ID, actor, "leaving", ""); err != nil {
				return err
			}
		}
		if !about {
			return nil
		}
		a, err := reported(tx, ag, req)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
			return tx.Record("agent", ag.ID, actor, "report about a job it never had", req.JobID+" "+string(v.Result))
		}
		if err != nil {
			return err
		}
		if a.State != signalbox.AttemptEnded {
			return signalbox.Errorf(signalbox.CodeConflict, "attempt %d of job %s was offered meanwhile", a.N, a.JobID)
		}
		return h.Engine.Finish(tx, a.ID, v.Result, "", "", actor)
	})
}

// retire makes a free agent one that gets no job any more; CodeConflict when it has got one meanwhile.
func retire(tx *store.Tx, agentID, actor, reason, detail string) error {
	row, err := tx.LockAgent(agentID)
	if err != nil {
		return err
	}
	if row.AttemptID == "" && leaving(row) != "" {
		return nil
	}
	row.DrainAt = tx.Now
	return tx.UpdateAgent(row, "", actor, reason, detail)
}

// reported returns the attempt of an agent that a report is about, CodeNotFound when there is none.
func reported(tx *store.Tx, ag *signalbox.Agent, req agentapi.SyncRequest) (*signalbox.Attempt, error) {
	if req.Attempt == "" {
		return tx.LatestAttemptOn(req.JobID, ag.ID)
	}
	a, err := tx.Attempt(req.Attempt)
	if err == nil && (a.JobID != req.JobID || a.AgentID != ag.ID) {
		err = signalbox.Errorf(signalbox.CodeNotFound, "attempt %.60s is another agent's", req.Attempt)
	}
	return a, err
}

// interrupted stores the moment an agent was asked to go, once.
func (h *Hub) interrupted(ctx context.Context, p *presence, at int64) error {
	known, _ := p.rows()
	if at <= 0 || !known.InterruptedAt.IsZero() {
		return nil
	}
	err := h.Store.Write(ctx, func(tx *store.Tx) error {
		ag, err := tx.LockAgent(known.ID)
		if err != nil || !ag.InterruptedAt.IsZero() {
			return err
		}
		// The agent's clock may be anywhere; the grace period counts from when we heard.
		ag.InterruptedAt = tx.Now
		return tx.UpdateAgent(ag, ag.AttemptID, "agent:"+ag.Name, "interrupted", "")
	})
	p.outdate()
	return err
}

// answer turns a verdict into the wire's words and says when to sync again.
func (h *Hub) answer(v Verdict, wait time.Duration) agentapi.SyncResponse {
	r := agentapi.SyncResponse{Action: v.Action, JobID: v.JobID, ShutdownReason: v.Shutdown}
	if wait > 0 {
		r.Attempt, r.Lease = v.Attempt, int(v.Lease/time.Second)
	}
	r.NextSyncAfter = int(h.next(v, wait).Milliseconds())
	return r
}

func (h *Hub) next(v Verdict, wait time.Duration) time.Duration {
	select {
	case <-h.closing:
		// Everybody was released at the same moment; do not let them all come back at the same moment.
		return time.Second + time.Duration(h.Random()*float64(2*time.Second))
	default:
	}
	switch v.Deed {
	case DeedHold, DeedFinish, DeedIgnore:
		return time.Millisecond
	case DeedHoldBusy, DeedRunning, DeedFetched:
		if wait > 0 {
			return time.Millisecond
		}
		// Their syncs may not be held. All of them together stay near 720 a second, so that up to 1,000 hear within 1.4 s that they are
		// to stop.
		return max(h.Timing.RunningNext, time.Duration(h.running.Load())*time.Second/720)
	}
	return h.Timing.RunningNext
}
