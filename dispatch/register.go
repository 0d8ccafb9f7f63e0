package dispatch

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/attempt"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/queue"
	"github.com/signalbox-ci/signalbox/store"
)

// lostAnswer is how long a registration that was never followed by a sync counts as one whose answer was lost.
const lostAnswer = 5 * time.Minute

// Registrant is who asks to be an agent, as far as the request says it before its body.
type Registrant struct {
	TokenHash string
	IP        string
	UserAgent string
}

// admission is what a registration token admits to.
type admission struct {
	token *signalbox.RegistrationToken
	typ   *signalbox.AgentType
}

// admit finds what a token admits to at an address. A token that was used up is refused unless spent is allowed.
func admit(tx *store.Tx, who Registrant, spent bool) (admission, error) {
	t, err := tx.RegistrationToken(who.TokenHash)
	if err == nil {
		var y *signalbox.AgentType
		if y, err = tx.AgentTypeByID(t.AgentTypeID); err == nil {
			a := admission{t, y}
			return a, a.refuses(who, spent, tx.Now)
		}
	}
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return admission{}, refuse(signalbox.RefusedUnknown, signalbox.Errorf(signalbox.CodeNotFound,
			"Not Found: this registration token is unknown, revoked or expired"))
	}
	return admission{}, err
}

// refuses says why the token does not admit, if so. A token that was used up does if spent is allowed.
func (a admission) refuses(who Registrant, spent bool, now time.Time) error {
	reason, why := a.token.Refuses(now, who.IP)
	if why == nil || spent && reason == signalbox.RefusedSpent {
		return nil
	}
	return refuse(reason, why)
}

// Register makes an agent row for whoever holds a registration token of a type.
func (h *Hub) Register(ctx context.Context, who Registrant, typ *signalbox.AgentType, req agentapi.RegisterRequest) (res agentapi.RegisterResponse, err error) {
	if err := validateRegistration(req); err != nil {
		return res, refuse(signalbox.RefusedRequest, err)
	}
	named, err := h.naming(ctx, typ.Naming, req.Name)
	if err != nil {
		return res, err
	}
	token, hash := auth.NewToken(auth.TokenAccess)
	a := &arrival{who: who, req: req, named: named, hash: hash}
	if err := h.arrive(ctx, a); err != nil {
		return res, err
	}
	return agentapi.RegisterResponse{Name: a.agent.Name, Token: token}, nil
}

// newAgent is what a registration makes, under a name that it may have.
func newAgent(ad admission, a *arrival, name string, now time.Time) *signalbox.Agent {
	req := a.req
	ag := &signalbox.Agent{
		AgentTypeID: ad.typ.ID, AgentType: ad.typ.Name, Name: name, State: signalbox.AgentRegistered, Version: req.Version,
		UserAgent: a.who.UserAgent, OS: req.OS, Arch: req.Arch, Hostname: req.Hostname, PID: req.PID, IP: a.who.IP, SingleJob: req.SingleJob,
		IdleTimeout: time.Duration(req.IdleTimeout) * time.Second, GracePeriod: time.Duration(req.InterruptionGracePeriod) * time.Second,
		Labels: req.Labels, TokenID: ad.token.ID, CountsSince: now,
		Problems: problems(req.Problems),
	}
	if len(ag.Problems) > 0 {
		ag.ProblemsAt = now
	}
	return ag
}

// registerAlone registers one agent in a transaction of its own.
func (h *Hub) registerAlone(ctx context.Context, a *arrival) error {
	var lost string // the attempt of a predecessor that is now known to be dead
	err := h.Store.Write(ctx, func(tx *store.Tx) error {
		lost = ""
		ad, err := admit(tx, a.who, true)
		if err != nil {
			return err
		}
		name, err := a.named(ad.typ.Naming)
		if err != nil {
			return err
		}
		ag := newAgent(ad, a, name, tx.Now)
		a.agent = ag
		old, err := tx.AgentByName(name)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
			old, err = nil, nil
		}
		if err != nil {
			return err
		}
		if ad.token.Spent() && (old == nil || old.TokenID != ad.token.ID) {
			return refuse(ad.token.Refuses(tx.Now, a.who.IP))
		}
		if old != nil {
			done, attempt, err := h.replace(tx, old, ag, a.hash)
			if err != nil || done {
				return err
			}
			lost = attempt
			// The same machine under the same name: being started anew makes it no better.
			ag.QuarantinedAt, ag.Quarantine, ag.CountsSince = old.QuarantinedAt, old.Quarantine, old.CountsSince
		}
		if ad.token.Spent() {
			return refuse(ad.token.Refuses(tx.Now, a.who.IP))
		}
		if err := h.use(tx, ad.token, ag); err != nil {
			return err
		}
		if err := tx.CreateAgent(ag, a.hash); err != nil {
			return err
		}
		return dedicate(tx, ag, a.req.JobID)
	})
	if err != nil {
		return err
	}
	if lost != "" {
		if err := h.Log.Close(ctx, lost); err != nil {
			h.Logger.Error("could not close a log", "attempt", lost, "error", err)
		}
	}
	return nil
}

