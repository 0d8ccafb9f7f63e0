package fleet

import (
	"context"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// MaxOverlap bounds how long an old token may go on beside its successor.
const MaxOverlap = 90 * 24 * time.Hour

func checkOverlap(d time.Duration) error {
	if d < 0 || d > MaxOverlap {
		return signalbox.Errorf(signalbox.CodeInvalid, "the old token can go on for up to %d seconds (90 days) beside the new one, or 0 for not at all; not %d",
			MaxOverlap/time.Second, d/time.Second)
	}
	return nil
}

// CreateToken makes one more registration token of a type, for as long as life or, with 0, for ever. Its text is returned and kept nowhere.
func (f *Fleet) CreateToken(ctx context.Context, typeName string, r *signalbox.RegistrationToken, life time.Duration, actor string) (token string, err error) {
	token, hash := auth.NewToken(auth.TokenRegistration)
	return token, f.o.Store.Write(ctx, func(tx *store.Tx) error {
		if life > 0 {
			r.ExpiresAt = tx.Now.Add(life)
		}
		if err := r.Validate(tx.Now); err != nil {
			return err
		}
		t, err := tx.LockAgentType(typeName)
		if err != nil {
			return err
		}
		same, err := tx.FindRegistrationTokens(t.ID, r.Name)
		if err != nil {
			return err
		}
		for _, s := range same {
			if s.Live(tx.Now) {
				return signalbox.Errorf(signalbox.CodeConflict, "the agent type %s has a token named %q already: choose another name, or rotate or revoke that one", typeName, r.Name)
			}
		}
		r.AgentTypeID = t.ID
		return tx.CreateRegistrationToken(r, hash, actor)
	})
}

// findToken returns the one token of a type that an id or a name means.
func findToken(tx *store.Tx, typeName, idOrName string) (*signalbox.RegistrationToken, error) {
	t, err := tx.LockAgentType(typeName)
	if err != nil {
		return nil, err
	}
	found, err := tx.FindRegistrationTokens(t.ID, idOrName)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "the agent type %s has no registration token %.100q that has not ended", typeName, idOrName)
	case len(found) > 1:
		return nil, signalbox.Errorf(signalbox.CodeConflict, "the agent type %s has %d tokens named %q; give the id of the one that is meant", typeName, len(found), idOrName)
	}
	return found[0], nil
}

// RotateToken makes a token like another one, which goes on for overlap. What was limited stays limited in the same way; a
// token that was to end after some time gets as much time again.
func (f *Fleet) RotateToken(ctx context.Context, typeName, idOrName string, overlap time.Duration, actor string) (r *signalbox.RegistrationToken, token string, err error) {
	if err := checkOverlap(overlap); err != nil {
		return nil, "", err
	}
	token, hash := auth.NewToken(auth.TokenRegistration)
	err = f.o.Store.Write(ctx, func(tx *store.Tx) error {
		old, err := findToken(tx, typeName, idOrName)
		if err != nil {
			return err
		}
		if old.OneTime {
			return signalbox.Errorf(signalbox.CodeInvalid, "the token %s is for one agent: make another one instead of rotating it", old.Name)
		}
		r = &signalbox.RegistrationToken{AgentTypeID: old.AgentTypeID, Name: old.Name, Networks: old.Networks}
		if !old.ExpiresAt.IsZero() {
			r.ExpiresAt = tx.Now.Add(old.ExpiresAt.Sub(old.CreatedAt))
		}
		if err := tx.CreateRegistrationToken(r, hash, actor); err != nil {
			return err
		}
		return tx.ExpireRegistrationToken(old, tx.Now.Add(overlap), actor)
	})
	return r, token, err
}

// RevokeToken ends a token now. Agents that registered with it go on.
func (f *Fleet) RevokeToken(ctx context.Context, typeName, idOrName, actor string) error {
	return f.o.Store.Write(ctx, func(tx *store.Tx) error {
		r, err := findToken(tx, typeName, idOrName)
		if err != nil {
			return err
		}
		return tx.ExpireRegistrationToken(r, tx.Now, actor)
	})
}

// ResetTokens makes one new token of a type; all others end after overlap. With disconnect, every agent that is connected
// stops its job and leaves.
func (f *Fleet) ResetTokens(ctx context.Context, typeName string, overlap time.Duration, disconnect bool, actor string) (token string, err error) {
	if err := checkOverlap(overlap); err != nil {
		return "", err
	}
	token, hash := auth.NewToken(auth.TokenRegistration)
	if err := f.o.Store.Write(ctx, func(tx *store.Tx) error {
		t, err := tx.LockAgentType(typeName)
		if err != nil {
			return err
		}
		r := &signalbox.RegistrationToken{AgentTypeID: t.ID, Name: "reset"}
		if err := tx.CreateRegistrationToken(r, hash, actor); err != nil {
			return err
		}
		return tx.ExpireRegistrationTokens(t.ID, r.ID, tx.Now.Add(overlap), actor)
	}); err != nil {
		return "", err
	}
	if !disconnect {
		return token, nil
	}
	// After the tokens: whoever registers now does so with the new one.
	_, err = f.ChangeAgents(ctx, Selection{AgentType: typeName}, Disable, actor)
	return token, err
}
