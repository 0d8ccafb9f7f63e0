package joblog

import (
	"container/list"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/redact"
	"github.com/signalbox-ci/signalbox/store"
)

// Vault knows what must not be in a log.
type Vault interface {
	// Handed returns the values that an attempt was given. final is false as long as it may still be given some.
	Handed(ctx context.Context, attemptID string) (values []signalbox.SecretValue, final bool, err error)
}

const (
	maxGuards    = 4096     // attempts that are remembered
	maxGuardSize = 64 << 20 // bytes of their matchers
)

// guards remembers the matchers of attempts, so that most pushes ask nobody. Most attempts have none, which is remembered
// too.
type guards struct {
	vault Vault

	mu   sync.Mutex
	by   map[string]*list.Element
	line list.List // of *guard, the one used last in front
	size int
}

type guard struct {
	attemptID string
	matcher   *redact.Matcher
}

// of returns the matcher of an attempt, nil when there is nothing to look for.
func (g *guards) of(ctx context.Context, attemptID string) (*redact.Matcher, error) {
	if g.vault == nil {
		return nil, nil
	}
	g.mu.Lock()
	e := g.by[attemptID]
	if e != nil {
		g.line.MoveToFront(e)
	}
	g.mu.Unlock()
	if e != nil {
		return e.Value.(*guard).matcher, nil
	}
	values, final, err := g.vault.Handed(ctx, attemptID)
	if err != nil {
		return nil, fmt.Errorf("ask for the secrets of attempt %s: %w", attemptID, err)
	}
	var texts []string
	for _, v := range values {
		texts = append(texts, v.Reveal())
	}
	m := redact.New(texts)
	if final {
		g.keep(&guard{attemptID, m})
	}
	return m, nil
}

func (g *guards) keep(x *guard) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.by[x.attemptID] != nil {
		return
	}
	g.by[x.attemptID] = g.line.PushFront(x)
	g.size += x.matcher.Size()
	for g.line.Len() > maxGuards || g.size > maxGuardSize && g.line.Len() > 1 {
		g.drop(g.line.Back())
	}
}

func (g *guards) drop(e *list.Element) {
	x := g.line.Remove(e).(*guard)
	g.size -= x.matcher.Size()
	delete(g.by, x.attemptID)
}

// forget is for attempts that have ended: their values need not stay in memory.
func (g *guards) forget(attemptID string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.by[attemptID]; e != nil {
		g.drop(e)
	}
}

// logKey is the key of one redacted log. It stays the same when the master key changes.
type logKey struct {
	ring *auth.Keyring
	mac  []byte
}

const hashSize = 16

// hash stands for a raw event where the event itself is not stored.
func (k *logKey) hash(event []byte) []byte {
	h := hmac.New(sha256.New, k.mac)
	h.Write(event)
	return h.Sum(nil)[:hashSize]
}

// key opens the key of the log, and makes it when there is none yet.
func (w *writer) key() (*logKey, error) {
	if w.opened != nil {
		return w.opened, nil
	}
	place := store.LogKeyPlace(w.head.AttemptID)
	plain := make([]byte, 64)
	if len(w.head.SecretKey) == 0 {
		_, _ = rand.Read(plain) // never fails
		w.head.SecretKey = w.l.keys.Seal(plain, place)
		if err := w.t.SetLogKey(w.head.AttemptID, w.head.SecretKey); err != nil {
			return nil, err
		}
	} else {
		var err error
		if plain, err = w.l.keys.Open(w.head.SecretKey, place); err != nil {
			return nil, err
		}
	}
	ring, err := auth.NewKeyring(plain[:32])
	if err != nil {
		return nil, err
	}
	w.opened = &logKey{ring, plain[32:]}
	return w.opened, nil
}

func tailPlace(before int64) string { return fmt.Sprintf("tail/%d", before) }

// tail returns where the output stands before an event, and whether anything is stored about it.
func (w *writer) tail(before int64) (s redact.State, found bool, err error) {
	rows, err := w.t.LogTails(w.head.AttemptID, before, before)
	if err != nil || len(rows) == 0 {
		return s, false, err
	}
	s, err = w.openTail(rows[0])
	return s, true, err
}

func (w *writer) openTail(row *store.LogText) (s redact.State, err error) {
	key, err := w.key()
	if err != nil {
		return s, err
	}
	plain, err := key.ring.Open(row.Data, tailPlace(row.Before))
	if err != nil {
		return s, err
	}
	if json.Unmarshal(plain, &s) != nil {
		return s, fmt.Errorf("the tail before event %d of attempt %s is not what was sealed", row.Before, w.head.AttemptID)
	}
	return s, nil
}

// setTail stores where the output stands before an event; the zero state stores nothing.
func (w *writer) setTail(before int64, s redact.State) error {
	x := store.LogText{Before: before}
	if len(s.Tail) > 0 {
		key, err := w.key()
		if err != nil {
			return err
		}
		plain, err := json.Marshal(s)
		if err != nil {
			return err
		}
		x.Data = key.ring.Seal(plain, tailPlace(before))
	}
	return w.t.SetLogTail(w.head.AttemptID, x)
}
