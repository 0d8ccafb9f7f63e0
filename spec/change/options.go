package change

import (
	"fmt"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/signalbox-ci/signalbox/spec/when"
)

// Options are what a call of change_in asks for. In texts that were not given the zero value stands for the default.
type Options struct {
	Patterns      []Pattern
	Exclude       []Pattern
	OnTags        bool   // the answer for a build of a tag
	DefaultBranch string // the trunk; "" is the project's default branch
	DefaultRange  string // on the trunk and in pull requests from forks
	BranchRange   string // on other branches
	PipelineFile  string // "track", "ignore" or "" when not given
	Offset        int    // of the call
	TrunkOffset   int    // of default_branch, of the call when it is not given
}

// Pattern is a path or glob as written, and where.
type Pattern struct {
	Text   string
	Offset int
}

const (
	maxPattern      = 4096 // bytes
	maxAlternatives = 256  // paths that the braces of one pattern stand for
)

// ParseOptions reads the parameters of change_in. Options that do not exist are ignored, as they always were. The error
// is a *when.EvaluationError.
func ParseOptions(c *when.Call) (Options, error) {
	o := Options{OnTags: true, Offset: c.Offset, TrunkOffset: c.Offset}
	if n := len(c.Params); n < 1 || n > 2 {
		return o, &when.EvaluationError{
			Offset: c.Offset, Code: fmt.Sprintf("Function 'change_in' accepts 1 or 2 parameter(s) and was provided with %d.", n),
			Message: "change_in takes a path or a list of paths and, if needed, options in braces",
		}
	}
	var err error
	if o.Patterns, err = patterns(c.Params[0], "the first parameter of change_in"); err != nil || len(c.Params) == 1 {
		return o, err
	}
	m, ok := c.Params[1].(*when.Map)
	if !ok {
		return o, wrong(c.Params[1].Pos(), "the second parameter of change_in must be options in braces", "write {default_branch: 'main'}")
	}
	for _, en := range m.Entries { // a repeated key: the later one counts
		if err := o.set(en); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (o *Options) set(en when.Entry) (err error) {
	what := "the option " + en.Key + " of change_in"
	var value any
	if lit, ok := en.Value.(*when.Literal); ok {
		value = lit.Value
	}
	texts := map[string]*string{
		"default_branch": &o.DefaultBranch, "default_range": &o.DefaultRange, "branch_range": &o.BranchRange, "pipeline_file": &o.PipelineFile,
	}
	switch en.Key {
	case "on_tags":
		var ok bool
		if o.OnTags, ok = value.(bool); !ok {
			err = wrong(en.Value.Pos(), what+" must be true or false", "write on_tags: false")
		}
	case "exclude":
		o.Exclude, err = patterns(en.Value, what)
	default:
		to, known := texts[en.Key]
		if !known {
			return nil
		}
		text, ok := value.(string)
		if !ok {
			return wrong(en.Value.Pos(), what+" must be a text in single quotes", "")
		}
		*to = text
		if en.Key == "default_branch" {
			o.TrunkOffset = en.Value.Pos()
		}
	}
	return err
}

func wrong(offset int, message, hint string) error {
	return &when.EvaluationError{Offset: offset, Message: message, Hint: hint}
}

// patterns reads a text or a list of texts.
func patterns(e when.Expr, what string) ([]Pattern, error) {
	items := []when.Expr{e}
	if l, ok := e.(*when.List); ok {
		items = l.Items
	}
	out := make([]Pattern, 0, len(items))
	for _, it := range items {
		lit, _ := it.(*when.Literal)
		if lit == nil {
			return nil, wrong(it.Pos(), what+" must be a path in single quotes or a list of such paths", "")
		}
		text, ok := lit.Value.(string)
		if !ok {
			return nil, wrong(it.Pos(), what+" must be a path in single quotes or a list of such paths", "")
		}
		if why := invalid(text); why != "" {
			return nil, badPattern(it.Pos(), text, why)
		}
		out = append(out, Pattern{text, it.Pos()})
	}
	return out, nil
}

func badPattern(offset int, text, why string) *when.EvaluationError {
	return &when.EvaluationError{Offset: offset, Message: fmt.Sprintf("the pattern %.100q of change_in %s", text, why)}
}

// InvalidPatterns lists every path and glob of a call that ParseOptions would refuse, whatever else is wrong with it.
func InvalidPatterns(c *when.Call) (found []*when.EvaluationError) {
	var visit func(e when.Expr)
	visit = func(e when.Expr) {
		switch e := e.(type) {
		case *when.Literal:
			if text, ok := e.Value.(string); ok {
				if why := invalid(text); why != "" {
					found = append(found, badPattern(e.Offset, text, why))
				}
			}
		case *when.List:
			for _, it := range e.Items {
				visit(it)
			}
		case *when.Map:
			for _, en := range e.Entries {
				if en.Key == "exclude" {
					visit(en.Value)
				}
			}
		}
	}
	for i, p := range c.Params {
		if _, options := p.(*when.Map); options == (i == 1) {
			visit(p)
		}
	}
	return found
}

// invalid says why text is no pattern, "" when it is one.
func invalid(text string) string {
	switch {
	case strings.TrimSpace(text) == "":
		return "is empty; write '/' for every file"
	case len(text) > maxPattern:
		return fmt.Sprintf("is longer than %d bytes", maxPattern)
	case strings.ContainsRune(text, 0):
		return "contains a character that no path can"
	case !isGlob(text):
		return ""
	case !doublestar.ValidatePattern(text):
		return `is not a valid glob: a "[" or "{" is not closed, or it ends with a backslash`
	case alternatives(text) > maxAlternatives:
		return fmt.Sprintf("stands for more than %d paths, because the choices in its braces multiply", maxAlternatives)
	}
	return ""
}

// isGlob tells a glob from a prefix. Only a star makes a glob: other special characters without one are meant literally.
func isGlob(pattern string) bool { return strings.Contains(pattern, "*") }

// alternatives returns how many paths the braces of a glob stand for, at most, capped.
func alternatives(glob string) int {
	total, choices := 1, []int{}
	for i := 0; i < len(glob); i++ {
		switch glob[i] {
		case '\\':
			i++
		case '[':
			i = endOfClass(glob, i)
		case '{':
			choices = append(choices, 1)
		case ',':
			if n := len(choices); n > 0 {
				choices[n-1]++
			}
		case '}':
			if n := len(choices); n > 0 {
				total = min(total*choices[n-1], 2*maxAlternatives)
				choices = choices[:n-1]
			}
		}
	}
	return total
}

// endOfClass returns where the class that begins at i ends.
func endOfClass(glob string, i int) int {
	for i++; i < len(glob) && glob[i] != ']'; i++ {
		if glob[i] == '\\' {
			i++
		}
	}
	return i
}

// rooted returns a pattern as one for paths from the root of the repository that begin with "/". One that does not
// begin with "/" starts in the folder of the pipeline file.
func rooted(pattern, pipelineFile string) string {
	full := pattern
	if !strings.HasPrefix(full, "/") {
		folder := path.Dir(slashed(pipelineFile))
		if isGlob(pattern) {
			folder = quoted.Replace(folder)
		}
		full = folder + "/" + full
	}
	full = path.Clean(slashed(full))
	if strings.HasSuffix(pattern, "/") && full != "/" {
		full += "/"
	}
	return full
}

// quoted makes special characters of a folder's name plain ones of a glob.
var quoted = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`, "{", `\{`, "}", `\}`)

// slashed returns a path from the root of the repository with "/" in front.
func slashed(p string) string { return "/" + strings.TrimLeft(p, "/") }
