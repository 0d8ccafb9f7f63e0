package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

type agentTypeBody struct {
	Metadata struct {
		Name       string `json:"name"`
		CreateTime int64  `json:"create_time"`
		UpdateTime int64  `json:"update_time"`
	} `json:"metadata"`
	Spec struct {
		AgentNameSettings struct {
			AssignmentOrigin string `json:"assignment_origin"`
			ReleaseAfter     int64  `json:"release_after"`
			AWS              *struct {
				AccountID        string `json:"account_id"`
				RoleNamePatterns string `json:"role_name_patterns"`
			} `json:"aws"`
		} `json:"agent_name_settings"`
	} `json:"spec"`
	Status struct {
		TotalAgentCount   int    `json:"total_agent_count"`
		RegistrationToken string `json:"registration_token,omitempty"`
	} `json:"status"`
}

func agentType(tx *store.Tx, t *signalbox.AgentType) (agentTypeBody, error) {
	var b agentTypeBody
	b.Metadata.Name, b.Metadata.CreateTime, b.Metadata.UpdateTime = t.Name, unix(t.CreatedAt), unix(t.UpdatedAt)
	b.Spec.AgentNameSettings.AssignmentOrigin = "assignment_origin_agent"
	b.Spec.AgentNameSettings.ReleaseAfter = int64(t.ReleaseAfter / time.Second)
	all, err := tx.Agents(t.ID)
	b.Status.TotalAgentCount = len(all)
	return b, err
}

func (a *API) listAgentTypes(w http.ResponseWriter, r *http.Request) error {
	out := []agentTypeBody{}
	if err := a.read(r, func(tx *store.Tx) error {
		all, err := tx.AgentTypes()
		if err != nil {
			return err
		}
		for _, t := range all {
			b, err := agentType(tx, t)
			if err != nil {
				return err
			}
			out = append(out, b)
		}
		return nil
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"agent_types": out})
}

// maxReleaseAfter bounds how long a name may be held, in seconds.
const maxReleaseAfter = 365 * 24 * 3600

// apply writes the settings of a request into an agent type.
func (in *agentTypeBody) apply(t *signalbox.AgentType) error {
	s := in.Spec.AgentNameSettings
	if s.ReleaseAfter != 0 && (s.ReleaseAfter < 60 || s.ReleaseAfter > maxReleaseAfter) {
		return signalbox.Errorf(signalbox.CodeInvalid, "name release hold must be 0 or at least 60 seconds (and at most %d), not %d", maxReleaseAfter, s.ReleaseAfter)
	}
	t.ReleaseAfter = time.Duration(s.ReleaseAfter) * time.Second
	if o := strings.ToLower(s.AssignmentOrigin); o != "" && o != "assignment_origin_agent" {
		return signalbox.Errorf(signalbox.CodeInvalid, "assignment_origin %.60q is not possible yet: agents choose their own names (assignment_origin_agent)", s.AssignmentOrigin)
	}
	if s.AWS != nil && (s.AWS.AccountID != "" || s.AWS.RoleNamePatterns != "") {
		return signalbox.Errorf(signalbox.CodeInvalid, "AWS settings only make sense with assignment_origin_aws_sts")
	}
	return nil
}

func (a *API) createAgentType(w http.ResponseWriter, r *http.Request) error {
	var in agentTypeBody
	if err := read(w, r, &in); err != nil {
		return err
	}
	t := &signalbox.AgentType{Name: strings.TrimSpace(in.Metadata.Name)}
	if err := signalbox.ValidateAgentTypeName(t.Name); err != nil {
		return err
	}
	if err := in.apply(t); err != nil {
		return err
	}
	token, hash := auth.NewToken(auth.TokenRegistration)
	var out agentTypeBody
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) (err error) {
		if err := tx.CreateAgentType(t, actor(r)); err != nil {
			return err
		}
		if err := tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: t.ID, Name: "first"}, hash, actor(r)); err != nil {
			return err
		}
		out, err = agentType(tx, t)
		return err
	}); err != nil {
		return err
	}
	out.Status.RegistrationToken = token
	return write(w, out)
}

