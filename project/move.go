package project

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/store"
)

// Place is where a project's repository shall be from now on.
type Place struct {
	Address string // "" is where it is
	Branch  string // the default branch, "" when nobody asks for one
	Head    bool   // when nobody asks, what HEAD says counts even where the address stays
}

// Move is a project on its way to another repository or default branch, with what was read there.
type Move struct {
	from, to signalbox.Project
	moved    bool // to another repository, and not only to another default branch, password or way of writing the address
	seen     sight
}

// sight is what a repository holds.
type sight struct {
	refs    map[string]string
	head    string   // the branch of HEAD, "" when it names none
	written []string // pushes that its hook has written down, all of them in refs
}

// WrongBranch is an error about the default branch that was asked for, and not about the address.
type WrongBranch struct{ err error }

func (w *WrongBranch) Error() string { return w.err.Error() }
func (w *WrongBranch) Unwrap() error { return w.err }

// PrepareMove looks at the place where a project's repository shall be, and lets a repository of this machine tell the server of
// pushes. Nothing of the project is changed. FinishMove has to follow in any case.
func (c *Projects) PrepareMove(ctx context.Context, p *signalbox.Project, to Place) (*Move, error) {
	m := &Move{from: *p, to: *p}
	if to.Address = strings.TrimSpace(to.Address); to.Address != "" && !p.SameAddress(to.Address) {
		m.to.GitURL = to.Address
		if err := locate(&m.to); err != nil {
			return nil, err
		}
		m.moved = m.to.GitDir != p.GitDir || m.to.GitDir == "" && signalbox.WithoutPassword(m.to.GitURL) != signalbox.WithoutPassword(p.GitURL)
	}
	var err error
	if m.seen, err = look(ctx, &m.to); err != nil {
		return nil, err
	}
	if m.to.DefaultBranch, err = chooseBranch(to, m.moved, p.DefaultBranch, m.seen); err != nil {
		return nil, &WrongBranch{err}
	}
	// Before the project is there: a hook too many does no harm, without one pushes would not be heard of.
	if m.moved && m.to.GitDir != "" && c.o.InstallHook != nil {
		if err := c.o.InstallHook(ctx, &m.to); err != nil {
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "nothing was changed, because the hook of the repository %s could not be installed: %w", m.to.GitDir, err)
		}
	}
	return m, nil
}

// look reads a repository that is no project's yet. One elsewhere is asked, not fetched.
func look(ctx context.Context, p *signalbox.Project) (s sight, err error) {
	if p.GitDir == "" {
		r, err := forge.AskRemote(ctx, p.GitURL)
		if err != nil {
			return s, err
		}
		return sight{refs: r.Refs, head: r.Branch}, nil
	}
	if _, there := forge.IsLocal(p.GitDir); !there {
		return s, signalbox.Errorf(signalbox.CodeInvalid, "there is no git repository at %s on the server's machine", p.GitDir)
	}
	// A hook writes a push down when its refs have moved, so what is written before the refs are read is in them.
	pushes, err := forge.Spooled(p.GitDir)
	if err != nil {
		return s, err
	}
	for _, push := range pushes {
		s.written = append(s.written, push.ID)
	}
	repo := &forge.Repo{Dir: p.GitDir}
	if s.refs, err = repo.Refs(ctx); err != nil {
		return s, signalbox.Errorf(signalbox.CodeInvalid, "the repository %s cannot be read: %w", p.GitDir, err)
	}
	s.head, err = repo.DefaultBranch(ctx)
	return s, err
}

// chooseBranch is the default branch of a project whose repository was seen. An empty repository can have any.
func chooseBranch(to Place, moved bool, was string, s sight) (string, error) {
	var branches []string
	for ref := range s.refs {
		if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
			branches = append(branches, name)
		}
	}
	slices.Sort(branches)
	branch, whose := strings.TrimPrefix(strings.TrimSpace(to.Branch), "refs/heads/"), ""
	if branch == "" {
		if !moved && !to.Head {
			return was, nil
		}
		branch, whose = s.head, ", which its HEAD names"
		if branch == "" && len(branches) == 0 {
			return was, nil // an empty repository elsewhere does not say what its HEAD names
		}
	}
	if len(branches) == 0 {
		if !forge.IsBranchName(branch) {
			return "", signalbox.Errorf(signalbox.CodeInvalid, "%.100q is not a name of a branch", branch)
		}
		return branch, nil
	}
	few := strings.Join(branches[:min(5, len(branches))], ", ")
	if len(branches) > 5 {
		few += fmt.Sprintf(" and %d more", len(branches)-5)
	}
	if branch == "" {
		return "", signalbox.Errorf(signalbox.CodeInvalid, "the repository's HEAD names no branch, so name the default branch; its branches are %.600s", few)
	}
	if !slices.Contains(branches, branch) {
		return "", signalbox.Errorf(signalbox.CodeInvalid, "the repository has no branch %.100q%s; its branches are %.600s", branch, whose, few)
	}
	return branch, nil
}

// Apply moves a project that Update holds. Where its new refs are is noted with it, so that nothing starts only because it moved. A
// project that has moved since the look is CodeConflict. Nothing is done for nil.
func (m *Move) Apply(tx *store.Tx, p *signalbox.Project) error {
	if m == nil {
		return nil
	}
	if p.ID != m.from.ID || p.GitURL != m.from.GitURL {
		return signalbox.Errorf(signalbox.CodeConflict, "somebody else has moved project %s to another repository meanwhile; nothing was changed, look where it is and try again", m.from.Name)
	}
	p.GitURL, p.GitDir, p.DefaultBranch = m.to.GitURL, m.to.GitDir, m.to.DefaultBranch
	if !m.moved {
		return nil
	}
	for _, id := range m.seen.written {
		if _, err := tx.AcceptDelivery(p.ID, id); err != nil {
			return err
		}
	}
	return tx.ReplaceGitRefs(p.ID, m.seen.refs)
}

// finishLimit bounds what follows a move.
const finishLimit = 2 * time.Minute

// FinishMove does what has to follow a move, whether the project was changed or not: it takes the hook out of the repository where no
// project is, and looks for pushes that came while the project moved. Nothing is done for nil.
func (c *Projects) FinishMove(ctx context.Context, m *Move) error {
	if m == nil || !m.moved {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishLimit)
	defer cancel()
	var now *signalbox.Project
	used := map[string]bool{"": true}
	if err := c.o.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if now, err = tx.Project(m.from.ID); err != nil {
			return err
		}
		all, err := tx.Projects()
		for _, p := range all {
			used[p.GitDir] = true
		}
		return err
	}); err != nil {
		return err
	}
	for _, dir := range []string{m.from.GitDir, m.to.GitDir} {
		if !used[dir] {
			// One that stays, as in a folder that the server may not write, calls for a project that finds nothing new where it is now.
			_ = forge.RemoveHook(ctx, dir, m.from.ID)
		}
	}
	if now.GitURL != m.to.GitURL || now.GitDir == "" || !now.DeletedAt.IsZero() {
		return nil
	}
	if err := c.o.Trigger.Deliver(ctx, now); err != nil {
		return signalbox.Errorf(signalbox.CodeUnavailable, "project %s was moved, but what was pushed to its new repository meanwhile could not be looked for: %s", now.Name, signalbox.ErrorMessage(err))
	}
	return nil
}