// use notes that a token was used. Whoever loses the race for a token that is good for one agent is refused like all
// who come later.
func (h *Hub) use(tx *store.Tx, t *signalbox.RegistrationToken, ag *signalbox.Agent) error {
	err := tx.UseRegistrationToken(t, ag.IP, ag.Name)
	if signalbox.ErrorCode(err) != signalbox.CodeConflict {
		return err
	}
	reason := signalbox.RefusedRevoked
	if t.OneTime {
		reason = signalbox.RefusedSpent
	}
	return refuse(reason, signalbox.Errorf(signalbox.CodeNotFound, "Not Found: this registration token was used up or revoked just now"))
}

// naming asks whoever must be asked about a name, and returns how the name follows from a type's settings, which may have
// changed by the time that it counts.
func (h *Hub) naming(ctx context.Context, n signalbox.AgentNaming, name string) (func(signalbox.AgentNaming) (string, error), error) {
	if n.Origin != signalbox.NamesFromAWS {
		return func(now signalbox.AgentNaming) (string, error) {
			if now.Origin == signalbox.NamesFromAWS {
				return "", refuse(signalbox.RefusedName, signalbox.Errorf(signalbox.CodeInvalid, "only pre-signed AWS STS URLs for name assignment are allowed"))
			}
			if err := signalbox.ValidateAgentName(name); err != nil {
				return "", refuse(signalbox.RefusedName, err)
			}
			return name, nil
		}, nil
	}
	identity, err := h.Identify(ctx, name)
	if err != nil {
		return nil, refuse(signalbox.RefusedIdentity, err)
	}
	return func(now signalbox.AgentNaming) (string, error) {
		if now.Origin != signalbox.NamesFromAWS {
			return "", refuse(signalbox.RefusedName, signalbox.Errorf(signalbox.CodeInvalid, "not allowed to use URLs for registration"))
		}
		name, err := identity.Name(now.Account, now.Roles)
		if err != nil {
			return "", refuse(signalbox.RefusedIdentity, err)
		}
		return name, nil
	}, nil
}

func validateRegistration(req agentapi.RegisterRequest) error {
	for what, v := range map[string]string{"version": req.Version, "os": req.OS, "arch": req.Arch, "hostname": req.Hostname} {
		if len(v) > 300 {
			return signalbox.Errorf(signalbox.CodeInvalid, "%s is %d characters long; at most 300 are allowed", what, len(v))
		}
		if strings.ContainsFunc(v, unicode.IsControl) {
			return signalbox.Errorf(signalbox.CodeInvalid, "%s has control characters; write it as plain text", what)
		}
	}
	if err := signalbox.ValidateLabels(req.Labels); err != nil {
		return err
	}
	if req.IdleTimeout < 0 || req.InterruptionGracePeriod < 0 {
		return signalbox.Errorf(signalbox.CodeInvalid, "idle_timeout and interruption_grace_period are seconds and cannot be negative")
	}
	if req.JobID == "" {
		return nil
	}
	if !req.SingleJob {
		return signalbox.Errorf(signalbox.CodeInvalid, "job can only be requested if agent disconnects after running it")
	}
	if !signalbox.IsID(req.JobID) {
		return signalbox.Errorf(signalbox.CodeInvalid, "job_id %.60q is not a job id", req.JobID)
	}
	return nil
}

// replace decides what a registration under a taken name means. done is true when it was the repeat of one whose
// answer was lost. The same type and host name prove that the old process is dead: its job ends, its name is free. Only when the
// process id is the same too, as in containers, it must also have been silent: a copy of its own registration that arrives late
// must not take its place.
func (h *Hub) replace(tx *store.Tx, old, ag *signalbox.Agent, hash string) (done bool, lost string, err error) {
	taken := refuse(signalbox.RefusedNameTaken, signalbox.Errorf(signalbox.CodeInvalid, "agent can't be registered: the name %q is in use", ag.Name))
	if old.AgentTypeID != ag.AgentTypeID {
		return false, "", taken
	}
	seen, err := tx.SeenOf(old.ID)
	if err != nil {
		return false, "", err
	}
	if seen.State == "" && !h.isPresent(old.ID) && tx.Now.Sub(old.CreatedAt) < lostAnswer && old.State == signalbox.AgentRegistered {
		return true, "", tx.SetAgentToken(old.ID, hash)
	}
	if old.Hostname != ag.Hostname || ag.Hostname == "" || old.State != signalbox.AgentRegistered {
		return false, "", taken
	}
	if old.PID == ag.PID && h.lives(old.ID, seen.At, tx.Now) {
		return false, "", taken
	}
	if old.AttemptID != "" {
		lost = old.AttemptID
		if err := h.leaveJob(tx, old, signalbox.ReasonAgentRestarted, "agent "+old.Name+" was started anew while it ran this job"); err != nil {
			return false, "", err
		}
		now, err := tx.Agent(old.ID)
		if err != nil {
			return false, "", err
		}
		*old = *now
	}
	return false, lost, gone(tx, old, signalbox.ReasonAgentRestarted)
}

