package setup

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Tries slows the guessing of codes: five at once from one address, then one a minute.
type Tries struct {
	mu        sync.Mutex
	byAddress map[string]*rate.Limiter
}

const (
	burst        = 5
	pause        = time.Minute
	maxAddresses = 10_000
)

// NewTries returns one that has seen nothing.
func NewTries() *Tries { return &Tries{byAddress: map[string]*rate.Limiter{}} }

// Take counts one try, or returns how long to wait.
func (t *Tries) Take(address string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byAddress) >= maxAddresses {
		for a, l := range t.byAddress {
			if l.TokensAt(now) >= burst {
				delete(t.byAddress, a)
			}
		}
		if len(t.byAddress) >= maxAddresses {
			clear(t.byAddress)
		}
	}
	l := t.byAddress[address]
	if l == nil {
		l = rate.NewLimiter(rate.Every(pause), burst)
		t.byAddress[address] = l
	}
	if l.AllowN(now, 1) {
		return 0
	}
	return max(time.Second, time.Duration((1-l.TokensAt(now))*float64(pause)))
}

// GiveBack forgets the tries of an address that knew a code.
func (t *Tries) GiveBack(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byAddress, address)
}
