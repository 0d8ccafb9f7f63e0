package secret

import (
	"context"
	"fmt"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Rekeyed counts what was sealed anew.
type Rekeyed struct {
	Versions int `json:"secret_versions"`
	Logs     int `json:"logs"`
	Others   int `json:"others"`
}

func (r Rekeyed) sum() int { return r.Versions + r.Logs + r.Others }

// Prepare adds a new master key that is not used yet, so that it can be copied to other servers first.
func (x *Secrets) Prepare() error { return x.Keys.Prepare() }

// Rekey makes a new master key the one that seals, the newest one if Prepare has added one, and seals everything anew that
// another key sealed. It may run while the server works, and again after it was interrupted.
func (x *Secrets) Rekey(ctx context.Context) (Rekeyed, error) {
	var all Rekeyed
	if len(x.Keys.Keys()) == 1 {
		if err := x.Keys.Prepare(); err != nil {
			return all, err
		}
	}
	if err := x.Keys.Advance(); err != nil {
		return all, err
	}
	// What was sealed with the old key while we looked is found by looking again.
	for {
		n, err := x.reseal(ctx, false)
		all.Versions, all.Logs, all.Others = all.Versions+n.Versions, all.Logs+n.Logs, all.Others+n.Others
		if err != nil || n.sum() == 0 {
			return all, err
		}
	}
}

// Forget drops the older master keys. As long as anything is sealed with one of them it refuses.
func (x *Secrets) Forget(ctx context.Context) error {
	if len(x.Keys.Keys()) == 1 {
		return signalbox.Errorf(signalbox.CodeInvalid, "there is only one master key; \"signalbox admin rekey\" makes a new one first")
	}
	n, err := x.reseal(ctx, true)
	if err != nil {
		return err
	}
	if n.sum() > 0 {
		return signalbox.Errorf(signalbox.CodeConflict,
			"an older master key is still needed for %d versions of secrets, %d logs and %d other things; run \"signalbox admin rekey\" again", n.Versions, n.Logs, n.Others)
	}
	return x.Keys.Forget()
}

// resealPage bounds one transaction.
const resealPage = 200

// reseal seals what is stale anew, or only counts it.
func (x *Secrets) reseal(ctx context.Context, count bool) (n Rekeyed, err error) {
	if n.Versions, err = x.resealVersions(ctx, count); err != nil {
		return n, fmt.Errorf("seal the secrets anew: %w", err)
	}
	if n.Logs, err = x.resealLogs(ctx, count); err != nil {
		return n, fmt.Errorf("seal the keys of logs anew: %w", err)
	}
	if n.Others, err = x.resealOthers(ctx, count); err != nil {
		return n, fmt.Errorf("seal the server's own keys anew: %w", err)
	}
	return n, nil
}

func (x *Secrets) resealVersions(ctx context.Context, count bool) (n int, err error) {
	var last signalbox.SecretVersion
	for {
		var page []*signalbox.SecretVersion
		scopes := map[string]string{}
		if err := x.Store.Read(ctx, func(tx *store.Tx) error {
			if page, err = tx.SecretVersions(last, resealPage); err != nil {
				return err
			}
			for _, v := range page {
				s, err := tx.Secret(v.SecretID)
				if err != nil {
					return err
				}
				scopes[v.SecretID] = scopeOf(s)
			}
			return nil
		}); err != nil || len(page) == 0 {
			return n, err
		}
		last = *page[len(page)-1]
		for _, v := range page {
			if !x.Keys.Stale(v.Key) {
				continue
			}
			n++
			if count {
				continue
			}
			from := v.Key
			if v.Key, err = x.Keys.ResealEnvelope(from, place(scopes[v.SecretID], v.SecretID, v.Version)); err != nil {
				return n, err
			}
			// A version that was removed or sealed anew meanwhile needs nothing any more.
			if err := x.Store.Write(ctx, func(tx *store.Tx) error { return tx.ResealSecret(v, from) }); err != nil && signalbox.ErrorCode(err) != signalbox.CodeConflict {
				return n, err
			}
		}
	}
}

func (x *Secrets) resealLogs(ctx context.Context, count bool) (n int, err error) {
	last := ""
	for {
		var page []*store.LogHead
		if err := x.Store.ReadLog(ctx, func(tx *store.LogTx) error {
			page, err = tx.LogKeys(last, resealPage)
			return err
		}); err != nil || len(page) == 0 {
			return n, err
		}
		last = page[len(page)-1].AttemptID
		for _, h := range page {
			if !x.Keys.Stale(h.SecretKey) {
				continue
			}
			n++
			if count {
				continue
			}
			fresh, err := x.Keys.Reseal(h.SecretKey, store.LogKeyPlace(h.AttemptID))
			if err != nil {
				return n, err
			}
			if err := x.Store.WriteLog(ctx, func(tx *store.LogTx) error {
				return tx.ResealLog(h.AttemptID, fresh, h.SecretKey)
			}); err != nil && signalbox.ErrorCode(err) != signalbox.CodeConflict {
				return n, err
			}
		}
	}
}

// resealOthers seals what the server keeps under a name, such as its certificate authority.
func (x *Secrets) resealOthers(ctx context.Context, count bool) (n int, err error) {
	var names []string
	if err := x.Store.Read(ctx, func(tx *store.Tx) error { names, err = tx.SealedNames(); return err }); err != nil {
		return 0, err
	}
	for _, name := range names {
		old, err := x.Store.Get(ctx, name)
		if err != nil {
			return n, err
		}
		if !x.Keys.Stale(old) {
			continue
		}
		n++
		if count {
			continue
		}
		fresh, err := x.Keys.Reseal(old, name)
		if err != nil {
			return n, err
		}
		if err := x.Store.Write(ctx, func(tx *store.Tx) error { return tx.ResealNamed(name, fresh, old) }); err != nil && signalbox.ErrorCode(err) != signalbox.CodeConflict {
			return n, err
		}
	}
	return n, nil
}