// alive is for how long an agent that was heard of is taken to be there: a heartbeat of a moment ago may not be stored yet.
const alive = 20 * time.Second

// lives tells whether an agent was heard of lately, or has a sync that is held.
func (h *Hub) lives(agentID string, stored, now time.Time) bool {
	h.mu.Lock()
	p := h.byID[agentID]
	h.mu.Unlock()
	if p == nil {
		return now.Sub(stored) < alive
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leave != nil || now.Sub(p.seen) < alive || now.Sub(stored) < alive
}

// isPresent tells whether an agent has synced with this server, whose heartbeat may not be stored yet.
func (h *Hub) isPresent(agentID string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byID[agentID] != nil
}

// dedicate gives a new agent the one job it was started for.
func dedicate(tx *store.Tx, ag *signalbox.Agent, jobID string) error {
	if jobID == "" {
		return nil
	}
	unavailable := refuse(signalbox.RefusedJob, signalbox.Errorf(signalbox.CodeInvalid, "job not available"))
	j, err := tx.LockJob(jobID)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return unavailable
	}
	if err != nil {
		return err
	}
	if j.State != signalbox.JobQueued || j.AgentType != ag.AgentType {
		return unavailable
	}
	if err := tx.LockDispatch(); err != nil {
		return err
	}
	room, err := queue.HasRoom(tx, j)
	if err != nil {
		return err
	}
	if !room {
		return unavailable
	}
	_, err = engine.Offer(tx, j, ag, Actor)
	return err
}

// abandon ends what an agent will not finish: an offer returns to the queue, a job that was fetched fails.
func (h *Hub) abandon(tx *store.Tx, a *signalbox.Attempt, end attempt.End) error {
	if a.State == signalbox.AttemptOffered {
		return engine.Withdraw(tx, a.ID, end.Detail, Actor)
	}
	return h.Engine.End(tx, a.ID, end, Actor)
}

// leaveJob is abandon for an agent that is known to have left its job.
func (h *Hub) leaveJob(tx *store.Tx, ag *signalbox.Agent, reason signalbox.Reason, detail string) error {
	a, err := tx.Attempt(ag.AttemptID)
	if err != nil {
		return err
	}
	return h.abandon(tx, a, attempt.End{Result: signalbox.JobFailed, Reason: reason, Detail: detail})
}

// gone removes a free agent from the fleet; its name may be used again.
func gone(tx *store.Tx, ag *signalbox.Agent, reason signalbox.Reason) error {
	ag.State, ag.GoneAt, ag.GoneReason = signalbox.AgentDisconnected, tx.Now, reason
	return tx.UpdateAgent(ag, "", Actor, "gone", string(reason))
}

// Disconnect takes leave of the agent with an access token. A job that is still open ends.
func (h *Hub) Disconnect(ctx context.Context, hash string) error {
	p, err := h.find(ctx, hash)
	if err != nil {
		return err
	}
	var ended string
	err = h.Store.Write(ctx, func(tx *store.Tx) error {
		ended = ""
		ag, err := tx.AgentByToken(hash)
		if err != nil {
			return err
		}
		if ag.State != signalbox.AgentRegistered {
			return nil // said before
		}
		if ag.AttemptID != "" {
			ended = ag.AttemptID
			if err := h.leaveJob(tx, ag, signalbox.ReasonAgentDisconnected, "agent "+ag.Name+" disconnected while it ran this job"); err != nil {
				return err
			}
			if ag, err = tx.Agent(ag.ID); err != nil {
				return err
			}
		}
		typ, err := tx.AgentTypeByID(ag.AgentTypeID)
		if err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return err
		}
		if typ == nil || typ.ReleaseAfter == 0 {
			return gone(tx, ag, signalbox.ReasonNone)
		}
		ag.State = signalbox.AgentDisconnected
		return tx.UpdateAgent(ag, "", "agent:"+ag.Name, "disconnected", "")
	})
	if err != nil {
		return err
	}
	h.forget(p)
	if ended != "" {
		return h.Log.Close(ctx, ended)
	}
	return nil
}
