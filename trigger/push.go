package trigger

import (
	"context"
	"errors"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/store"
)

// move is one ref of a repository that went from one commit to another; Old is "" for a new ref, New for a deleted one.
type move struct {
	Ref, Old, New string
}

// Deliver starts a workflow for every push to a project's repository that has not been handled: first those that the
// repository's hook wrote down, then whatever else moved since the last look.
func (t *Trigger) Deliver(ctx context.Context, p *signalbox.Project) error {
	defer t.lock(p.ID)()
	// Whoever asked may have read the project before it moved to another repository.
	if err := t.o.Store.Read(ctx, func(tx *store.Tx) (err error) { p, err = tx.Project(p.ID); return err }); err != nil {
		return err
	}
	if err := t.forgetMirrors(p); err != nil {
		return err
	}
	repo, err := t.Repo(ctx, p)
	if err != nil {
		return err
	}
	if err := t.spooled(ctx, p, repo); err != nil {
		return err
	}
	return t.compare(ctx, p, repo)
}

// Watch remembers where all refs of a new project are, so that only later pushes start workflows.
func (t *Trigger) Watch(ctx context.Context, p *signalbox.Project) error {
	defer t.lock(p.ID)()
	repo, err := t.Repo(ctx, p)
	if err != nil {
		return err
	}
	refs, err := repo.Refs(ctx)
	if err != nil {
		return err
	}
	return t.o.Store.Write(ctx, func(tx *store.Tx) error {
		for ref, sha := range refs {
			if err := tx.SetGitRef(p.ID, ref, sha); err != nil {
				return err
			}
		}
		return nil
	})
}

// CatchUp delivers for every project what happened while the server was away.
func (t *Trigger) CatchUp(ctx context.Context) error {
	var all []*signalbox.Project
	if err := t.o.Store.Read(ctx, func(tx *store.Tx) (err error) { all, err = tx.Projects(); return err }); err != nil {
		return err
	}
	var errs []error
	for _, p := range all {
		if err := t.Deliver(ctx, p); err != nil {
			t.o.Logger.Error("could not look for pushes", "project", p.Name, "error", err)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (t *Trigger) spooled(ctx context.Context, p *signalbox.Project, repo *forge.Repo) error {
	if p.GitDir == "" {
		return nil
	}
	pushes, err := forge.Spooled(repo.Dir)
	if err != nil {
		return err
	}
	for _, push := range pushes {
		var moves []move
		for _, u := range push.Updates {
			m := move{Ref: u.Ref}
			if !forge.Zero(u.Old) {
				m.Old = u.Old
			}
			if !forge.Zero(u.New) {
				m.New = u.New
			}
			moves = append(moves, m)
		}
		if err := t.handle(ctx, p, repo, push.ID, moves); err != nil {
			return err
		}
		if err := forge.RemoveSpooled(repo.Dir, push.ID); err != nil {
			return err
		}
	}
	return nil
}

// compare finds the refs that moved without a word from the hook.
func (t *Trigger) compare(ctx context.Context, p *signalbox.Project, repo *forge.Repo) error {
	now, err := repo.Refs(ctx)
	if err != nil {
		return err
	}
	var known map[string]string
	if err := t.o.Store.Read(ctx, func(tx *store.Tx) (err error) { known, err = tx.GitRefs(p.ID); return err }); err != nil {
		return err
	}
	var moves []move
	for ref, sha := range now {
		if known[ref] != sha {
			moves = append(moves, move{Ref: ref, Old: known[ref], New: sha})
		}
	}
	for ref, sha := range known {
		if _, ok := now[ref]; !ok {
			moves = append(moves, move{Ref: ref, Old: sha})
		}
	}
	if len(moves) == 0 {
		return nil
	}
	return t.handle(ctx, p, repo, "", moves)
}

// handle starts the workflows of one push in one transaction with the note that it was handled. The refs as last seen
// are the fence: only a move that begins where the ref was last seen counts.
func (t *Trigger) handle(ctx context.Context, p *signalbox.Project, repo *forge.Repo, delivery string, moves []move) error {
	var ready []*prepared
	var at []move
	for _, m := range moves {
		if !strings.HasPrefix(m.Ref, "refs/heads/") && !strings.HasPrefix(m.Ref, "refs/tags/") {
			continue
		}
		var w *prepared
		if m.New != "" {
			r := Request{
				Project: p, Ref: m.Ref, SHA: m.New, TriggeredBy: signalbox.TriggeredByHook, Actor: "push",
				RequestToken: "push/" + m.Ref + "/" + m.Old + "/" + m.New,
			}
			if delivery != "" {
				r.RequestToken += "/" + delivery
			} else {
				r.RequestToken += "/" + signalbox.NewID()
			}
			if m.Old != "" && strings.HasPrefix(m.Ref, "refs/heads/") {
				r.Range = m.Old + "..." + m.New
			}
			var err error
			w, err = t.prepare(ctx, repo, r)
			switch {
			case signalbox.ErrorCode(err) == signalbox.CodeNotFound:
				// The commit is gone again, as after a force push; the refs compared later tell what is there now.
				t.o.Logger.Warn("a pushed commit is no longer in the repository", "project", p.Name, "ref", m.Ref, "commit", m.New)
			case err != nil:
				return err
			default:
				m.New = w.workflow.CommitSHA // of an annotated tag, the commit behind it
			}
		}
		ready, at = append(ready, w), append(at, m)
	}
	return t.o.Store.Write(ctx, func(tx *store.Tx) error {
		// A project that has moved meanwhile was told where the refs of its new repository are: what this look found is of the old one.
		if err := tx.LockProject(p.ID); err != nil {
			return err
		}
		if now, err := tx.Project(p.ID); err != nil || now.GitURL != p.GitURL {
			return err
		}
		if delivery != "" {
			if fresh, err := tx.AcceptDelivery(p.ID, delivery); err != nil || !fresh {
				return err
			}
		}
		known, err := tx.GitRefs(p.ID)
		if err != nil {
			return err
		}
		for i, m := range at {
			if known[m.Ref] != m.Old || known[m.Ref] == m.New {
				continue // handled already, or not the next move of this ref: comparing refs tells what is there now
			}
			if ready[i] != nil {
				if _, _, err := t.create(tx, ready[i]); err != nil {
					return err
				}
			}
			if err := tx.SetGitRef(p.ID, m.Ref, m.New); err != nil {
				return err
			}
			known[m.Ref] = m.New
		}
		return nil
	})
}
