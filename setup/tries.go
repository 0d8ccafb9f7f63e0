package setup

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// tries slows the guessing of codes: five at once from one address, then one a minute.
type tries struct {
	mu        sync.Mutex
	byAddress map[string]*rate.Limiter
}

const (
	burst        = 5
	pause        = time.Minute
	maxAddresses = 10_000
)

func newTries() *tries { return &tries{byAddress: map[string]*rate.Limiter{}} }

// take counts one try, or returns how long to wait.
func (t *tries) take(address string, now time.Time) time.Duration {
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

// giveBack forgets the tries of an address that knew a code.
func (t *tries) giveBack(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byAddress, address)
}
