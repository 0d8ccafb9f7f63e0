package dispatch

import (
	"context"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
)

// lateReport keeps what an agent that was given up says of its job: evidence only, for whoever wonders whether the job was in
// truth done. It returns why the agent is refused all the same. read, if any, reads the request first, once it is known that
// it comes from an agent that was here.
func (h *Hub) lateReport(ctx context.Context, hash string, why error, read func() error, req *agentapi.SyncRequest) error {
	if signalbox.ErrorCode(why) != signalbox.CodeNotFound {
		return why
	}
	var ag *signalbox.Agent
	err := h.Store.Read(ctx, func(tx *store.Tx) (err error) {
		ag, err = tx.GoneAgentByToken(hash)
		return err
	})
	if err == nil && read != nil {
		err = read()
	}
	var v Verdict
	if err == nil {
		v, err = decideFinished(View{Agent: ag}, *req)
	}
	if err != nil || req.State != agentapi.StateFinishedJob || !signalbox.IsID(req.JobID) {
		return why
	}
	err = h.Store.Write(ctx, func(tx *store.Tx) error {
		a, err := reported(tx, ag, *req)
		if err != nil || a.State != signalbox.AttemptEnded {
			return err
		}
		return h.Engine.Finish(tx, a.ID, v.Result, "", "", "agent:"+ag.Name)
	})
	if err == nil || signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return why
	}
	return err
}
