package change

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec/when"
)

// repository answers from a table: ranges as git writes them, and branches.
type repository struct {
	ranges   map[string][]string
	branches []string
	asked    []string
	broken   error
}

func (r *repository) Changed(_ context.Context, base, head string, mergeBase bool) ([]string, error) {
	text := Range{Base: base, Head: head, MergeBase: mergeBase}.String()
	r.asked = append(r.asked, text)
	files, ok := r.ranges[text]
	switch {
	case r.broken != nil:
		return nil, r.broken
	case !ok:
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "there is no %s", text)
	}
	return files, nil
}

func (r *repository) ResolveBranch(_ context.Context, name string) (string, error) {
	if slices.Contains(r.branches, name) {
		return "tip of " + name, nil
	}
	return "", signalbox.Errorf(signalbox.CodeNotFound, "there is no branch %s", name)
}

// onDev is a build of the branch dev, on which /lib/a.rb changed.
func onDev() (*Evaluator, *repository) {
	r := &repository{
		branches: []string{"main", "dev"},
		ranges:   map[string][]string{"tip of main...d0d0": {"lib/a.rb"}},
	}
	return &Evaluator{
		Build:  Build{Branch: "dev", SHA: "d0d0", DefaultBranch: "main", PipelineFile: ".semaphore/semaphore.yml"},
		Lister: r,
	}, r
}

func evaluate(t *testing.T, text string, ev *Evaluator, promotion bool) (when.Outcome, error) {
	t.Helper()
	e, err := when.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return when.Evaluate(e, when.Inputs{
		Keywords: map[string]string{"branch": "dev", "tag": "", "pull_request": ""},
		Call:     ev.Function(context.Background(), promotion),
	})
}

func TestTruthTable(t *testing.T) {
	tests := []struct {
		text string
		want bool
	}{
		{"branch = 'dev' or branch = 'main' and tag =~ '.*'", false},
		{"tag =~ '.*' and branch = 'main' or branch = 'dev'", true},
		{"branch != 'main'", true},
		{"pull_request !~ '.*'", true},
		{"change_in('/lib', {default_branch: 'main'})", true},
		{"change_in('/li', {default_branch: 'main'})", true},
		{"change_in('/lib/*.js', {default_branch: 'main'})", false},
		{"change_in(['/app', '../lib'], {default_branch: 'main'})", true},
		{"change_in('/', {default_branch: 'main', exclude: ['/lib']})", false},
		{"change_in('/lib')", true}, // the project's default branch is the trunk
		{"change_in('/x', {default_branch: 'main'}) = false", true},
		{"-1", false},
		{"0", true},
		{"[]", false},
		{"'false'", false},
		{"'a' = 'a' and 'ab' =~ '^a'", true},
	}
	for _, tt := range tests {
		ev, _ := onDev()
		got, err := evaluate(t, tt.text, ev, false)
		if err != nil || got.Value != tt.want {
			t.Errorf("%s: %v, %v, want %v", tt.text, got.Value, err, tt.want)
		}
	}
}

func TestUnknownTrunk(t *testing.T) {
	for _, c := range []struct {
		text, project string
		offset        int
		hint          string
	}{
		{"true or change_in('/lib', {default_branch: 'master'})", "main", 43, "write {default_branch: 'main'}"},
		{"change_in('/lib')", "master", 0, "name the trunk"},
		{"change_in('/lib')", "", 0, "name the trunk"},
		{"change_in('/lib', {default_branch: 'master', branch_range: '$SEMAPHORE_MERGE_BASE..HEAD'})", "main", 35, "'main'"},
	} {
		ev, _ := onDev()
		ev.Build.DefaultBranch = c.project
		_, err := evaluate(t, c.text, ev, false)
		var e *when.EvaluationError
		if !errors.As(err, &e) || e.Code != "Unknown git reference 'master'." || e.Offset != c.offset || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%s: %+v", c.text, err)
		}
	}
	ev, _ := onDev()
	ev.Build.CommitRange = "a...d0d0"
	if got, err := evaluate(t, "change_in('/lib', {default_branch: 'master', branch_range: '$SEMAPHORE_GIT_COMMIT_RANGE'})", ev, false); err != nil || !got.Value {
		t.Errorf("a trunk that is not needed need not exist: %v, %v", got.Value, err)
	}
}

