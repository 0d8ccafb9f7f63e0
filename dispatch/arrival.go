package dispatch

import (
	"context"
	"errors"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
)

// arrival is an agent that registers. Those that come at the same moment are stored together, with as many statements as one takes.
type arrival struct {
	who   Registrant
	req   agentapi.RegisterRequest
	named func(signalbox.AgentNaming) (string, error)
	hash  string // of its access token

	agent *signalbox.Agent // what was stored
	alone bool             // it is no plain new agent: decide about it in a transaction of its own
}

// arrive stores an agent, durably, or says why not.
func (h *Hub) arrive(ctx context.Context, a *arrival) error {
	err := h.arrivals.do(ctx, a)
	if err == nil && a.alone {
		return h.registerAlone(ctx, a)
	}
	return err
}

// registerAll stores those of a group that are plain new agents, and answers all.
func (h *Hub) registerAll(ctx context.Context, group []*arrival, errs []error) error {
	return h.Store.Write(ctx, func(tx *store.Tx) error { return h.storeArrivals(tx, group, errs) })
}

// storeArrivals fills errs with the refusals.
func (h *Hub) storeArrivals(tx *store.Tx, group []*arrival, errs []error) error {
	type way struct{ tokenHash, ip string }
	type answer struct {
		admission
		err error
	}
	known := map[way]answer{}
	admissions := make([]admission, len(group))
	names := map[string]bool{}
	for i, a := range group {
		errs[i], a.agent, a.alone = nil, nil, false
		w := way{a.who.TokenHash, a.who.IP}
		ans, ok := known[w]
		if !ok {
			ans.admission, ans.err = admit(tx, a.who, true)
			if ans.err != nil && !isRefusal(ans.err) {
				return ans.err
			}
			known[w] = ans
		}
		if errs[i] = ans.err; ans.err != nil {
			continue
		}
		var name string
		if name, errs[i] = a.named(ans.typ.Naming); errs[i] != nil {
			continue
		}
		if names[name] || ans.token.OneTime || a.req.JobID != "" {
			a.alone = true
			continue
		}
		names[name], admissions[i] = true, ans.admission
		a.agent = newAgent(ans.admission, a, name, tx.Now)
	}
	used := map[string]error{}
	var agents []*signalbox.Agent
	var hashes []string
	for i, a := range group {
		if a.agent == nil {
			continue
		}
		t := admissions[i].token
		err, ok := used[t.ID]
		if !ok {
			if err = h.use(tx, t, a.agent); err != nil && !isRefusal(err) {
				return err
			}
			used[t.ID] = err
		}
		if errs[i] = err; err != nil {
			a.agent = nil
			continue
		}
		agents, hashes = append(agents, a.agent), append(hashes, a.hash)
	}
	created, err := tx.CreateAgents(agents, hashes)
	for _, a := range group {
		if a.agent != nil && !created[a.agent.Name] {
			a.alone = true // the name is in use
		}
	}
	return err
}

func isRefusal(err error) bool {
	var why *refusal
	return errors.As(err, &why)
}
