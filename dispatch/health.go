package dispatch

import (
	"context"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
)

// lease is how long an agent says that it goes on with its job without an answer; what cannot be meant is as good as nothing.
func lease(req agentapi.SyncRequest) time.Duration {
	l := time.Duration(req.Lease) * time.Second
	if req.Lease > int(signalbox.MaxLease/time.Second) || l < signalbox.MinLease {
		return 0
	}
	return l
}

func problems(sent []agentapi.Problem) []signalbox.Problem {
	out := make([]signalbox.Problem, 0, len(sent))
	for _, p := range sent {
		out = append(out, signalbox.Problem{Code: p.Code, Detail: p.Detail})
	}
	return signalbox.CleanProblems(out)
}

// How often what an agent says of its machine is stored at most: when problems come and go, and when only their details
// change.
const (
	problemsEvery = 10 * time.Second
	detailsEvery  = time.Minute
)

// news tells whether a report about an agent's machine is to be stored.
func news(known *signalbox.Agent, now []signalbox.Problem, at time.Time) bool {
	since := at.Sub(known.ProblemsAt)
	if !signalbox.SameProblems(known.Problems, now) {
		return known.ProblemsAt.IsZero() || since >= problemsEvery
	}
	return len(now) > 0 && since >= detailsEvery && signalbox.ProblemText(known.Problems) != signalbox.ProblemText(now)
}

// troubled stores what an agent reports of its machine, if that is new. It changes nothing else about the agent.
func (h *Hub) troubled(ctx context.Context, p *presence, sent []agentapi.Problem) error {
	known, _ := p.rows()
	if len(sent) == 0 && len(known.Problems) == 0 {
		return nil
	}
	list := problems(sent)
	if !news(known, list, h.Now()) {
		return nil
	}
	err := h.Store.Write(ctx, func(tx *store.Tx) error {
		return tx.SetProblems(known, list, "agent:"+known.Name)
	})
	p.outdate()
	return err
}
