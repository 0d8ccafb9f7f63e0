package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

type registrationTokenBody struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Token      string   `json:"registration_token,omitempty"` // when it is made
	Networks   []string `json:"networks"`
	OneTime    bool     `json:"one_time"`
	State      string   `json:"state"` // live, expired, revoked, used
	CreatedBy  string   `json:"created_by"`
	CreatedAt  int64    `json:"created_at"`
	ExpiresAt  int64    `json:"expires_at"` // 0 is never
	RevokedAt  int64    `json:"revoked_at"`
	LastUsedAt int64    `json:"last_used_at"`
	LastUsedIP string   `json:"last_used_ip"`
	LastUsedBy string   `json:"last_used_by"` // an agent
}

func registrationToken(r *signalbox.RegistrationToken, now time.Time, text string) registrationTokenBody {
	b := registrationTokenBody{
		ID: r.ID, Name: r.Name, Token: text, Networks: []string{}, OneTime: r.OneTime, State: r.State(now), CreatedBy: r.CreatedBy, CreatedAt: unix(r.CreatedAt),
		ExpiresAt: unix(r.ExpiresAt), RevokedAt: unix(r.RevokedAt), LastUsedAt: unix(r.LastUsedAt), LastUsedIP: r.LastUsedIP, LastUsedBy: r.LastUsedBy,
	}
	for _, n := range r.Networks {
		b.Networks = append(b.Networks, n.String())
	}
	return b
}

// pageSize reads a page_size of at most limit.
func pageSize(r *http.Request, limit int) (int, error) {
	v := r.URL.Query().Get("page_size")
	if v == "" {
		return limit, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > limit {
		return 0, signalbox.Errorf(signalbox.CodeInvalid, "page_size must be a number from 1 to %d, not %.40q", limit, v)
	}
	return n, nil
}

// listRegistrationTokens lists a type's tokens, oldest first. The cursor is the id after which the next page begins.
func (a *API) listRegistrationTokens(w http.ResponseWriter, r *http.Request) error {
	size, err := pageSize(r, maxAgents)
	if err != nil {
		return err
	}
	all, err := boolean(r.URL.Query().Get("all"), "all", false)
	if err != nil {
		return err
	}
	after := r.URL.Query().Get("cursor")
	if after != "" && !signalbox.IsID(after) {
		return signalbox.Errorf(signalbox.CodeInvalid, "cursor %.60q is not one that an answer had", after)
	}
	out, cursor := []registrationTokenBody{}, ""
	if err := a.read(r, func(tx *store.Tx) error {
		t, err := tx.AgentType(r.PathValue("type"))
		if err != nil {
			return err
		}
		rows, err := tx.RegistrationTokens(t.ID, after, all, size+1)
		for i, row := range rows {
			if i == size {
				cursor = rows[i-1].ID
				break
			}
			out = append(out, registrationToken(row, tx.Now, ""))
		}
		return err
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"registration_tokens": out, "cursor": cursor})
}

func (a *API) createRegistrationToken(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Name      string   `json:"name"`
		ExpiresIn int64    `json:"expires_in"`
		Networks  []string `json:"networks"`
		OneTime   bool     `json:"one_time"`
	}
	if err := read(w, r, &in); err != nil {
		return err
	}
	networks, err := signalbox.ParseNetworks(in.Networks)
	if err != nil {
		return err
	}
	life, err := secondsOf("expires_in", in.ExpiresIn)
	if err != nil {
		return err
	}
	t := &signalbox.RegistrationToken{Name: in.Name, Networks: networks, OneTime: in.OneTime}
	text, err := a.Fleet.CreateToken(r.Context(), r.PathValue("type"), t, life, actor(r))
	if err != nil {
		return err
	}
	return write(w, registrationToken(t, t.CreatedAt, text))
}

func (a *API) rotateRegistrationToken(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Overlap int64 `json:"overlap"`
	}
	if err := read(w, r, &in); err != nil {
		return err
	}
	overlap, err := secondsOf("overlap", in.Overlap)
	if err != nil {
		return err
	}
	t, text, err := a.Fleet.RotateToken(r.Context(), r.PathValue("type"), r.PathValue("token"), overlap, actor(r))
	if err != nil {
		return err
	}
	return write(w, registrationToken(t, t.CreatedAt, text))
}

func (a *API) revokeRegistrationToken(w http.ResponseWriter, r *http.Request) error {
	if err := a.Fleet.RevokeToken(r.Context(), r.PathValue("type"), r.PathValue("token"), actor(r)); err != nil {
		return err
	}
	return write(w, struct{}{})
}

// resetToken makes one new registration token of a type; all others end, at once or after an overlap.
func (a *API) resetToken(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Disconnect json.RawMessage `json:"disconnect_running_agents"`
		Overlap    int64           `json:"overlap"`
	}
	if err := read(w, r, &in); err != nil {
		return err
	}
	disconnect, err := booleanJSON(in.Disconnect, "disconnect_running_agents", false)
	if err != nil {
		return err
	}
	overlap, err := secondsOf("overlap", in.Overlap)
	if err != nil {
		return err
	}
	name := r.PathValue("type")
	token, err := a.Fleet.ResetTokens(r.Context(), name, overlap, disconnect, actor(r))
	if err != nil {
		return err
	}
	return a.writeAgentType(w, r, name, token)
}

// listRefused lists the registrations that were turned away, newest first.
func (a *API) listRefused(w http.ResponseWriter, r *http.Request) error {
	size, err := pageSize(r, maxAgents)
	if err != nil {
		return err
	}
	out := []map[string]any{}
	if err := a.read(r, func(tx *store.Tx) error {
		id := "*"
		if name := r.URL.Query().Get("agent_type"); name != "" {
			t, err := tx.AgentType(name)
			if err != nil {
				return err
			}
			id = t.ID
		}
		rows, err := tx.Refused(id, size)
		for _, f := range rows {
			out = append(out, map[string]any{
				"agent_type": f.AgentType, "reason": f.Reason, "detail": f.Detail, "name": f.Name, "ip_address": f.IP, "hostname": f.Host,
				"token_hash_prefix": f.Token, "count": f.Count, "first_at": unix(f.FirstAt), "last_at": unix(f.LastAt),
			})
		}
		return err
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"rejected_registrations": out})
}
