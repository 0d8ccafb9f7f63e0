package project

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/forge"
	"github.com/signalbox-ci/signalbox/store"
)

// move does what the API does.
func (w *world) move(p *signalbox.Project, to Place) error {
	w.Helper()
	m, err := w.projects.PrepareMove(w.Context(), p, to)
	if err == nil {
		err = w.store.Write(w.Context(), func(tx *store.Tx) error {
			_, err := Update(tx, p.ID, "user:ana", func(p *signalbox.Project) error { return m.Apply(tx, p) })
			return err
		})
	}
	return errors.Join(err, w.projects.FinishMove(w.Context(), m))
}

func (w *world) stored(id string) (p *signalbox.Project, refs map[string]string, told string) {
	w.Helper()
	if err := w.store.Read(w.Context(), func(tx *store.Tx) (err error) {
		if p, err = tx.Project(id); err != nil {
			return err
		}
		if refs, err = tx.GitRefs(id); err != nil {
			return err
		}
		events, err := tx.Events("project", id)
		told = events[len(events)-1].Detail
		return err
	}); err != nil {
		w.Fatal(err)
	}
	return p, refs, told
}

// push commits to a branch of what a work tree belongs to.
func (w *world) push(work, branch, message string) {
	w.Helper()
	w.git(work, "commit", "--quiet", "--allow-empty", "--message", message)
	w.git(work, "push", "--quiet", "origin", "HEAD:"+branch)
}

// deliver is what a call of a hook does.
func (w *world) deliver(id string) {
	w.Helper()
	p, _, _ := w.stored(id)
	if err := w.projects.o.Trigger.Deliver(w.Context(), p); err != nil {
		w.Fatal(err)
	}
}

func (w *world) started(p *signalbox.Project) string {
	w.Helper()
	var out []string
	for _, wf := range w.workflows(p) {
		out = append(out, wf.Label+" "+wf.CommitMessage)
	}
	return strings.Join(out, ", ")
}

func (w *world) project(name, address string) *signalbox.Project {
	w.Helper()
	p := &signalbox.Project{Name: name, GitURL: address}
	if err := w.projects.Create(w.Context(), p, nil, "user:ana"); err != nil {
		w.Fatal(err)
	}
	return p
}

func TestMoveToAnotherRepositoryOfThisMachine(t *testing.T) {
	w := open(t)
	first, oldWork := w.repository("first", map[string]string{"readme": "a shop"})
	second, work := w.repository("second", map[string]string{"readme": "another shop"})
	w.git(work, "tag", "--annotate", "--message", "one", "v1")
	w.git(work, "push", "--quiet", "origin", "v1", "HEAD:trunk")
	w.git(second, "symbolic-ref", "HEAD", "refs/heads/trunk")
	p := w.project("shop", first)
	w.push(oldWork, "main", "never looked at")

	// The repository has pushes in its spool from when it had a hook before; that the branch went there and back must not count now.
	if err := forge.InstallHook(t.Context(), second, []string{"true"}); err != nil {
		t.Fatal(err)
	}
	w.push(work, "trunk", "long ago")
	w.git(work, "push", "--quiet", "--force", "origin", "HEAD~1:trunk")
	w.git(work, "reset", "--quiet", "--hard", "HEAD~1")

	if err := w.move(p, Place{Address: " " + second + " "}); err != nil {
		t.Fatal(err)
	}
	want, err := (&forge.Repo{Dir: second}).Refs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	is, refs, told := w.stored(p.ID)
	if is.GitURL != second || is.GitDir != second || is.DefaultBranch != "trunk" || !maps.Equal(refs, want) {
		t.Errorf("%+v with %v, want %v", is, refs, want)
	}
	if told != "repository "+first+" to "+second+", default branch main to trunk" {
		t.Error(told)
	}
	if !forge.Hooked(t.Context(), second) || forge.Hooked(t.Context(), first) {
		t.Error("the hook is not where the project is, and only there")
	}
	w.push(oldWork, "main", "to the old one")
	w.deliver(p.ID)
	if got := w.started(p); got != "" {
		t.Errorf("the move started %s", got)
	}
	w.push(work, "trunk", "to the new one")
	for range 2 {
		w.deliver(p.ID)
	}
	if got := w.started(p); got != "trunk to the new one" {
		t.Errorf("a push to the new repository started %q", got)
	}
	// And back, with the hook.
	if err := w.move(is, Place{Address: first, Branch: "main"}); err != nil || !forge.Hooked(t.Context(), first) || forge.Hooked(t.Context(), second) {
		t.Error(err)
	}
	w.deliver(p.ID)
	if got := w.started(p); got != "trunk to the new one" {
		t.Errorf("the move back started %q", got)
	}
}

