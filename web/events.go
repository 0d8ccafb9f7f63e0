package web

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

const (
	maxTopics = 400 // of all pages that one browser has open
	maxTopic  = 120 // bytes
	// burst is how long changes are gathered: a page cannot use more than a few a second.
	burst = 250 * time.Millisecond
)

// topic is something that pages follow. Its name is "queue", "agents", "workflows", "people", or a noun and an id: "job:ID".
type topic struct {
	name  string
	keys  []string // of the store
	needs auth.Permission
}

// topicOf returns the topic of a name. Which ids exist makes no difference: an event says only that a page is worth
// loading again, and loading it is checked.
func topicOf(name string) (topic, error) {
	t := topic{name: name}
	noun, id, _ := strings.Cut(name, ":")
	if len(name) > maxTopic || id == "*" {
		noun = ""
	}
	switch {
	case name == "queue":
		t.keys, t.needs = []string{store.KeyQueue, store.KeyRoom, store.AnyJob}, auth.JobView
	case name == "agents":
		t.keys, t.needs = []string{store.AnyAgent, store.KeyRefused}, auth.AgentView
	case name == "workflows":
		t.keys, t.needs = []string{store.AnyProject, store.AnyWorkflow}, auth.WorkflowView
	case name == "people":
		t.keys, t.needs = []string{store.AnyUser}, auth.UserManage
	case id == "":
		noun = ""
	}
	switch {
	case t.keys != nil:
	case noun == "project":
		t.keys, t.needs = []string{store.KeyProject(id)}, auth.ProjectView
	case noun == "workflow":
		t.keys, t.needs = []string{store.KeyWorkflow(id)}, auth.WorkflowView
	case noun == "pipeline":
		t.keys, t.needs = []string{store.KeyPipeline(id)}, auth.WorkflowView
	case noun == "job":
		t.keys, t.needs = []string{store.KeyJob(id)}, auth.JobView
	case noun == "agent":
		t.keys, t.needs = []string{store.KeyAgent(id)}, auth.AgentView
	default:
		return t, signalbox.Errorf(signalbox.CodeInvalid, "There is no topic %q; topics are queue, agents, workflows, people, and project:, workflow:, pipeline:, job: and agent: with an id", clip(name, 60))
	}
	return t, nil
}

// topicsOf reads the topics that a request names, each once.
func topicsOf(r *http.Request) ([]topic, error) {
	names := strings.Split(r.URL.Query().Get("topics"), ",")
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > maxTopics {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "At most %d topics may be followed at once", maxTopics)
	}
	var out []topic
	for _, name := range names {
		t, err := topicOf(name)
		if err != nil {
			return nil, err
		}
		if !may(r, t.needs) {
			return nil, signalbox.Errorf(signalbox.CodeForbidden, "Following %q needs the permission %s", clip(name, 60), t.needs)
		}
		out = append(out, t)
	}
	return out, nil
}

// watched gathers which topics changed.
type watched struct {
	mu      sync.Mutex
	changed map[string]bool
	poke    chan struct{}
}

// watch follows topics until ctx ends; stop must be called.
func (w *Web) watch(ctx context.Context, topics []topic) (*watched, func()) {
	ctx, cancel := context.WithCancel(ctx)
	all := &watched{changed: map[string]bool{}, poke: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	for _, t := range topics {
		woken, stop := w.o.Store.Watch(t.keys...)
		wg.Go(func() {
			defer stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-woken:
					all.add(t.name)
				}
			}
		})
	}
	return all, func() { cancel(); wg.Wait() }
}

func (all *watched) add(name string) {
	all.mu.Lock()
	all.changed[name] = true
	all.mu.Unlock()
	select {
	case all.poke <- struct{}{}:
	default:
	}
}

// take returns what changed since the last take, sorted.
func (all *watched) take() []string {
	all.mu.Lock()
	defer all.mu.Unlock()
	names := make([]string, 0, len(all.changed))
	for name := range all.changed {
		names = append(names, name)
	}
	clear(all.changed)
	slices.Sort(names)
	return names
}

type changedEvent struct {
	Topics []string `json:"topics"`
}

// getEvents tells a browser which of the topics that it follows have changed: as a stream of "changed" and "alive", or with ?wait=
// seconds, for those whose proxy holds streams up, as one answer when something changes or the time is over.
func (w *Web) getEvents(rw http.ResponseWriter, r *http.Request) error {
	topics, err := topicsOf(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), w.o.StreamTTL)
	defer cancel()
	ctx, end := w.untilChanged(ctx, r)
	defer end()
	all, stop := w.watch(ctx, topics)
	defer stop()
	if wait := r.URL.Query().Get("wait"); wait != "" {
		seconds, err := strconv.Atoi(wait)
		if err != nil || seconds < 1 || seconds > 60 {
			return signalbox.Errorf(signalbox.CodeInvalid, "wait is a number of seconds from 1 to 60")
		}
		return answerOnce(ctx, rw, all, time.Duration(seconds)*time.Second)
	}
	s, err := newStream(rw)
	if err != nil {
		return nil // the browser is gone
	}
	_ = tell(ctx, s, all) // it fails when the browser is gone, which is how streams end
	return nil
}

func answerOnce(ctx context.Context, rw http.ResponseWriter, all *watched, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	select {
	case <-ctx.Done():
	case <-all.poke:
	}
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	return json.NewEncoder(rw).Encode(changedEvent{all.take()})
}

// tell sends what changes until ctx ends. The first event names no topic: it says that the connection works, and whoever was connected
// before loads its page again, as something may have changed between.
func tell(ctx context.Context, s *stream, all *watched) error {
	if err := s.send("alive", "", struct{}{}); err != nil {
		return err
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			if err := s.send("alive", "", struct{}{}); err != nil {
				return err
			}
		case <-all.poke:
			if err := s.send("changed", "", changedEvent{all.take()}); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(burst):
			}
		}
	}
}

// momentKey is where a request keeps the store's moment before the page was read.
type momentKey struct{}

func momentOf(r *http.Request) string {
	moment, _ := r.Context().Value(momentKey{}).(string)
	return moment
}

// getChanged tells a page whether it has to be loaded again: whether a topic has changed since the moment that the page was made of.
func (w *Web) getChanged(rw http.ResponseWriter, r *http.Request) error {
	topics, err := topicsOf(r)
	if err != nil {
		return err
	}
	var keys []string
	if u := route.ActorFrom(r.Context()).User; u != nil {
		keys = append(keys, store.KeyUser(u.ID)) // with another role the page offers something else
	}
	for _, t := range topics {
		keys = append(keys, t.keys...)
	}
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	rw.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(rw).Encode(map[string]bool{"changed": w.o.Store.ChangedSince(r.URL.Query().Get("since"), keys...)})
}