func TestParseOptions(t *testing.T) {
	call := func(text string) *when.Call {
		e, err := when.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return e.(*when.Call)
	}
	got, err := ParseOptions(call("change_in(['/a', 'b/'], {on_tags: false, default_branch: 'x', default_branch: 'main', default_range: 'a..b', " +
		"branch_range: 'c...d', pipeline_file: 'ignore', exclude: '*.md', unknown: {}})"))
	want := Options{
		Patterns: []Pattern{{"/a", 11}, {"b/", 17}}, Exclude: []Pattern{{"*.md", 166}}, DefaultBranch: "main", DefaultRange: "a..b", BranchRange: "c...d",
		PipelineFile: "ignore", TrunkOffset: 78,
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	if got, err := ParseOptions(call("change_in([])")); err != nil || !got.OnTags || len(got.Patterns) != 0 {
		t.Errorf("no patterns: %+v, %v", got, err)
	}
	for _, c := range []struct {
		text   string
		offset int
		want   string
	}{
		{"change_in()", 0, "path or a list"},
		{"change_in('a', {}, 1)", 0, "path or a list"},
		{"change_in(1)", 10, "first parameter"},
		{"change_in(['a', true])", 16, "first parameter"},
		{"change_in({})", 10, "first parameter"},
		{"change_in([['a']])", 11, "first parameter"},
		{"change_in('a', 'b')", 15, "options in braces"},
		{"change_in('a', {on_tags: 'true'})", 25, "on_tags"},
		{"change_in('a', {on_tags: []})", 25, "on_tags"},
		{"change_in('a', {default_branch: 1})", 32, "default_branch"},
		{"change_in('a', {default_range: []})", 31, "default_range"},
		{"change_in('a', {branch_range: false})", 30, "branch_range"},
		{"change_in('a', {pipeline_file: -1.5})", 31, "pipeline_file"},
		{"change_in('a', {exclude: {}})", 25, "exclude"},
		{"change_in('a', {exclude: ['b', 2]})", 31, "exclude"},
		{"change_in(' ')", 10, "is empty"},
		{"change_in(['a', '/b*['])", 16, "not a valid glob"},
		{"change_in('a', {exclude: '{a*'})", 25, "not a valid glob"},
		{`change_in('*\')`, 10, "not a valid glob"},
		{"change_in('*" + strings.Repeat("{a,b}", 9) + "')", 10, "stands for more than 256"},
		{"change_in('*" + strings.Repeat("{[}],a}", 9) + "')", 10, "stands for more than 256"},
		{"change_in('" + strings.Repeat("a", 5000) + "')", 10, "longer than"},
	} {
		_, err := ParseOptions(call(c.text))
		var e *when.EvaluationError
		if !errors.As(err, &e) || e.Offset != c.offset || !strings.Contains(e.Error(), c.want) {
			t.Errorf("%.100s: %+v", c.text, err)
		}
	}
	for _, text := range []string{"change_in('[x')", "change_in('a{b')", "change_in('*{a,b}{c,d}[{]')"} {
		if _, err := ParseOptions(call(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

const sha = "0123456789abcdef0123456789abcdef01234567"

func TestRangeFor(t *testing.T) {
	branch := Build{Branch: "dev", SHA: sha, DefaultBranch: "main", CommitRange: "aaa...bbb"}
	trunk := branch
	trunk.Branch = "main"
	first := trunk
	first.CommitRange = strings.Repeat("0", 40) + "..." + sha
	without := func(b Build) Build { b.CommitRange = ""; return b }
	pull := Build{RefType: RefPullRequest, BaseBranch: "main", HeadBranch: "topic", SHA: sha, DefaultBranch: "main", CommitRange: "ccc...ddd"}
	fork := pull
	fork.Forked = true
	tests := []struct {
		name string
		o    Options
		b    Build
		want Range
	}{
		{"pull request", Options{BranchRange: "x..y", DefaultRange: "z"}, pull, Range{Base: "main", Head: "topic", MergeBase: true, Trunk: true, Fallback: sha}},
		{"fork", Options{BranchRange: "x..y"}, fork, Range{Base: "ccc", Head: "ddd", MergeBase: true}},
		{"fork with default_range", Options{DefaultRange: "$SEMAPHORE_MERGE_BASE..$SEMAPHORE_GIT_SHA"}, fork, Range{Base: "main", Head: sha, Trunk: true}},
		{"fork without commit range", Options{}, without(fork), Range{Base: "main", Head: sha, MergeBase: true, Trunk: true}},
		{"trunk", Options{BranchRange: "x..y"}, trunk, Range{Base: "aaa", Head: "bbb", MergeBase: true}},
		{"trunk by option", Options{DefaultBranch: "dev"}, branch, Range{Base: "aaa", Head: "bbb", MergeBase: true}},
		{"trunk with default_range", Options{DefaultRange: "HEAD~1..HEAD"}, trunk, Range{Base: sha + "~1", Head: sha}},
		{"trunk, only the last commit", Options{}, without(trunk), Range{Base: sha + "^", Head: sha, MergeBase: true}},
		{"first push of the trunk", Options{}, first, Range{Base: "", Head: sha}},
		{"branch", Options{DefaultRange: "x..y"}, branch, Range{Base: "main", Head: sha, MergeBase: true, Trunk: true}},
		{"branch of another trunk", Options{DefaultBranch: "next"}, branch, Range{Base: "next", Head: sha, MergeBase: true, Trunk: true}},
		{"branch of a project without trunk", Options{}, Build{Branch: "dev", SHA: sha}, Range{Base: "master", Head: sha, MergeBase: true, Trunk: true}},
		{"branch, what was pushed", Options{BranchRange: "$SEMAPHORE_GIT_COMMIT_RANGE"}, branch, Range{Base: "aaa", Head: "bbb", MergeBase: true}},
		{"branch, default_range instead", Options{BranchRange: "$SEMAPHORE_GIT_COMMIT_RANGE", DefaultRange: "x..y"}, branch, Range{Base: "x", Head: "y"}},
		{"branch, nothing known of the push", Options{BranchRange: "$SEMAPHORE_GIT_COMMIT_RANGE"}, without(branch), Range{Base: "main", Head: sha, MergeBase: true, Trunk: true}},
		{"branch, last commit", Options{BranchRange: "$SEMAPHORE_GIT_SHA^...$SEMAPHORE_GIT_SHA"}, branch, Range{Base: sha + "^", Head: sha, MergeBase: true}},
		{"branch, own range", Options{BranchRange: "${SEMAPHORE_MERGE_BASE}...${SEMAPHORE_GIT_SHA}"}, branch, Range{Base: "main", Head: sha, MergeBase: true, Trunk: true}},
		{"branch, range of other branches", Options{BranchRange: "release..dev"}, branch, Range{Base: "release", Head: "dev"}},
		{"one commit", Options{BranchRange: "v1.0"}, branch, Range{Base: "v1.0", Head: sha}},
		{"open range", Options{BranchRange: "v1.0..."}, branch, Range{Base: "v1.0", Head: sha, MergeBase: true}},
	}
	for _, tt := range tests {
		got, why, ok := RangeFor(tt.o, tt.b)
		if !ok || why == "" || got != tt.want {
			t.Errorf("%s: %+v (%s), want %+v", tt.name, got, why, tt.want)
		}
	}
	if _, _, ok := RangeFor(Options{}, Build{RefType: RefTag, SHA: sha}); ok {
		t.Error("nothing is compared for a tag")
	}
}

func TestEvaluator(t *testing.T) {
	tests := []struct {
		name, text string
		build      func(*Build)
		promotion  bool
		files      []string // of every range
		want       bool
		why        string
	}{
		{"a file", "change_in('/lib')", nil, false, []string{"doc/x", "lib/a.rb"}, true, "/lib/a.rb changed and matches '/lib' (main...d0d0, what"},
		{"no file", "change_in('/lib')", nil, false, []string{"a", "b", "c"}, false, "none of the 3 files that changed matches (main...d0d0, what the branch adds to the trunk)"},
		{"one file", "change_in('/lib')", nil, false, []string{"a"}, false, "the only file that changed, /a, does not match"},
		{"nothing changed", "change_in('/lib')", nil, false, nil, false, "no file changed"},
		{"nothing changed, but everything matches", "change_in('/')", nil, false, nil, true, "'/' always matches"},
		{"the pipeline file", "change_in('/lib')", nil, false, []string{".semaphore/semaphore.yml"}, true, "the pipeline file /.semaphore/semaphore.yml changed"},
		{"the pipeline file is ignored", "change_in('/lib', {pipeline_file: 'ignore'})", nil, false, []string{".semaphore/semaphore.yml"}, false, ""},
		{"the pipeline file in a promotion", "change_in('/lib')", nil, true, []string{".semaphore/semaphore.yml"}, false, ""},
		{"the pipeline file tracked in a promotion", "change_in('/lib', {pipeline_file: 'track'})", nil, true, []string{".semaphore/semaphore.yml"}, true, "pipeline file"},
		{"the pipeline file excluded", "change_in('/lib', {exclude: '/.semaphore'})", nil, false, []string{".semaphore/semaphore.yml"}, false, ""},
		{"an odd value of pipeline_file", "change_in('/lib', {pipeline_file: 'yes'})", nil, true, []string{".semaphore/semaphore.yml"}, true, "pipeline file"},
		{"a tag", "change_in('/x')", func(b *Build) { b.RefType = RefTag }, false, nil, true, "on_tags decides: true"},
		{"a tag, off", "change_in('/', {on_tags: false})", func(b *Build) { b.RefType = RefTag }, false, []string{"a"}, false, "on_tags decides: false"},
		{"everything", "change_in('/lib')", func(b *Build) {
			b.Branch, b.CommitRange = "main", strings.Repeat("0", 40)+"...d0d0"
		}, false, []string{"lib/x"}, true, "everything up to d0d0, what was pushed to the trunk"},
	}
	for _, tt := range tests {
		ev, r := onDev()
		if tt.build != nil {
			tt.build(&ev.Build)
		}
		r.ranges = map[string][]string{"tip of main...d0d0": tt.files, "..d0d0": tt.files}
		got, err := evaluate(t, tt.text, ev, tt.promotion)
		if err != nil || got.Value != tt.want || !strings.Contains(got.Term.Why, tt.why) || len(ev.Warnings()) != 0 {
			t.Errorf("%s: %v, %v, %q, %v", tt.name, got.Value, err, got.Term.Why, ev.Warnings())
		}
	}
}

func TestARangeIsListedOnce(t *testing.T) {
	ev, r := onDev()
	text := strings.Repeat("change_in('/lib') and change_in('/x', {default_branch: 'main'}) or ", 30) + "true"
	if _, err := evaluate(t, text, ev, false); err != nil {
		t.Fatal(err)
	}
	if _, err := evaluate(t, text, ev, true); err != nil {
		t.Fatal(err)
	}
	if len(r.asked) != 1 {
		t.Errorf("listed %q", r.asked)
	}
}

func TestUnresolvableRangeCountsAsChanged(t *testing.T) {
	ev, _ := onDev()
	got, err := evaluate(t, "false or change_in('/x', {branch_range: 'gone...$SEMAPHORE_GIT_SHA'})", ev, false)
	if err != nil || !got.Value {
		t.Fatalf("%v, %v", got.Value, err)
	}
	w := ev.Warnings()
	if len(w) != 1 || w[0].Offset != 9 || !strings.Contains(w[0].Message, "gone...d0d0 cannot be resolved") || !strings.Contains(got.Term.Terms[1].Why, "counts as changed") {
		t.Errorf("%+v, %+v", w, got.Term)
	}
	ev, r := onDev()
	r.broken = errors.New("no space left")
	if _, err := evaluate(t, "change_in('/x')", ev, false); err == nil || !strings.Contains(err.Error(), "no space left") || !errors.Is(err, r.broken) {
		t.Errorf("a repository that cannot be read: %v", err)
	}
}

// The head of a pull request may be gone by the time it is looked at.
func TestPullRequest(t *testing.T) {
	ev, r := onDev()
	ev.Build = Build{RefType: RefPullRequest, BaseBranch: "main", HeadBranch: "dev", SHA: "feed", DefaultBranch: "main"}
	r.ranges = map[string][]string{"tip of main...tip of dev": {"lib/a"}, "tip of main...feed": {"lib/b"}}
	if got, err := evaluate(t, "change_in('/lib/a')", ev, false); err != nil || !got.Value {
		t.Errorf("%+v, %v", got, err)
	}
	ev.branches, r.branches = nil, []string{"main"}
	if got, err := evaluate(t, "change_in('/lib/b')", ev, false); err != nil || !got.Value || len(ev.Warnings()) > 0 {
		t.Errorf("%+v, %v, %v", got, ev.Warnings(), err)
	}
	ev.branches, r.branches = nil, nil
	var e *when.EvaluationError
	if _, err := evaluate(t, "change_in('/lib/b')", ev, false); !errors.As(err, &e) || e.Code != "Unknown git reference 'main'." || !strings.Contains(e.Hint, "wants to go there") {
		t.Errorf("%v", err)
	}
}