func TestMoveElsewhereAndBack(t *testing.T) {
	w := open(t)
	first, _ := w.repository("first", map[string]string{"readme": "a shop"})
	second, work := w.repository("second", map[string]string{"readme": "another shop"})
	w.git(work, "tag", "--annotate", "--message", "one", "v1")
	w.git(work, "tag", "--annotate", "--message", "of a tag", "v1-again", "v1")
	w.git(work, "push", "--quiet", "origin", "v1", "v1-again")
	p := w.project("shop", first)
	other := w.project("other", first) // stays, and needs the hook, which is its own
	elsewhere := "file://localhost" + second
	if err := w.move(p, Place{Address: elsewhere}); err != nil {
		t.Fatal(err)
	}
	is, refs, _ := w.stored(p.ID)
	if is.GitURL != elsewhere || is.GitDir != "" || is.DefaultBranch != "main" || len(refs) != 3 || !forge.Hooked(t.Context(), first) {
		t.Errorf("%+v with %v", is, refs)
	}
	w.deliver(p.ID)
	if got := w.started(p); got != "" {
		t.Errorf("the move started %s", got)
	}
	w.push(work, "main", "to the new one")
	w.deliver(p.ID)
	if got := w.started(p); got != "main to the new one" {
		t.Errorf("a push to the new repository started %q", got)
	}
	if err := w.move(is, Place{Address: first}); err != nil {
		t.Fatal(err)
	}
	w.deliver(p.ID)
	if got := w.started(p); got != "main to the new one" {
		t.Errorf("the move back started %q", got)
	}
	if got := w.started(other); got != "" {
		t.Errorf("another project's workflows: %s", got)
	}
}

func TestChangeOfTheDefaultBranch(t *testing.T) {
	w := open(t)
	bare, work := w.repository("shop", map[string]string{"readme": "a shop"})
	w.git(work, "push", "--quiet", "origin", "HEAD:next")
	p := w.project("shop", bare)
	w.push(work, "next", "not looked at yet")
	for _, c := range []struct {
		to   Place
		want string
	}{
		{Place{Branch: "next"}, "next"}, {Place{Address: bare}, "next"}, {Place{Address: bare, Head: true}, "main"}, {Place{Branch: " refs/heads/next "}, "next"},
	} {
		is, _, _ := w.stored(p.ID)
		if err := w.move(is, c.to); err != nil {
			t.Fatal(err)
		}
		if is, _, _ = w.stored(p.ID); is.DefaultBranch != c.want || is.GitURL != bare {
			t.Errorf("%+v: %+v", c.to, is)
		}
	}
	if is, _, told := w.stored(p.ID); told != "default branch main to next" || is.GitDir != bare {
		t.Error(told)
	}
	// A way of writing the address is not another repository: what was pushed before still counts.
	if err := w.move(func() *signalbox.Project { is, _, _ := w.stored(p.ID); return is }(), Place{Address: "file://" + bare}); err != nil {
		t.Fatal(err)
	}
	w.deliver(p.ID)
	if got := w.started(p); got != "next not looked at yet" {
		t.Errorf("a push before the change started %q", got)
	}
}

