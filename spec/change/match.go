package change

import (
	"path"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// Matcher decides about changed files. It is made once for a call and reads each of its patterns once.
type Matcher struct {
	pipeline string // "/.semaphore/semaphore.yml", "" when a change of it does not count
	patterns []glob
	exclude  []glob
}

// glob is one pattern, as a path from the root.
type glob struct {
	written string // as in the condition
	pattern string
	star    bool   // whether it is a glob; otherwise a prefix
	prefix  string // what a matching path begins with
	suffix  string // what a matching path ends with
}

// NewMatcher prepares the patterns of o. Of b it needs the pipeline file and whether this is about a promotion.
func NewMatcher(o Options, b Build) *Matcher {
	m := &Matcher{patterns: globs(o.Patterns, b.PipelineFile), exclude: globs(o.Exclude, b.PipelineFile)}
	track := o.PipelineFile != "ignore"
	if o.PipelineFile == "" {
		track = !b.Promotion
	}
	if track && b.PipelineFile != "" {
		m.pipeline = path.Clean(slashed(b.PipelineFile))
	}
	return m
}

func globs(list []Pattern, pipelineFile string) []glob {
	out := make([]glob, len(list))
	for i, p := range list {
		g := glob{written: p.Text, pattern: rooted(p.Text, pipelineFile)}
		g.prefix = g.pattern
		if g.star = isGlob(p.Text) && strings.ContainsAny(g.pattern, special); g.star {
			g.prefix, g.suffix = ends(g.pattern)
		}
		out[i] = g
	}
	return out
}

const special = `*?[]{}\`

// ends returns the plain text at both ends of a glob, by which nearly every path that does not match is refused.
func ends(glob string) (prefix, suffix string) {
	if strings.ContainsRune(glob, utf8.RuneError) {
		return "", "" // stands for every byte that is not UTF-8
	}
	first, last := strings.IndexAny(glob, special), strings.LastIndexAny(glob, special)
	prefix, suffix = glob[:first], glob[last+1:]
	if strings.HasPrefix(glob[first:], "**") {
		prefix = strings.TrimSuffix(prefix, "/") // "/lib/**" matches "/lib" too
	}
	if strings.HasSuffix(glob[:last+1], "**") {
		suffix = strings.TrimPrefix(suffix, "/") // so does "/lib/**/"
	}
	if strings.ContainsRune(glob, '\\') {
		suffix = "" // its first character may be an escaped one
	}
	return prefix, suffix
}

func (g *glob) match(file string) bool {
	if !strings.HasPrefix(file, g.prefix) {
		return false
	}
	return !g.star || strings.HasSuffix(file, g.suffix) && doublestar.MatchUnvalidated(g.pattern, file)
}

// Match looks for the first of the files that counts, and returns it with "/" in front together with the pattern as
// written. Where the pipeline file itself is what changed, the pattern is "". No files at all are seen as one change of
// "/", so that '/' always matches.
func (m *Matcher) Match(files []string) (matched bool, file, pattern string) {
	if len(files) == 0 {
		files = []string{""}
	}
	for _, f := range files {
		f = "/" + f
		if m.excluded(f) {
			continue
		}
		if m.pipeline != "" && strings.HasPrefix(f, m.pipeline) {
			return true, f, ""
		}
		for i := range m.patterns {
			if g := &m.patterns[i]; g.match(f) {
				return true, f, g.written
			}
		}
	}
	return false, "", ""
}

func (m *Matcher) excluded(file string) bool {
	for i := range m.exclude {
		if m.exclude[i].match(file) {
			return true
		}
	}
	return false
}
