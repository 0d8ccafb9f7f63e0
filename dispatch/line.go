package dispatch

// line is the held syncs of one agent type, longest waiting first, at most one of an agent. Everything but putBack takes the same
// time however long it is. The hub's lock guards it.
type line struct {
	first, last *waiter
	byAgent     map[string]*waiter
}

// push puts a waiter to the end and returns the older one of its agent that it took out.
func (l *line) push(w *waiter) (older *waiter) {
	if older = l.byAgent[w.agentID]; older != nil {
		l.remove(older)
	}
	if l.byAgent == nil {
		l.byAgent = map[string]*waiter{}
	}
	l.byAgent[w.agentID] = w
	if w.ahead = l.last; w.ahead != nil {
		w.ahead.behind = w
	} else {
		l.first = w
	}
	l.last = w
	return older
}

// remove takes a waiter out, if it is in.
func (l *line) remove(w *waiter) {
	if l.byAgent[w.agentID] != w {
		return
	}
	delete(l.byAgent, w.agentID)
	if w.ahead != nil {
		w.ahead.behind = w.behind
	} else {
		l.first = w.behind
	}
	if w.behind != nil {
		w.behind.ahead = w.ahead
	} else {
		l.last = w.ahead
	}
	w.ahead, w.behind = nil, nil
}

// take takes out the first n waiters.
func (l *line) take(n int) []*waiter {
	out := make([]*waiter, 0, min(n, len(l.byAgent)))
	for len(out) < n && l.first != nil {
		w := l.first
		l.remove(w)
		out = append(out, w)
	}
	return out
}

// putBack puts waiters that were taken to the front again, in their order. It returns those whose agent has come with another
// one meanwhile.
func (l *line) putBack(ws []*waiter) (over []*waiter) {
	if l.byAgent == nil {
		l.byAgent = map[string]*waiter{}
	}
	for i := len(ws) - 1; i >= 0; i-- {
		w := ws[i]
		if l.byAgent[w.agentID] != nil {
			over = append(over, w)
			continue
		}
		l.byAgent[w.agentID] = w
		if w.behind = l.first; w.behind != nil {
			w.behind.ahead = w
		} else {
			l.last = w
		}
		l.first = w
	}
	return over
}

func (l *line) len() int { return len(l.byAgent) }