func TestAMoveThatIsRefusedChangesNothing(t *testing.T) {
	w := open(t)
	first, _ := w.repository("first", map[string]string{"readme": "a shop"})
	second, work := w.repository("second", map[string]string{"readme": "another shop"})
	for n := range 7 {
		w.git(work, "push", "--quiet", "origin", fmt.Sprintf("HEAD:b%d", n))
	}
	headless, _ := w.repository("headless", map[string]string{"readme": "x"})
	w.git(headless, "symbolic-ref", "HEAD", "refs/heads/gone")
	detached, _ := w.repository("detached", map[string]string{"readme": "x"})
	w.git(detached, "update-ref", "--no-deref", "HEAD", "main")
	p := w.project("shop", first)
	_, refs, _ := w.stored(p.ID)
	const password = "hunter2"
	for name, c := range map[string]struct {
		to     Place
		code   signalbox.Code
		branch bool
		says   string
	}{
		"nowhere":              {Place{Address: "/nowhere"}, signalbox.CodeInvalid, false, "no git repository at /nowhere"},
		"no address":           {Place{Address: "relative/path"}, signalbox.CodeInvalid, false, "a git URL or the absolute path"},
		"an option":            {Place{Address: "--upload-pack=touch x:y"}, signalbox.CodeInvalid, false, "a git URL or the absolute path"},
		"two lines":            {Place{Address: "https://x/\ny"}, signalbox.CodeInvalid, false, "a git URL or the absolute path"},
		"without an end":       {Place{Address: "https://x/" + strings.Repeat("y", 2000)}, signalbox.CodeInvalid, false, "a git URL or the absolute path"},
		"not there, elsewhere": {Place{Address: "file://ana:" + password + "@localhost/nowhere"}, signalbox.CodeUnavailable, false, "cannot read file://ana:xxxxx@localhost/nowhere"},
		"another protocol":     {Place{Address: "ext::sh -c true"}, signalbox.CodeUnavailable, false, "not allowed"},
		"a branch not there":   {Place{Address: second, Branch: "nope"}, signalbox.CodeInvalid, true, `no branch "nope"; its branches are b0, b1, b2, b3, b4 and 3 more`},
		"a branch not here":    {Place{Branch: "nope"}, signalbox.CodeInvalid, true, `no branch "nope"; its branches are main`},
		"a tag":                {Place{Address: second, Branch: "refs/tags/v1"}, signalbox.CodeInvalid, true, "no branch"},
		"HEAD names nothing":   {Place{Address: headless}, signalbox.CodeInvalid, true, `no branch "gone", which its HEAD names; its branches are main`},
		"HEAD is a commit":     {Place{Address: "file://localhost" + detached}, signalbox.CodeInvalid, true, "HEAD names no branch"},
	} {
		err := w.move(p, c.to)
		var branch *WrongBranch
		if signalbox.ErrorCode(err) != c.code || errors.As(err, &branch) != c.branch || !strings.Contains(signalbox.ErrorMessage(err), c.says) || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.hookErr = errors.New("the disk is full")
	if err := w.move(p, Place{Address: second}); signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), "hook of the repository "+second+" could not be installed: the disk is full") {
		t.Errorf("without a hook: %v", err)
	}
	w.hookErr = nil
	is, now, told := w.stored(p.ID)
	if is.GitURL != first || is.GitDir != first || is.DefaultBranch != "main" || !maps.Equal(refs, now) || told != first || !forge.Hooked(t.Context(), first) {
		t.Errorf("%+v with %v, %q", is, now, told)
	}
}

