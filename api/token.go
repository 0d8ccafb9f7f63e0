package api

import (
	"net/http"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/people"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
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
	if in.ExpiresIn < 0 || in.ExpiresIn > int64(people.MaxTokenLife/time.Second) {
		return signalbox.Errorf(signalbox.CodeInvalid, "expires_in is a number of seconds up to %d, or 0 for never", int64(people.MaxTokenLife/time.Second))
	}
	t, plain, err := a.People.CreateToken(r.Context(), in.Name, time.Duration(in.ExpiresIn)*time.Second, route.ActorFrom(r.Context()))
	if err != nil {
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
	if err := a.People.RevokeToken(r.Context(), r.PathValue("token"), route.ActorFrom(r.Context())); err != nil {
		return err
	}
	return write(w, struct{}{})
}
