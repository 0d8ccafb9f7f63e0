package change

import (
	"fmt"
	"strings"
)

// Kinds of references that a build may be of.
const (
	RefBranch      = "branch"
	RefTag         = "tag"
	RefPullRequest = "pull-request"
)

// Build is what is being built.
type Build struct {
	RefType       string // RefBranch when empty
	Branch        string // of a build of a branch
	BaseBranch    string // of a pull request: where it wants to go
	HeadBranch    string // of a pull request: where it comes from
	Forked        bool   // whether a pull request comes from another repository
	SHA           string
	CommitRange   string // what was pushed, such as "<before>...<after>"; may be empty
	DefaultBranch string // of the project
	PipelineFile  string // from the root of the repository
	Promotion     bool   // whether the condition belongs to a promotion
}

// Range is what to compare. Each side is a branch or anything else that names a commit.
type Range struct {
	Base, Head string
	// MergeBase compares with the last commit that both sides share, as "base...head" does, instead of with Base.
	MergeBase bool
	// Trunk says that Base is a branch by definition, so that it must exist.
	Trunk bool
	// Fallback is what to take for Head when it is a branch that is gone; "" for nothing.
	Fallback string
}

// String returns the range as git writes it.
func (r Range) String() string {
	dots := ".."
	if r.MergeBase {
		dots = "..."
	}
	return brief(r.Base) + dots + brief(r.Head)
}

// brief shortens a commit's full name, with what follows it.
func brief(s string) string {
	n := 0
	for n < len(s) && strings.IndexByte("0123456789abcdef", s[n]) >= 0 {
		n++
	}
	if n == 40 || n == 64 {
		return s[:10] + s[n:]
	}
	return s
}

const (
	varMergeBase = "$SEMAPHORE_MERGE_BASE"
	varSHA       = "$SEMAPHORE_GIT_SHA"
	varRange     = "$SEMAPHORE_GIT_COMMIT_RANGE"
)

// RangeFor chooses the commits to compare, and says why in words that complete "the range is …". It is not ok for a tag,
// where nothing is compared.
func RangeFor(o Options, b Build) (r Range, why string, ok bool) {
	trunk := trunkOf(o, b)
	switch {
	case b.RefType == RefTag:
		return Range{}, "", false
	case b.RefType == RefPullRequest && b.Forked:
		r = defaultRange(o, b, trunk)
		return r, "that of a pull request from a fork", true
	case b.RefType == RefPullRequest:
		// A head that is gone is still part of the merge commit, which adds nothing else to the base.
		return Range{Base: b.BaseBranch, Head: b.HeadBranch, MergeBase: true, Trunk: true, Fallback: b.SHA},
			"between the two branches of the pull request", true
	case b.Branch == trunk:
		return defaultRange(o, b, trunk), "what was pushed to the trunk", true
	}
	text := strings.TrimSpace(o.BranchRange)
	switch text {
	case varRange:
		return defaultRange(o, b, trunk), "what was pushed", true
	case "":
		return Range{Base: trunk, Head: b.SHA, MergeBase: true, Trunk: true}, "what the branch adds to the trunk", true
	}
	return userRange(text, b, trunk), "that of branch_range", true
}

// trunkOf returns the name of the trunk for a call.
func trunkOf(o Options, b Build) string {
	switch {
	case o.DefaultBranch != "":
		return o.DefaultBranch
	case b.DefaultBranch != "":
		return b.DefaultBranch
	}
	return "master"
}

func defaultRange(o Options, b Build, trunk string) Range {
	if text := strings.TrimSpace(o.DefaultRange); text != "" && text != varRange {
		return userRange(text, b, trunk)
	}
	return commitRange(b, trunk)
}

// commitRange is what was pushed.
func commitRange(b Build, trunk string) Range {
	if text := strings.TrimSpace(b.CommitRange); text != "" {
		return split(text, b.SHA)
	}
	if b.RefType == RefPullRequest || b.Branch != trunk {
		return Range{Base: trunk, Head: b.SHA, MergeBase: true, Trunk: true}
	}
	// The trunk compared with its own tip would never show a change, so it is the last commit.
	return Range{Base: b.SHA + "^", Head: b.SHA, MergeBase: true}
}

// userRange reads the text of default_range or branch_range.
func userRange(text string, b Build, trunk string) Range {
	for _, braces := range []struct{ open, end string }{{"$", ""}, {"${", "}"}} {
		name := func(v string) string { return braces.open + v[1:] + braces.end }
		if text == name(varRange) {
			return commitRange(b, trunk)
		}
		text = strings.NewReplacer(name(varMergeBase), trunk, name(varSHA), b.SHA, name(varRange), b.CommitRange).Replace(text)
	}
	r := split(text, b.SHA)
	r.Trunk = r.Base == trunk
	return r
}

// split reads "a...b", "a..b" or "a", where an absent side and HEAD are the commit that is built. A base of zeros is how
// a push says that there was nothing before.
func split(text, sha string) Range {
	r := Range{MergeBase: true}
	var ok bool
	if r.Base, r.Head, ok = strings.Cut(text, "..."); !ok {
		r.MergeBase = false
		r.Base, r.Head, _ = strings.Cut(text, "..")
	}
	r.Base, r.Head = side(r.Base, sha), side(r.Head, sha)
	if len(r.Base) >= 40 && strings.Trim(r.Base, "0") == "" {
		r.Base, r.MergeBase = "", false
	}
	return r
}

func side(s, sha string) string {
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(s, "HEAD"); ok && (rest == "" || rest[0] == '^' || rest[0] == '~') {
		return sha + rest
	}
	if s == "" {
		return sha
	}
	return s
}

// describe says over what was compared.
func (r Range) describe(why string) string {
	if r.Base == "" {
		return fmt.Sprintf("everything up to %s, %s", brief(r.Head), why)
	}
	return fmt.Sprintf("%s, %s", r, why)
}