func TestMoveToAnEmptyRepository(t *testing.T) {
	w := open(t)
	first, _ := w.repository("first", map[string]string{"readme": "a shop"})
	empty, work := w.repository("empty", nil)
	w.git(empty, "symbolic-ref", "HEAD", "refs/heads/trunk")
	p := w.project("shop", first)
	for _, c := range []struct {
		to   Place
		want string
	}{{Place{Address: empty}, "trunk"}, {Place{Branch: "later/on"}, "later/on"}, {Place{Address: "file://localhost" + empty}, "later/on"}, {Place{Address: empty, Branch: "main"}, "main"}} {
		is, _, _ := w.stored(p.ID)
		if err := w.move(is, c.to); err != nil {
			t.Fatal(err)
		}
		if is, refs, _ := w.stored(p.ID); is.DefaultBranch != c.want || len(refs) != 0 {
			t.Errorf("%+v: %+v, %v", c.to, is, refs)
		}
	}
	is, _, _ := w.stored(p.ID)
	for _, branch := range []string{"a b", "a..b", "-x", "/x", "x.lock", "x\n"} {
		if err := w.move(is, Place{Branch: branch + "~"}); signalbox.ErrorCode(err) != signalbox.CodeInvalid {
			t.Errorf("%q: %v", branch, err)
		}
	}
	if err := os.WriteFile(filepath.Join(work, "readme"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.push(work, "main", "the first")
	w.deliver(p.ID)
	if got := w.started(p); got != "main the first" {
		t.Errorf("a push started %q", got)
	}
}

// Two move the project at the same time: the second one, whose look began before the first was through, is told and changes nothing.
func TestTwoMovesAtOnce(t *testing.T) {
	w := open(t)
	first, _ := w.repository("first", map[string]string{"readme": "1"})
	second, _ := w.repository("second", map[string]string{"readme": "2"})
	third, _ := w.repository("third", map[string]string{"readme": "3"})
	p := w.project("shop", first)
	before := *p
	if err := w.move(p, Place{Address: second}); err != nil {
		t.Fatal(err)
	}
	_, refs, told := w.stored(p.ID)
	if err := w.move(&before, Place{Address: third}); signalbox.ErrorCode(err) != signalbox.CodeConflict || !strings.Contains(err.Error(), "moved project shop") {
		t.Errorf("the second: %v", err)
	}
	if err := w.move(&before, Place{Branch: "main", Head: true}); signalbox.ErrorCode(err) != signalbox.CodeConflict {
		t.Errorf("a change of the branch: %v", err)
	}
	is, now, said := w.stored(p.ID)
	if is.GitURL != second || !maps.Equal(refs, now) || said != told || !forge.Hooked(t.Context(), second) || forge.Hooked(t.Context(), third) {
		t.Errorf("%+v with %v, %q", is, now, said)
	}
	var none *Move
	if err := none.Apply(nil, nil); err != nil || w.projects.FinishMove(t.Context(), nil) != nil {
		t.Error("no move is not nothing")
	}
}

// What is pushed to the new repository while the project moves is found when it has.
func TestAPushWhileTheProjectMoves(t *testing.T) {
	w := open(t)
	first, _ := w.repository("first", map[string]string{"readme": "1"})
	second, work := w.repository("second", map[string]string{"readme": "2"})
	p := w.project("shop", first)
	m, err := w.projects.PrepareMove(t.Context(), p, Place{Address: second})
	if err != nil {
		t.Fatal(err)
	}
	w.push(work, "main", "in between")
	w.deliver(p.ID) // the hook calls while the project is still where it was
	if err := w.store.Write(t.Context(), func(tx *store.Tx) error {
		_, err := Update(tx, "shop", "user:ana", func(p *signalbox.Project) error { return m.Apply(tx, p) })
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.projects.FinishMove(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got := w.started(p); got != "main in between" {
		t.Errorf("it started %q", got)
	}
}

func TestAPasswordOfTheAddressIsNotTold(t *testing.T) {
	with := func(password string) *signalbox.Project {
		return &signalbox.Project{GitURL: "https://ana:" + password + "@git.example/x.git", DefaultBranch: "main"}
	}
	for _, c := range []struct {
		was, is *signalbox.Project
		want    string
	}{
		{with("hunter2"), with("hunter2"), ""},
		{with("hunter2"), with("hunter3"), "password of the repository"},
		{with("hunter2"), &signalbox.Project{GitURL: "/srv/x"}, "repository https://ana:xxxxx@git.example/x.git to /srv/x, default branch main to none"},
	} {
		if got := changes(c.was, c.is); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
