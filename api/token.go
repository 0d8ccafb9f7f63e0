package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// Bounds for API tokens; times are Unix seconds.
const (
	maxTokenName = 100
	maxTokenLife = 10 * 365 * 24 * time.Hour
)

func tokenBody(t *signalbox.APIToken) map[string]any {
	return map[string]any{
		"id": t.ID, "name": t.Name, "create_time": unixText(t.CreatedAt), "expire_time": unixText(t.ExpiresAt),
		"last_used_time": unixText(t.LastUsedAt), "revoke_time": unixText(t.RevokedAt),
	}
}

// createToken makes an API token for the caller. Its text is in this answer and nowhere else.
func (a *API) createToken(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Name      string `json:"name"`
		ExpiresIn int64  `json:"expires_in"` // seconds, 0 is never
	}
	if err := read(w, r, &in); err != nil {
		return err
	}
	in.Name = strings.TrimSpace(in.Name)
	switch {
	case in.Name == "" || len(in.Name) > maxTokenName:
		return signalbox.Errorf(signalbox.CodeInvalid, "an API token needs a name of 1 to %d characters that says what it is for", maxTokenName)
	case in.ExpiresIn < 0 || in.ExpiresIn > int64(maxTokenLife/time.Second):
		return signalbox.Errorf(signalbox.CodeInvalid, "expires_in is a number of seconds up to %d, or 0 for never", int64(maxTokenLife/time.Second))
	}
	t := &signalbox.APIToken{UserID: route.ActorFrom(r.Context()).User.ID, Name: in.Name}
	plain, hash := auth.NewToken(auth.TokenAPI)
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		if in.ExpiresIn > 0 {
			t.ExpiresAt = tx.Now.Add(time.Duration(in.ExpiresIn) * time.Second)
		}
		return tx.CreateAPIToken(t, hash, actor(r))
	}); err != nil {
		return err
	}
	out := tokenBody(t)
	out["token"] = plain
	return write(w, out)
}

func (a *API) listTokens(w http.ResponseWriter, r *http.Request) error {
	out := []map[string]any{}
	if err := a.read(r, func(tx *store.Tx) error {
		all, err := tx.APITokens(route.ActorFrom(r.Context()).User.ID)
		for _, t := range all {
			if t.RevokedAt.IsZero() {
				out = append(out, tokenBody(t))
			}
		}
		return err
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"tokens": out})
}

// revokeToken ends one of the caller's tokens at once, named by its id or its name. Tokens of others are as if they did
// not exist.
func (a *API) revokeToken(w http.ResponseWriter, r *http.Request) error {
	which := r.PathValue("token")
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		all, err := tx.APITokens(route.ActorFrom(r.Context()).User.ID)
		if err != nil {
			return err
		}
		var found []*signalbox.APIToken
		for _, t := range all {
			if t.RevokedAt.IsZero() && (t.ID == which || t.Name == which) {
				found = append(found, t)
			}
		}
		switch len(found) {
		case 0:
			return signalbox.Errorf(signalbox.CodeNotFound, "you have no API token %.100s", which)
		case 1:
			return tx.RevokeAPIToken(found[0].ID, actor(r))
		}
		return signalbox.Errorf(signalbox.CodeInvalid, "you have %d API tokens named %.100s; name one by its id", len(found), which)
	}); err != nil {
		return err
	}
	return write(w, struct{}{})
}
