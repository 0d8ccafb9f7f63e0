package store

import (
	"fmt"
	"testing"
)

// What is not known counts as changed: a moment of another server, one that is too long ago, one before wake-ups were missed, and no moment.
func TestChangedSince(t *testing.T) {
	w := newLocalWaker()
	before := w.moment()
	w.notify([]string{"job:1", "queue"})
	for key, want := range map[string]bool{"job:1": true, "job:*": true, "queue": true, "job:2": false, "agent:*": false} {
		if got := w.changedSince(before, []string{"other", key}); got != want {
			t.Errorf("%s: %v", key, got)
		}
	}
	now := w.moment()
	for _, moment := range []string{"", "x", newLocalWaker().moment(), now + "0", w.recent.origin + ".-1"} {
		if !w.changedSince(moment, []string{"other"}) {
			t.Errorf("since %q nothing has changed", moment)
		}
	}
	w.notifyAll()
	if !w.changedSince(now, []string{"other"}) || w.changedSince(w.moment(), []string{"other"}) {
		t.Error("after a lost connection everything may have changed, and nothing since")
	}
	now = w.moment()
	for i := range recentKeys {
		w.notify([]string{fmt.Sprint("key:", i)})
	}
	if w.changedSince(now, []string{"other"}) || !w.changedSince(now, []string{"key:0"}) {
		t.Error("all that is remembered counts, and nothing else")
	}
	w.notify([]string{"one more"})
	if !w.changedSince(now, []string{"other"}) {
		t.Error("what is forgotten may have been anything")
	}
}
