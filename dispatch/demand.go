package dispatch

import (
	"context"
	"crypto/tls"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/queue"
	"github.com/signalbox-ci/signalbox/store"
)

// SeenSince returns since when an agent must have been heard of, or it counts as silent.
func (h *Hub) SeenSince() time.Time { return queue.SeenSince(h.Now(), h.started) }

// asScaler reads something about the agent type that a request's registration token belongs to. A token that was for one
// agent counts until it is used up, and one with networks only there.
func (h *Hub) asScaler(r *http.Request, fn func(*store.Tx, *signalbox.AgentType) error) error {
	hash, err := token(r)
	if err != nil {
		return err
	}
	return h.Store.Read(r.Context(), func(tx *store.Tx) error {
		a, err := admit(tx, Registrant{TokenHash: hash, IP: h.ClientIP(r)}, false)
		if err != nil {
			return err
		}
		return fn(tx, a.typ)
	})
}

// demand answers what autoscalers ask. A job that was offered and not fetched still counts as queued for them.
func (h *Hub) demand(r *http.Request) (m agentapi.MetricsResponse, err error) {
	err = h.asScaler(r, func(tx *store.Tx, typ *signalbox.AgentType) error {
		d, err := queue.ReadDemand(tx, typ, h.SeenSince())
		m = agentapi.MetricsResponse{
			Jobs:          agentapi.JobMetrics{Queued: d.Queued + d.Offered, Running: d.Running},
			Agents:        agentapi.AgentMetrics{Idle: d.Agents.Free, Occupied: d.Occupied},
			DesiredAgents: d.Desired,
		}
		return err
	})
	return m, err
}

func (h *Hub) serveMetrics(w http.ResponseWriter, r *http.Request) error {
	m, err := h.demand(r)
	if err != nil {
		return err
	}
	return replyJSON(w, http.StatusOK, m)
}

func (h *Hub) serveOccupancy(w http.ResponseWriter, r *http.Request) error {
	m, err := h.demand(r)
	if err != nil {
		return err
	}
	return replyJSON(w, http.StatusOK, m.Jobs)
}

// maxListed is how many queued jobs GET /jobs lists at once.
const maxListed = 500

// serveJobs lists the jobs that an agent could be started for. Its errors are JSON, unlike those of the other agent
// routes: the official controller for Kubernetes looks at no status, and takes anything else for a broken server.
func (h *Hub) serveJobs(w http.ResponseWriter, r *http.Request) error {
	if r.TLS != nil && r.TLS.Version < tls.VersionTLS13 {
		return replyJSON(w, http.StatusUpgradeRequired, map[string]string{"message": "agents need TLS 1.3"})
	}
	out := agentapi.JobList{Jobs: []agentapi.JobRef{}}
	after, err := parsePlace(r.URL.Query().Get("cursor"))
	if err != nil {
		return replyJSON(w, http.StatusUnprocessableEntity, map[string]string{"message": err.Error()})
	}
	if err := h.asScaler(r, func(tx *store.Tx, typ *signalbox.AgentType) error {
		out.Jobs, out.Cursor = out.Jobs[:0], ""
		refs, err := tx.QueuedRefs(typ.Name, after, maxListed+1)
		for i, ref := range refs {
			if i == maxListed {
				out.Cursor = placeText(refs[i-1])
				break
			}
			out.Jobs = append(out.Jobs, agentapi.JobRef{ID: ref.ID})
		}
		return err
	}); err != nil {
		return err
	}
	return replyJSON(w, http.StatusOK, out)
}

// placeText is a place in the list of queued jobs, as a cursor.
func placeText(r *store.QueuedRef) string {
	return strconv.FormatInt(r.QueuedAt.UnixMilli(), 10) + "." + r.ID
}

// parsePlace reads a cursor; "" is the beginning.
func parsePlace(text string) (p store.QueuedRef, err error) {
	if text == "" {
		return p, nil
	}
	at, id, _ := strings.Cut(text, ".")
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil || !signalbox.IsID(id) {
		return p, signalbox.Errorf(signalbox.CodeInvalid, "cursor %.60q is not one that this server gave: begin without one", text)
	}
	return store.QueuedRef{ID: id, QueuedAt: time.UnixMilli(ms)}, nil
}

// Demands reads the demand of every agent type.
func (h *Hub) Demands(ctx context.Context) (all []queue.Demand, err error) {
	err = h.Store.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = queue.ReadDemands(tx, h.SeenSince())
		return err
	})
	return all, err
}
