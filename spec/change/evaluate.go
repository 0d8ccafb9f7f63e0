package change

import (
	"context"
	"fmt"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec/when"
)

// Lister knows the repository.
type Lister interface {
	// Changed lists the files that differ between two commits, with both names of a renamed one. With mergeBase it
	// compares head with the last commit that both share. An empty base, and the parent of a first commit, are the
	// state before anything was there. CodeNotFound says that the range cannot be resolved.
	Changed(ctx context.Context, base, head string, mergeBase bool) ([]string, error)
	// ResolveBranch returns the commit that a branch points to; CodeNotFound when there is no such branch.
	ResolveBranch(ctx context.Context, name string) (string, error)
}

// Warning is a doubt about an answer that was given nevertheless.
type Warning struct {
	Offset  int // in bytes from the start of the condition
	Message string
}

// Evaluator answers change_in for one build. It remembers what it has listed, so it is meant for one evaluation of a
// pipeline; it is not for several goroutines.
type Evaluator struct {
	Build  Build
	Lister Lister

	listed   map[Range]listing
	branches map[string]branch
	warnings []Warning
}

type listing struct {
	files []string
	err   error
}

type branch struct {
	sha string // "" when there is no such branch
	err error
}

// Warnings returns what was doubtful about the answers so far.
func (e *Evaluator) Warnings() []Warning { return e.warnings }

// Files lists what changed in the range that o leads to, which is not ok for a tag. CodeNotFound says that the range
// cannot be resolved.
func (e *Evaluator) Files(ctx context.Context, o Options) (files []string, r Range, ok bool, err error) {
	if r, _, ok = RangeFor(o, e.Build); !ok {
		return nil, r, false, nil
	}
	files, err = e.changed(ctx, r, o)
	return files, r, true, err
}

// Function returns what when.Inputs needs to ask for change_in, for a condition within or outside a promotion. Its
// errors are *when.EvaluationError, or those of the Lister where the repository could not be read at all.
func (e *Evaluator) Function(ctx context.Context, promotion bool) func(*when.Call) (bool, string, error) {
	b := e.Build
	b.Promotion = b.Promotion || promotion
	return func(c *when.Call) (bool, string, error) { return e.call(ctx, c, b) }
}

func (e *Evaluator) call(ctx context.Context, c *when.Call, b Build) (value bool, why string, err error) {
	o, err := ParseOptions(c)
	if err != nil {
		return false, "", err
	}
	r, chosen, ok := RangeFor(o, b)
	if !ok {
		return o.OnTags, fmt.Sprintf("a tag is built, where on_tags decides: %v", o.OnTags), nil
	}
	files, err := e.changed(ctx, r, o)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		text := fmt.Sprintf("the range %s cannot be resolved (%s), so everything counts as changed", r, signalbox.ErrorMessage(err))
		e.warnings = append(e.warnings, Warning{c.Offset, text})
		return true, text, nil
	}
	if err != nil {
		return false, "", err
	}
	value, why = answer(NewMatcher(o, b), files, r.describe(chosen))
	return value, why, nil
}

// answer puts into words what a matcher found.
func answer(m *Matcher, files []string, over string) (bool, string) {
	matched, file, pattern := m.Match(files)
	switch {
	case matched && pattern == "":
		return true, fmt.Sprintf("the pipeline file %s changed, which counts unless pipeline_file is 'ignore' (%s)", file, over)
	case matched && len(files) == 0:
		return true, fmt.Sprintf("'%.200s' always matches, though no file changed (%s)", pattern, over)
	case matched:
		return true, fmt.Sprintf("%s changed and matches '%.200s' (%s)", file, pattern, over)
	case len(files) == 0:
		return false, fmt.Sprintf("no file changed (%s)", over)
	case len(files) == 1:
		return false, fmt.Sprintf("the only file that changed, /%s, does not match (%s)", files[0], over)
	}
	return false, fmt.Sprintf("none of the %d files that changed matches (%s)", len(files), over)
}

// changed lists the files of a range. A side that names a branch is taken as that branch, even where a tag has the same
// name.
func (e *Evaluator) changed(ctx context.Context, r Range, o Options) ([]string, error) {
	base, err := e.branch(ctx, r.Base)
	if err != nil {
		return nil, err
	}
	if base == "" {
		if r.Trunk {
			return nil, e.unknown(r.Base, o)
		}
		base = r.Base
	}
	head := r.Head
	if head != e.Build.SHA {
		if head, err = e.branch(ctx, r.Head); err != nil {
			return nil, err
		}
		if head == "" {
			head = r.Head
			if r.Fallback != "" {
				head = r.Fallback
			}
		}
	}
	key := Range{Base: base, Head: head, MergeBase: r.MergeBase}
	l, ok := e.listed[key]
	if !ok {
		l.files, l.err = e.Lister.Changed(ctx, base, head, r.MergeBase)
		if e.listed == nil {
			e.listed = map[Range]listing{}
		}
		e.listed[key] = l
	}
	return l.files, l.err
}

// branch returns the commit of a branch, "" when there is none of that name.
func (e *Evaluator) branch(ctx context.Context, name string) (string, error) {
	if name == "" || name != brief(name) { // a commit's full name
		return "", nil
	}
	b, ok := e.branches[name]
	if !ok {
		b.sha, b.err = e.Lister.ResolveBranch(ctx, name)
		switch signalbox.ErrorCode(b.err) {
		case signalbox.CodeNotFound, signalbox.CodeInvalid: // such as main~1, which no branch can be called
			b = branch{}
		}
		if e.branches == nil {
			e.branches = map[string]branch{}
		}
		e.branches[name] = b
	}
	return b.sha, b.err
}

func (e *Evaluator) unknown(name string, o Options) error {
	err := &when.EvaluationError{
		Offset: o.TrunkOffset, Code: "Unknown git reference '" + name + "'.",
		Message: fmt.Sprintf("the repository has no branch %.100q to compare with", name),
	}
	switch d := e.Build.DefaultBranch; {
	case e.Build.RefType == RefPullRequest && name == e.Build.BaseBranch:
		err.Hint = "the pull request wants to go there, so it may have been renamed or removed since"
	case d != "" && d != name:
		err.Hint = fmt.Sprintf("write {default_branch: '%.100s'}, or leave default_branch out", d)
	default:
		err.Hint = "name the trunk with default_branch"
	}
	return err
}
