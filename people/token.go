package people

import (
	"context"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// Bounds of API tokens.
const (
	MaxTokenName = 100
	MaxTokenLife = 10 * 365 * 24 * time.Hour
)

// CreateToken makes an API token for somebody; a life of 0 is for ever. The text is returned here and nowhere else.
func (p *People) CreateToken(ctx context.Context, name string, life time.Duration, by route.Actor) (*signalbox.APIToken, string, error) {
	name = strings.TrimSpace(name)
	switch {
	case name == "" || len(name) > MaxTokenName:
		return nil, "", signalbox.Errorf(signalbox.CodeInvalid, "an API token needs a name of 1 to %d characters that says what it is for", MaxTokenName)
	case life < 0 || life > MaxTokenLife:
		return nil, "", signalbox.Errorf(signalbox.CodeInvalid, "an API token lives for at most %d days, or for ever", int(MaxTokenLife/(24*time.Hour)))
	}
	t := &signalbox.APIToken{UserID: by.User.ID, Name: name}
	plain, hash := auth.NewToken(auth.TokenAPI)
	return t, plain, p.o.Store.Write(ctx, func(tx *store.Tx) error {
		if life > 0 {
			t.ExpiresAt = tx.Now.Add(life)
		}
		return tx.CreateAPIToken(t, hash, by.Name())
	})
}

// RevokeToken ends one of somebody's tokens at once, named by its id or its name. Tokens of others are as if they did not exist.
func (p *People) RevokeToken(ctx context.Context, which string, by route.Actor) error {
	return p.o.Store.Write(ctx, func(tx *store.Tx) error {
		all, err := tx.APITokens(by.User.ID)
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
			return tx.RevokeAPIToken(found[0].ID, by.Name())
		}
		return signalbox.Errorf(signalbox.CodeInvalid, "you have %d API tokens named %.100s; name one by its id", len(found), which)
	})
}