func (a *API) showAgentType(w http.ResponseWriter, r *http.Request) error {
	var out agentTypeBody
	if err := a.read(r, func(tx *store.Tx) error {
		t, err := tx.AgentType(r.PathValue("type"))
		if err != nil {
			return err
		}
		out, err = agentType(tx, t)
		return err
	}); err != nil {
		return err
	}
	return write(w, out)
}

// updateAgentType replaces the settings of an agent type.
func (a *API) updateAgentType(w http.ResponseWriter, r *http.Request) error {
	var in, out agentTypeBody
	if err := read(w, r, &in); err != nil {
		return err
	}
	name := r.PathValue("type")
	if n := strings.TrimSpace(in.Metadata.Name); n != "" && n != name {
		return signalbox.Errorf(signalbox.CodeInvalid, "an agent type cannot be renamed: the path says %.100s, metadata.name says %.100s", name, n)
	}
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		t, err := tx.AgentType(name)
		if err != nil {
			return err
		}
		if err := in.apply(t); err != nil {
			return err
		}
		if err := tx.UpdateAgentType(t, actor(r)); err != nil {
			return err
		}
		out, err = agentType(tx, t)
		return err
	}); err != nil {
		return err
	}
	return write(w, out)
}

func (a *API) deleteAgentType(w http.ResponseWriter, r *http.Request) error {
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		t, err := tx.AgentType(r.PathValue("type"))
		if err != nil {
			return err
		}
		all, err := tx.Agents(t.ID)
		if err != nil {
			return err
		}
		if len(all) > 0 {
			return signalbox.Errorf(signalbox.CodeInvalid, "can't delete agent type with existing agents: %d are registered", len(all))
		}
		return tx.DeleteAgentType(t.ID, actor(r))
	}); err != nil {
		return err
	}
	return write(w, struct{}{})
}

// resetToken makes a new registration token; the old ones end at once. Agents that are registered go on.
func (a *API) resetToken(w http.ResponseWriter, r *http.Request) error {
	token, hash := auth.NewToken(auth.TokenRegistration)
	var out agentTypeBody
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		t, err := tx.AgentType(r.PathValue("type"))
		if err != nil {
			return err
		}
		rt := &signalbox.RegistrationToken{AgentTypeID: t.ID, Name: "reset"}
		if err := tx.CreateRegistrationToken(rt, hash, actor(r)); err != nil {
			return err
		}
		if err := tx.RevokeRegistrationTokens(t.ID, rt.ID, actor(r)); err != nil {
			return err
		}
		out, err = agentType(tx, t)
		return err
	}); err != nil {
		return err
	}
	out.Status.RegistrationToken = token
	return write(w, out)
}

func agentBody(g *signalbox.Agent) map[string]any {
	m := map[string]any{
		"disabled_at": unix(g.DisabledAt), "name": g.Name, "type": g.AgentType, "connected_at": unix(g.CreatedAt), "version": g.Version, "os": g.OS, "arch": g.Arch,
		"hostname": g.Hostname, "ip_address": g.IP, "pid": g.PID,
	}
	state := "waiting_for_job"
	if g.AttemptID != "" {
		state = "running_job"
	}
	return map[string]any{"metadata": m, "status": map[string]any{"state": state, "job_id": g.JobID}}
}

// maxAgents is the page size of the agent list.
const maxAgents = 200

// listAgents lists agents by name. The cursor is the name after which the next page begins.
func (a *API) listAgents(w http.ResponseWriter, r *http.Request) error {
	size := maxAgents
	if v := r.URL.Query().Get("page_size"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxAgents {
			return signalbox.Errorf(signalbox.CodeInvalid, "page_size must be a number from 1 to %d, not %.40q", maxAgents, v)
		}
		size = n
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
			out = append(out, agentBody(g))
		}
		return err
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"agents": out, "cursor": cursor})
}

func (a *API) showAgent(w http.ResponseWriter, r *http.Request) error {
	var g *signalbox.Agent
	if err := a.read(r, func(tx *store.Tx) (err error) { g, err = tx.AgentByName(r.PathValue("agent")); return err }); err != nil {
		return err
	}
	return write(w, agentBody(g))
}
