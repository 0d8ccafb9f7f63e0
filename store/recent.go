package store

import (
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// recentKeys is how many wake-ups are remembered for those who ask what changed since a moment.
const recentKeys = 8192

// recent is the last wake-ups of one process, in the order in which they came.
type recent struct {
	origin string // tells this process, and this start of it, from others
	n      int64  // wake-ups so far
	from   int64  // since which of them everything is known
	keys   []string
}

func newRecent() recent { return recent{origin: signalbox.NewID(), keys: make([]string, recentKeys)} }

func (r *recent) add(keys []string) {
	for _, k := range keys {
		r.keys[r.n%recentKeys] = k
		r.n++
	}
}

// forget says that wake-ups may have been missed.
func (r *recent) forget() {
	r.n++
	r.from = r.n
}

func (r *recent) moment() string { return r.origin + "." + strconv.FormatInt(r.n, 10) }

// changed tells whether one of the keys was woken since a moment, or that may be so because nobody knows.
func (r *recent) changed(since string, keys []string) bool {
	origin, text, _ := strings.Cut(since, ".")
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil || origin != r.origin || at < r.from || at > r.n || r.n-at > recentKeys {
		return true
	}
	wanted := make(map[string]bool, len(keys))
	for _, k := range keys {
		wanted[k] = true
	}
	for ; at < r.n; at++ {
		k := r.keys[at%recentKeys]
		kind, _, _ := strings.Cut(k, ":")
		if wanted[k] || wanted[kind+":*"] {
			return true
		}
	}
	return false
}

// Moment names now, for ChangedSince. Take it before what is read: a change that the reading missed is later then.
func (s *Store) Moment() string { return s.wake.moment() }

// ChangedSince tells whether one of the keys was notified since a moment of this server. It is true as well when that cannot be known: the
// moment is another server's, too long ago, or no moment at all.
func (s *Store) ChangedSince(moment string, keys ...string) bool {
	return s.wake.changedSince(moment, keys)
}

func (w *localWaker) moment() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.recent.moment()
}

func (w *localWaker) changedSince(moment string, keys []string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.recent.changed(moment, keys)
}
