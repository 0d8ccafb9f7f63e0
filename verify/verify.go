// Package verify checks that a copy of all state, or the live state in one view, keeps the promises that the system makes:
// one open attempt a job, complete final rows, whole logs, parents that follow from their children, and so on. It only
// reads, page by page, so that memory does not grow with the state. What a pipeline follows from is asked of the engine,
// and what a log must look like of the log's own code.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/artifact"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/secret"
	"github.com/signalbox-ci/signalbox/store"
)

// Options say what is checked. Only Snapshot is required.
type Options struct {
	Snapshot  *store.Snapshot
	Keys      *auth.Keyring    // without it what is sealed is not opened
	Artifacts *artifact.Folder // without it nobody looks for content
	Progress  func(about string)
}

// Violation is one thing that contradicts an invariant.
type Violation struct {
	Noun string `json:"noun"`
	ID   string `json:"id"`
	What string `json:"what"`
}

// Outcome is what became of checking one invariant.
type Outcome struct {
	ID         string      `json:"id"`
	About      string      `json:"about"`
	Checked    int64       `json:"checked"` // how many things were looked at
	Count      int         `json:"count"`   // of violations; of some kinds no more than MaxListed are counted
	Violations []Violation `json:"violations"`
	Skipped    string      `json:"skipped,omitempty"` // why it was not checked
}

// MaxListed is how many violations of one invariant are listed.
const MaxListed = 100

// page is how many things are read at once.
const page = 100

type check struct {
	id, about string
	run       func(context.Context, *Options, *Outcome) error
}

var checks = []check{
	{"pages", "the database files are not damaged", pages},
	{"references", "what a row refers to is there", references},
	{"I1", "every job is queued, offered, running or finished, and has the attempt that this takes", byRule(store.JobStates)},
	{"I2", "a job and an agent have one open attempt at most, and attempts are counted", byRule(store.AttemptFences)},
	{"I4", "what is final has its result and end, and nothing else has", byRule(store.FinalRows)},
	{"I5", "every event of a log is there once, or a gap says that it is not", logs},
	{"I8", "blocks and pipelines follow from their jobs", parents},
	{"I9", "an agent's attempt is open, and an open attempt has its agent", byRule(store.AgentsAndAttempts)},
	{"I10", "an agent that has left has no job", byRule(store.IdleWhenLeaving)},
	{"I12", "one request made one workflow", byRule(store.OneWorkflow)},
	{"history", "histories have no holes", byRule(store.Histories)},
	{"sealed", "what is sealed opens with the master key", sealed},
	{"artifacts", "the content of artifacts is there", content},
}

// Run checks all invariants. An error means that checking itself failed.
func Run(ctx context.Context, o Options) ([]Outcome, error) {
	out := make([]Outcome, 0, len(checks))
	for _, c := range checks {
		if o.Progress != nil {
			o.Progress(c.about)
		}
		x := Outcome{ID: c.id, About: c.about, Violations: []Violation{}}
		if err := c.run(ctx, &o, &x); err != nil {
			return out, fmt.Errorf("check that %s: %w", c.about, err)
		}
		if err := ctx.Err(); err != nil {
			return out, err
		}
		out = append(out, x)
	}
	return out, nil
}

// Holds tells whether nothing was found.
func Holds(all []Outcome) bool {
	for _, o := range all {
		if o.Count > 0 {
			return false
		}
	}
	return true
}

func (o *Outcome) add(noun, id, what string) {
	o.Count++
	if len(o.Violations) < MaxListed {
		o.Violations = append(o.Violations, Violation{noun, id, what})
	}
}

func (o *Outcome) breaches(found []*store.Breach) {
	for _, b := range found {
		o.add(b.Noun, b.ID, b.What)
	}
}

func byRule(r store.Rule) func(context.Context, *Options, *Outcome) error {
	return func(_ context.Context, o *Options, x *Outcome) error {
		n, found, err := o.Snapshot.Main().Check(r, MaxListed)
		x.Checked = n
		x.breaches(found)
		return err
	}
}

func pages(_ context.Context, o *Options, x *Outcome) error {
	if o.Snapshot.Dialect() == "postgres" {
		x.Skipped = "PostgreSQL checks its pages itself"
		return nil
	}
	found, err := o.Snapshot.CheckPages()
	x.Checked = 2
	x.breaches(found)
	return err
}

func references(_ context.Context, o *Options, x *Outcome) error {
	n, found, err := o.Snapshot.CheckReferences(MaxListed)
	x.Checked = n
	x.breaches(found)
	return err
}

