package dispatch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/store"
)

// refusal is an error of a registration with its kind.
type refusal struct {
	reason signalbox.Refusal
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(reason signalbox.Refusal, err error) error { return &refusal{reason, err} }

// maxRefused bounds how many different refusals wait to be written. A stranger can cause any number of them, so they are
// collected and written together, and those beyond the bound are not kept.
const maxRefused = 500

type refusedKey struct {
	typeID   string
	reason   signalbox.Refusal
	ip, name string
}

// refusals are the registrations that were turned away since they were last written.
type refusals struct {
	mu  sync.Mutex
	new map[refusedKey]*signalbox.RefusedRegistration
}

// turnedAway counts and keeps a registration that was refused.
func (h *Hub) turnedAway(err error, typ *signalbox.AgentType, who Registrant, req agentapi.RegisterRequest) {
	var why *refusal
	if errors.As(err, &why) {
		h.OnRefused(why.reason)
	}
	h.refused.note(err, typ, who, req, h.Now())
}

// note keeps a refusal for people to see. It holds nothing by which somebody could register.
func (r *refusals) note(err error, typ *signalbox.AgentType, who Registrant, req agentapi.RegisterRequest, now time.Time) {
	var why *refusal
	if !errors.As(err, &why) {
		return // not a decision: something is out of order here
	}
	row := &signalbox.RefusedRegistration{
		Reason: why.reason, Detail: plain(signalbox.ErrorMessage(err), 300), Name: shownName(req.Name), IP: who.IP,
		Host: plain(req.Hostname, 100), Token: who.TokenHash[:min(8, len(who.TokenHash))], Count: 1, FirstAt: now, LastAt: now,
	}
	if typ != nil {
		row.AgentTypeID = typ.ID
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := refusedKey{row.AgentTypeID, row.Reason, row.IP, row.Name}
	if old := r.new[key]; old != nil {
		row.Count, row.FirstAt = old.Count+1, old.FirstAt
	} else if len(r.new) >= maxRefused {
		return
	}
	if r.new == nil {
		r.new = map[refusedKey]*signalbox.RefusedRegistration{}
	}
	r.new[key] = row
}

// shownName is what may be kept of the name that somebody asked for. A signed address is as good as a password until it expires.
func shownName(name string) string {
	if strings.ContainsAny(name, ":?") || strings.HasPrefix(name, "/") {
		return "(an address)"
	}
	return plain(name, 80)
}

// plain is a text without what a terminal or database could stumble over.
func plain(s string, n int) string {
	return limit(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "")), n)
}

// take returns what is to be written, in an order that is the same on every server.
func (r *refusals) take() []*signalbox.RefusedRegistration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.new) == 0 {
		return nil
	}
	out := make([]*signalbox.RefusedRegistration, 0, len(r.new))
	for _, v := range r.new {
		out = append(out, v)
	}
	clear(r.new)
	slices.SortFunc(out, func(a, b *signalbox.RefusedRegistration) int {
		return cmp.Or(cmp.Compare(a.AgentTypeID, b.AgentTypeID), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.IP, b.IP), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func (h *Hub) runRefused(ctx context.Context) error {
	err := every(ctx, h.Timing.Revalidate, func() { h.saveRefused(ctx) })
	h.saveRefused(context.WithoutCancel(ctx))
	return err
}

func (h *Hub) saveRefused(ctx context.Context) {
	rows := h.refused.take()
	if len(rows) == 0 {
		return
	}
	if err := h.Store.Write(ctx, func(tx *store.Tx) error { return tx.SaveRefused(rows) }); err != nil {
		h.Logger.Warn("registrations that were turned away were not kept", "count", len(rows), "error", err)
	}
}
