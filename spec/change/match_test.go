package change

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/signalbox-ci/signalbox/spec/when"
)

func matcher(exclude []string, patterns ...string) *Matcher {
	return inFile(".semaphore/semaphore.yml", exclude, patterns...)
}

func inFile(file string, exclude []string, patterns ...string) *Matcher {
	o := Options{PipelineFile: "ignore"}
	for _, p := range patterns {
		o.Patterns = append(o.Patterns, Pattern{Text: p})
	}
	for _, p := range exclude {
		o.Exclude = append(o.Exclude, Pattern{Text: p})
	}
	return NewMatcher(o, Build{PipelineFile: file})
}

func TestMatch(t *testing.T) {
	tests := []struct {
		pattern, file string
		want          bool
	}{
		{"/lib", "lib/a", true},
		{"/lib", "library/x", true},
		{"/lib/", "library/x", false},
		{"/lib/", "lib/x", true},
		{"/lib/", "lib", false},
		{"/lib", "app/lib/x", false},
		{"/", "anything", true},
		{"lib", ".semaphore/lib/x", true},
		{"lib", "lib/x", false},
		{"./lib/", ".semaphore/lib/x", true},
		{"../lib/", "lib/x", true},
		{"../../../lib", "lib/x", true},
		{"/a/../lib", "lib/x", true},
		{"//lib", "lib/x", true},
		{"/lib/?.go", "lib/a.go", false}, // without a star it is plain text
		{"/lib/?.go", "lib/?.go", true},
		{"/[ab]", "[ab]/x", true},
		{"/{a,b}", "a", false},
		{"/lib/*", "lib/a", true},
		{"/lib/*", "lib/a/b", false},
		{"/lib/*.js", "lib/a.js", true},
		{"/lib/*.js", "lib/a.jsx", false},
		{"/**/*.js", "a.js", true},
		{"/**/*.js", "a/b/c.js", true},
		{"/**/a/?.go", "x/a/b.go", true},
		{"/**/a/?.go", "x/a/bb.go", false},
		{"/lib/**", "lib", true},
		{"/lib/**", "lib/a/b", true},
		{"/lib/**/", "lib", true},
		{"/**/lib", "lib", true},
		{"/{a,b}/*.{c,d}", "b/x.d", true},
		{"/{a,b}/*.{c,d}", "b/x.e", false},
		{"/[a-c]/*", "b/x", true},
		{"/[!a-c]/*", "b/x", false},
		{`/\*/*`, "*/x", true},
		{`/\*/*`, "y/x", false},
		{`/*\a`, "xa", true},
		{`/a*\`, "a", false},
		{"*.yml", ".semaphore/x.yml", true},
		{"*.yml", "x.yml", false},
		{"../*/x", "a/x", true},
		{"/*/../x", "x/y", true}, // cleaning leaves a prefix
		{"/*", ".hidden", true},
		{"/ü*", "über", true},
	}
	for _, tt := range tests {
		got, file, pattern := matcher(nil, "/never", tt.pattern).Match([]string{"other", tt.file})
		if tt.pattern == "/" || tt.pattern == "/*" {
			got, file, pattern = matcher(nil, tt.pattern).Match([]string{tt.file})
		}
		if got != tt.want || got && (file != "/"+tt.file || pattern != tt.pattern) {
			t.Errorf("%s on %s: %v, %q, %q", tt.pattern, tt.file, got, file, pattern)
		}
		if got, _, _ := matcher([]string{tt.pattern}, "/").Match([]string{tt.file}); got == tt.want {
			t.Errorf("%s excludes %s: %v", tt.pattern, tt.file, !got)
		}
	}
	for _, tt := range []struct {
		file, pattern, changed string
		want                   bool
	}{
		{"a[1]/p.yml", "*.go", "a[1]/x.go", true},
		{"a[1]/p.yml", "*.go", "a1/x.go", false},
		{"a*/p.yml", "lib", "a*/lib/x", true},
		{"a*/p.yml", "lib", "ab/lib/x", false},
		{"p.yml", "lib/*", "lib/x", true},
		{"/sub/p.yml", "lib/", "sub/lib/x", true},
	} {
		if got, _, _ := inFile(tt.file, nil, tt.pattern).Match([]string{tt.changed}); got != tt.want {
			t.Errorf("%s in %s on %s: %v", tt.pattern, tt.file, tt.changed, got)
		}
	}
}

func TestPipelineFileIsAPrefix(t *testing.T) {
	m := NewMatcher(Options{}, Build{PipelineFile: "/ci/./p.yml"})
	for file, want := range map[string]bool{"ci/p.yml": true, "ci/p.yml.orig": true, "ci/p.yaml": false, "x/ci/p.yml": false} {
		if got, _, pattern := m.Match([]string{file}); got != want || pattern != "" {
			t.Errorf("%s: %v %q", file, got, pattern)
		}
	}
}

// The quick refusal by the ends of a glob must never change an answer.
func FuzzMatch(f *testing.F) {
	f.Add("/lib/**/*.{js,ts}", "lib/a/b.ts", ".semaphore/semaphore.yml")
	f.Add(`/a\*b*c`, "a*bxc", "p.yml")
	f.Add("../[!a-z]*/**", "0/x", "a{b/p.yml")
	f.Fuzz(func(t *testing.T, pattern, file, pipeline string) {
		if invalid(pattern) != "" || len(file) > 500 {
			return
		}
		m := inFile(pipeline, nil, pattern)
		g := m.patterns[0]
		got, _, _ := m.Match([]string{file})
		want := strings.HasPrefix("/"+file, g.pattern)
		if g.star {
			want = doublestar.MatchUnvalidated(g.pattern, "/"+file)
		}
		if got != want {
			t.Errorf("%q on %q: %v", pattern, file, got)
		}
		if !strings.HasPrefix(g.pattern, "/") || !isGlob(pattern) && path.Clean(g.pattern) != strings.TrimSuffix(g.pattern, "/") && g.pattern != "/" {
			t.Errorf("%q became %q", pattern, g.pattern)
		}
	})
}

// Whatever stands in a call, reading it ends in options or in an error with a place.
func FuzzParseOptions(f *testing.F) {
	f.Add("change_in(['/a', 'b*'], {default_branch: 'main', exclude: ['{x,y}*'], on_tags: false, branch_range: '$SEMAPHORE_MERGE_BASE..HEAD'})", "aaa...bbb", "main")
	f.Add("change_in([], {default_range: '$SEMAPHORE_GIT_COMMIT_RANGE'})", "", "dev")
	f.Fuzz(func(t *testing.T, text, commitRange, branch string) {
		e, err := when.Parse(text)
		c, ok := e.(*when.Call)
		if err != nil || !ok {
			return
		}
		o, err := ParseOptions(c)
		if err != nil {
			if ee, ok := err.(*when.EvaluationError); !ok || ee.Offset < 0 || ee.Offset > len(text) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		for _, kind := range []string{RefBranch, RefTag, RefPullRequest} {
			b := Build{RefType: kind, Branch: branch, BaseBranch: branch, HeadBranch: "x", SHA: sha, CommitRange: commitRange, DefaultBranch: "main"}
			r, _, ok := RangeFor(o, b)
			if ok && kind != RefPullRequest && r.Head == "" {
				t.Errorf("%q: a range without an end: %+v", text, r)
			}
			NewMatcher(o, b).Match([]string{branch})
		}
	})
}

// changedFiles are n names as monorepos have them, none of which any pattern of the benchmarks matches.
func changedFiles(n int) []string {
	files := make([]string, n)
	for i := range files {
		files[i] = fmt.Sprintf("services/service-%03d/src/package%d/module_%d/file_%d.rb", i%300, i%7, i%31, i)
	}
	return files
}

func BenchmarkMatch(b *testing.B) {
	var prefixes, globs, slow []string
	for i := range 422 {
		prefixes = append(prefixes, fmt.Sprintf("/services/service-%03d/app/", i))
		globs = append(globs, fmt.Sprintf("/services/*-%03d/**/*.go", i))
		slow = append(slow, fmt.Sprintf("/services/*-%03d/app/**/*.rb", i)) // both ends fit every file
	}
	var exclude []string
	for i := range 29 {
		exclude = append(exclude, fmt.Sprintf("/services/**/docs-%d/*.md", i))
	}
	for _, c := range []struct {
		name     string
		patterns []string
		exclude  []string
		files    int
	}{
		{"10000files/8globs", []string{"/lib/**/*.go", "/**/*.js", "/app/{a,b}/*", "/services/*/src/package9/**", "/x/**", "/y*", "/z/**/a", "/services/**/*.md"}, nil, 10000},
		{"10000files/422prefixes", prefixes, exclude, 10000},
		{"10000files/422globs", globs, exclude, 10000},
		{"1000files/422prefixes", prefixes, exclude, 1000},
		{"1000files/422globs", globs, exclude, 1000},
		{"1000files/422globs-that-nearly-match", slow, exclude, 1000},
	} {
		b.Run(c.name, func(b *testing.B) {
			files := changedFiles(c.files)
			b.ReportAllocs()
			for b.Loop() {
				if ok, file, pattern := matcher(c.exclude, c.patterns...).Match(files); ok {
					b.Fatal(file, pattern)
				}
			}
		})
	}
}

// BenchmarkCondition is the largest condition seen in a real pipeline: 15 kB, 422 patterns in one call, 29 excluded.
func BenchmarkCondition(b *testing.B) {
	var patterns, exclude []string
	for i := range 422 {
		patterns = append(patterns, fmt.Sprintf("'/services/srv%03d/app/config/*.yml'", i))
	}
	for i := range 29 {
		exclude = append(exclude, fmt.Sprintf("'/docs-%d/**/*.md'", i))
	}
	text := "branch = 'dev' and change_in([" + strings.Join(patterns, ",") + "], {exclude: [" + strings.Join(exclude, ",") + "]})"
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprintf("%dkB/%dfiles", len(text)/1000, n), func(b *testing.B) {
			files := changedFiles(n)
			for b.Loop() {
				ev, r := onDev()
				r.ranges["tip of main...d0d0"] = files
				e, err := when.Parse(text)
				if err != nil {
					b.Fatal(err)
				}
				in := when.Inputs{Keywords: map[string]string{"branch": "dev"}, Call: ev.Function(b.Context(), false)}
				if got, err := when.Evaluate(e, in); err != nil || got.Value {
					b.Fatal(got, err)
				}
			}
		})
	}
}