func parents(ctx context.Context, o *Options, x *Outcome) error {
	tx := o.Snapshot.Main()
	for after := ""; ; {
		ps, blocks, jobs, err := tx.PipelinesAfter(after, page)
		if err != nil || len(ps) == 0 {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		after = ps[len(ps)-1].ID
		x.Checked += int64(len(ps))
		states := map[string]*engine.State{}
		for _, p := range ps {
			s := &engine.State{Pipeline: p}
			if p.State != signalbox.PipelineInitializing && p.State != signalbox.PipelineDone {
				if s.Queue, err = tx.Queued(p); err != nil {
					return err
				}
			}
			states[p.ID] = s
		}
		for _, b := range blocks {
			place(states[b.PipelineID], b)
		}
		for _, j := range jobs {
			states[j.PipelineID].Jobs = append(states[j.PipelineID].Jobs, j)
		}
		for _, p := range ps {
			for _, what := range engine.Check(*states[p.ID]) {
				x.add("pipeline", p.ID, what)
			}
		}
	}
}

func place(s *engine.State, b *signalbox.Block) {
	switch b.Kind {
	case signalbox.BlockAfter:
		s.After = b
	case signalbox.BlockInit:
		s.Init = b
	default:
		s.Blocks = append(s.Blocks, b)
	}
}

func logs(ctx context.Context, o *Options, x *Outcome) error {
	tx := o.Snapshot.Logs()
	_, found, err := tx.Check(store.LogOwners, MaxListed)
	if err != nil {
		return err
	}
	x.breaches(found)
	checker := joblog.NewCheckers()
	for after := ""; ; {
		heads, err := tx.LogsAfter(after, page)
		if err != nil || len(heads) == 0 {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		first := heads[0].AttemptID
		after = heads[len(heads)-1].AttemptID
		x.Checked += int64(len(heads))
		if err := owners(o, x, heads); err != nil {
			return err
		}
		gaps := map[string][]store.LogGap{}
		if err := tx.GapsBetween(first, after, func(id string, g store.LogGap) error {
			gaps[id] = append(gaps[id], g)
			return nil
		}); err != nil {
			return err
		}
		all := map[string]*joblog.Checker{}
		for _, h := range heads {
			all[h.AttemptID] = checker(gaps[h.AttemptID])
		}
		broken := map[string]bool{} // one sentence for each log: what follows the first mistake follows from it
		if err := tx.ChunksBetween(first, after, func(id string, c store.LogChunk) error {
			if all[id] == nil || broken[id] {
				return nil
			}
			if what := all[id].Chunk(c); what != "" {
				broken[id] = true
				x.add("log", id, what)
			}
			return nil
		}); err != nil {
			return err
		}
		for _, h := range heads {
			if broken[h.AttemptID] {
				continue
			}
			if what := all[h.AttemptID].End(h.Next); what != "" {
				x.add("log", h.AttemptID, what)
			}
		}
	}
}

// owners checks that logs are of attempts. The view of the logs is the younger one, so the log of an attempt that began in
// between is no mistake while it is open.
func owners(o *Options, x *Outcome, heads []*store.LogHead) error {
	ids := make([]string, len(heads))
	for i, h := range heads {
		ids[i] = h.AttemptID
	}
	known, err := o.Snapshot.Main().KnownAttempts(ids)
	if err != nil {
		return err
	}
	for _, h := range heads {
		if !known[h.AttemptID] && h.CreatedAt.Before(o.Snapshot.Main().Now) {
			x.add("log", h.AttemptID, "there is no attempt of this id")
		}
	}
	return nil
}

// plain are the names of sealed blobs that are none.
var plain = map[string]bool{"organization-id": true}

func sealed(ctx context.Context, o *Options, x *Outcome) error {
	if o.Keys == nil {
		x.Skipped = "there is no master key"
		return nil
	}
	tx := o.Snapshot.Main()
	names, err := tx.SealedNames()
	if err != nil {
		return err
	}
	for _, name := range names {
		if plain[name] {
			continue
		}
		x.Checked++
		data, err := tx.Sealed(name)
		if err != nil {
			return err
		}
		if _, err := o.Keys.Open(data, name); err != nil {
			x.add("sealed", name, err.Error())
		}
	}
	for last := (signalbox.SecretVersion{}); ; {
		versions, err := tx.SecretVersions(last, page)
		if err != nil {
			return err
		}
		if len(versions) == 0 {
			break
		}
		last = *versions[len(versions)-1]
		for _, v := range versions {
			x.Checked++
			s, err := tx.Secret(v.SecretID)
			if err == nil {
				err = secret.Check(o.Keys, s, v)
			}
			if err != nil {
				x.add("secret", v.SecretID, err.Error())
			}
		}
	}
	for after := ""; ; {
		keys, err := o.Snapshot.Logs().LogKeys(after, page)
		if err != nil || len(keys) == 0 {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		after = keys[len(keys)-1].AttemptID
		for _, h := range keys {
			x.Checked++
			if _, err := o.Keys.Open(h.SecretKey, store.LogKeyPlace(h.AttemptID)); err != nil {
				x.add("log", h.AttemptID, err.Error())
			}
		}
	}
}

func content(ctx context.Context, o *Options, x *Outcome) error {
	if o.Artifacts == nil {
		x.Skipped = "the content is not here"
		return nil
	}
	for after := ""; ; {
		blobs, err := o.Snapshot.Main().BlobsAfter(after, page)
		if err != nil || len(blobs) == 0 {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		after = blobs[len(blobs)-1].ID
		for _, b := range blobs {
			if b.Unused {
				continue // it may go at any time
			}
			x.Checked++
			size, err := o.Artifacts.Size(artifact.BlobName(b.SHA256, b.ID))
			switch {
			case errors.Is(err, fs.ErrNotExist):
				x.add("artifact", b.ID, "its content "+artifact.BlobName(b.SHA256, b.ID)+" is missing")
			case err != nil:
				return err
			case size != b.Size:
				x.add("artifact", b.ID, fmt.Sprintf("its content has %d bytes and should have %d", size, b.Size))
			}
		}
	}
}
