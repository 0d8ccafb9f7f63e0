package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

func (a *API) agentBody(g *signalbox.Agent, seen, now time.Time) map[string]any {
	labels := g.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	m := map[string]any{
		"disabled_at": unix(g.DisabledAt), "name": g.Name, "type": g.AgentType, "connected_at": unix(g.CreatedAt), "version": g.Version, "os": g.OS, "arch": g.Arch,
		"hostname": g.Hostname, "ip_address": g.IP, "pid": g.PID, "labels": labels, "drained_at": unix(g.DrainAt), "interrupted_at": unix(g.InterruptedAt),
		"last_seen_at": unix(seen), "user_agent": g.UserAgent, "single_job": g.SingleJob, "idle_timeout": int64(g.IdleTimeout / time.Second),
		"interruption_grace_period": int64(g.GracePeriod / time.Second),
	}
	if g.Quarantine != nil {
		m["quarantine"] = g.Quarantine
	}
	m["quarantined_at"] = unix(g.QuarantinedAt)
	m["problems"] = append([]signalbox.Problem{}, g.Problems...)
	state := "waiting_for_job"
	if g.AttemptID != "" {
		state = "running_job"
	}
	return map[string]any{"metadata": m, "status": map[string]any{
		"state": state, "job_id": g.JobID, "connected": g.State == signalbox.AgentRegistered,
		"suspect": g.Suspect(seen, a.Started, now),
	}}
}

// maxAgents is the page size of the agent list.
const maxAgents = 200

// listAgents lists agents by name. The cursor is the name after which the next page begins.
func (a *API) listAgents(w http.ResponseWriter, r *http.Request) error {
	size, err := pageSize(r, maxAgents)
	if err != nil {
		return err
	}
	after, cursor := r.URL.Query().Get("cursor"), ""
	out := []map[string]any{}
	if err := a.read(r, func(tx *store.Tx) error {
		typeID := ""
		if name := r.URL.Query().Get("agent_type"); name != "" {
			t, err := tx.AgentType(name)
			if err != nil {
				return err
			}
			typeID = t.ID
		}
		seen, err := tx.LastSeen()
		if err != nil {
			return err
		}
		all, err := tx.Agents(typeID)
		slices.SortFunc(all, func(a, b *signalbox.Agent) int { return strings.Compare(a.Name, b.Name) }) // databases order names in their own ways
		for _, g := range all {
			if g.Name <= after {
				continue
			}
			if len(out) == size {
				cursor = out[size-1]["metadata"].(map[string]any)["name"].(string)
				break
			}
			out = append(out, a.agentBody(g, seen[g.ID].At, tx.Now))
		}
		return err
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"agents": out, "cursor": cursor})
}

func (a *API) showAgent(w http.ResponseWriter, r *http.Request) error {
	var body map[string]any
	if err := a.read(r, func(tx *store.Tx) error {
		g, err := tx.AgentByName(r.PathValue("agent"))
		if err != nil {
			return err
		}
		seen, err := tx.SeenOf(g.ID)
		body = a.agentBody(g, seen.At, tx.Now)
		return err
	}); err != nil {
		return err
	}
	return write(w, body)
}

// changeAgents does something to agents: those that are named, or all of a type.
func (a *API) changeAgents(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Action    string   `json:"action"`
		Names     []string `json:"names"`
		AgentType string   `json:"agent_type"`
		OnlyIdle  bool     `json:"only_idle"`
		Force     bool     `json:"force"`
		HostGone  bool     `json:"host_gone"`
	}
	if err := read(w, r, &in); err != nil {
		return err
	}
	action, err := fleet.ParseAction(in.Action)
	if err != nil {
		return err
	}
	if (in.Force || in.HostGone) && action != fleet.Delete {
		return signalbox.Errorf(signalbox.CodeInvalid, "force and host_gone are for delete only, not for %s", action)
	}
	switch {
	case in.HostGone:
		action = fleet.Gone
	case in.Force:
		action = fleet.Force
	}
	out, err := a.Fleet.ChangeAgents(r.Context(), fleet.Selection{Names: in.Names, AgentType: in.AgentType, OnlyIdle: in.OnlyIdle}, action, actor(r))
	if err != nil {
		return err
	}
	rows := []map[string]any{}
	for _, o := range out {
		rows = append(rows, map[string]any{"name": o.Name, "done": o.Why == "", "error": o.Why})
	}
	return write(w, map[string]any{"agents": rows})
}

// disableAgents is what existing clients call to send the agents of a type away.
func (a *API) disableAgents(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		OnlyIdle json.RawMessage `json:"only_idle"`
	}
	if err := read(w, r, &in); err != nil {
		return err
	}
	onlyIdle, err := booleanJSON(in.OnlyIdle, "only_idle", true)
	if err != nil {
		return err
	}
	if _, err := a.Fleet.ChangeAgents(r.Context(), fleet.Selection{AgentType: r.PathValue("type"), OnlyIdle: onlyIdle}, fleet.Disable, actor(r)); err != nil {
		return err
	}
	return write(w, struct{}{})
}

// fleetRoutes are those of agent types, their tokens and agents.
func (a *API) fleetRoutes(r func(string, auth.Permission, route.Handler) route.Route) []route.Route {
	const v = "/api/v1alpha"
	const types = v + "/self_hosted_agent_types"
	return []route.Route{
		r("GET "+types, auth.AgentView, a.listAgentTypes),
		r("POST "+types, auth.AgentTypeManage, a.createAgentType),
		r("GET "+types+"/{type}", auth.AgentView, a.showAgentType),
		r("GET "+types+"/{type}/usage", auth.AgentView, a.showUsage),
		r("DELETE "+types+"/{type}", auth.AgentTypeManage, a.deleteAgentType),
		r("PATCH "+types+"/{type}", auth.AgentTypeManage, a.updateAgentType),
		r("POST "+types+"/{type}/reset_token", auth.AgentTypeManage, a.resetToken),
		r("POST "+types+"/{type}/disable_all", auth.AgentTypeManage, a.disableAgents),
		r("GET "+types+"/{type}/tokens", auth.AgentTypeManage, a.listRegistrationTokens),
		r("POST "+types+"/{type}/tokens", auth.AgentTypeManage, a.createRegistrationToken),
		r("POST "+types+"/{type}/tokens/{token}/rotate", auth.AgentTypeManage, a.rotateRegistrationToken),
		r("DELETE "+types+"/{type}/tokens/{token}", auth.AgentTypeManage, a.revokeRegistrationToken),
		r("GET "+v+"/agents", auth.AgentView, a.listAgents),
		r("POST "+v+"/agents", auth.AgentTypeManage, a.changeAgents),
		r("GET "+v+"/agents/{agent...}", auth.AgentView, a.showAgent),
		r("GET "+v+"/rejected_registrations", auth.AgentTypeManage, a.listRefused),
	}
}
