package signalbox_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// forbidden says which packages of ours may not be reached, through any number of imports, from others.
var forbidden = []struct {
	from   []string // folders, with everything below them
	to     []string
	reason string
}{
	{
		[]string{"agent", "agentapi"},
		[]string{"store", "server", "web", "api", "dispatch", "engine", "auth"},
		"the agent runs on other people's machines: less code there, less risk",
	},
	{[]string{"web"}, []string{"api"}, "web and api are two faces of the same operations; neither calls the other"},
	{[]string{"api"}, []string{"web"}, "web and api are two faces of the same operations; neither calls the other"},
	{[]string{"store"}, []string{"engine", "dispatch", "secret", "auth", "schedule"}, "storage stores; decisions live above it, and it never has a key"},
	{[]string{"web"}, []string{"secret"}, "no page has the means to open a secret"},
	{[]string{"redact"}, []string{"store", "auth", "joblog", "secret"}, "finding a secret in a text needs the text and the secret only"},
	{[]string{"secret"}, []string{"dispatch", "engine", "joblog", "api"}, "who uses secrets knows them, not the other way round"},
	{[]string{"queue"}, []string{"dispatch", "engine", "api", "web"}, "whose turn it is is decided from what was read, by whoever asks"},
	{[]string{"cron"}, []string{"store", "schedule"}, "when a task is due is a pure function"},
	{[]string{"fleet"}, []string{"api", "web", "server", "dispatch"}, "what people do to agents has no face and needs no hub"},
	{[]string{"sts"}, []string{"store", "auth", "dispatch", "fleet"}, "asking AWS who somebody is needs no state of ours"},
	{[]string{"backup", "verify"}, []string{"api", "web", "server", "dispatch"}, "they work on data that no server has, or another one"},
	{[]string{"schedule"}, []string{"api", "web", "server"}, "tasks run without a face"},
	{[]string{"setup", "people", "project"}, []string{"api", "web", "server"}, "the pages and the API call them, not the other way round"},
	{[]string{"logline"}, []string{"api", "web", "server", "engine", "dispatch", "secret"}, "where lines are follows from what is stored of a log, and from nothing else"},
	{[]string{"joblog"}, []string{"logline"}, "what is derived from a log does not decide what is stored of it"},
	{[]string{"storybook/scene"}, []string{"web", "api", "server", "engine", "dispatch"}, "tests of pages write scenes too, and a scene is what is stored, however it would have come there"},
	{[]string{"storybook"}, []string{"api", "server", "dispatch"}, "what the storybook shows are the pages, and nothing in it moves"},
	{[]string{"store", "web", "api", "server", "engine", "dispatch"}, []string{"storybook"}, "made-up data is for whoever looks at pages, and for tests"},
	{
		[]string{"store", "queue", "joblog", "logline", "engine", "dispatch", "fleet", "api", "web"},
		[]string{"metrics"},
		"what happens is counted through functions in options; nothing but the server knows by whom",
	},
}

func TestDependencyDirection(t *testing.T) {
	imports := map[string]map[string]string{} // package -> package of ours -> a file that imports it
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		if imports[f.pkg] == nil {
			imports[f.pkg] = map[string]string{}
		}
		for _, dep := range f.ours() {
			imports[f.pkg][dep] = f.path
		}
	}
	for _, rule := range forbidden {
		for pkg := range imports {
			if !within(pkg, rule.from...) {
				continue
			}
			if chain := reach(imports, pkg, rule.to); chain != nil {
				t.Errorf("%s must not depend on %s, because %s\n\t%s",
					pkg, strings.Join(rule.to, ", "), rule.reason, strings.Join(chain, "\n\t"))
			}
		}
	}
	for pkg, deps := range imports {
		for dep, file := range deps {
			if within(pkg, "spec") && dep != "." && !within(dep, "spec") {
				t.Errorf("%s imports %s: spec may import the root package and what is below spec only, "+
					"because a pipeline file must be checkable offline", file, dep)
			}
			if within(dep, "sim", "e2e", "cmd") && !within(pkg, "sim", "e2e", "cmd") {
				t.Errorf("%s imports %s: nothing imports programs and whole-system tests", file, dep)
			}
		}
	}
}

// reach returns a chain of imports from pkg to one of the folders, nil when there is none.
func reach(imports map[string]map[string]string, pkg string, to []string) []string {
	seen := map[string]bool{pkg: true}
	var visit func(string) []string
	visit = func(at string) []string {
		for dep, file := range imports[at] {
			step := fmt.Sprintf("%s imports %s", file, dep)
			if within(dep, to...) {
				return []string{step}
			}
			if !seen[dep] {
				seen[dep] = true
				if rest := visit(dep); rest != nil {
					return append([]string{step}, rest...)
				}
			}
		}
		return nil
	}
	return visit(pkg)
}

func TestReachFindsIndirectImports(t *testing.T) {
	imports := map[string]map[string]string{
		"agent": {"a": "agent/x.go"}, "a": {"b": "a/x.go", "agent": "a/y.go"}, "b": {"store/sub": "b/x.go"},
	}
	want := []string{"agent/x.go imports a", "a/x.go imports b", "b/x.go imports store/sub"}
	if got := reach(imports, "agent", []string{"store"}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := reach(imports, "agent", []string{"web"}); got != nil {
		t.Errorf("got %q, want nothing", got)
	}
}

func TestRootImportsOnlyTheStandardLibrary(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.pkg != "." || f.test {
			continue
		}
		for _, p := range f.imports() {
			if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s: the root package imports the standard library only, "+
					"because the vocabulary must be importable from anywhere", f.path, p)
			}
		}
	}
}

// owners says which folders alone may import a package.
var owners = []struct {
	imports []string // import paths, with everything below them
	by      []string
	tests   bool // holds for tests too
	reason  string
}{
	{
		[]string{"database/sql", "modernc.org/sqlite", "github.com/jackc/pgx", "github.com/pressly/goose"},
		[]string{"store"},
		true, "there is one place for SQL and one place to tune it",
	},
	{
		[]string{"golang.org/x/crypto/argon2", "golang.org/x/crypto/bcrypt", "golang.org/x/crypto/scrypt"},
		[]string{"auth"},
		true, "passwords are hashed in one place, with one set of parameters",
	},
	{
		[]string{"flag", "github.com/alecthomas/kong"},
		[]string{"cmd"},
		false, "behaviour is decided by arguments; only programs read their command line",
	},
	{
		[]string{"github.com/chromedp"},
		[]string{"web/browse", "web", "storybook", "journey", "e2e"},
		true, "only browser tests drive a browser",
	},
	{
		[]string{"github.com/creack/pty"},
		[]string{"agent/executor", "e2e"},
		true, "commands run in one place",
	},
	{
		[]string{"github.com/BurntSushi/toml"},
		[]string{"cmd"},
		true, "only configuration files of the agent may be TOML",
	},
	{
		[]string{"github.com/moby/moby", "github.com/docker/cli", "github.com/containerd/errdefs", "github.com/distribution/reference"},
		[]string{"agent/executor", "e2e"},
		true, "there is one place that talks to a Docker engine",
	},
	{
		[]string{"github.com/dlclark/regexp2"},
		[]string{"spec/when"},
		true, "patterns of conditions are compiled and bounded in one place",
	},
	{
		[]string{"github.com/bmatcuk/doublestar"},
		[]string{"spec/change"},
		true, "what a path pattern means is decided in one place",
	},
	{
		[]string{"github.com/Masterminds/sprig"},
		[]string{"spec/template"},
		true, "of its functions some read the environment, files or the network; one place chooses those that do not",
	},
	{
		[]string{"github.com/santhosh-tekuri/jsonschema"},
		[]string{"spec"},
		true, "only the test of the JSON Schema needs a program that reads one",
	},
	{
		[]string{"github.com/adhocore/gronx"},
		[]string{"cron"},
		true, "what a cron expression means is decided in one place",
	},
	{
		[]string{"github.com/prometheus"},
		[]string{"metrics"},
		true, "what is measured has one place that names it; other packages call functions they are given",
	},
	{
		[]string{"go.yaml.in/yaml"},
		[]string{"spec", "cmd"},
		true, "pipeline files are read in one place, with one set of limits",
	},
}

func TestOwnedImports(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, p := range f.imports() {
			for _, rule := range owners {
				if f.test && (!rule.tests || within(f.pkg, "sim", "e2e")) {
					continue
				}
				if within(p, rule.imports...) && !within(f.pkg, rule.by...) {
					t.Errorf("%s imports %s: only %s may, because %s", f.path, p, strings.Join(rule.by, " and "), rule.reason)
				}
			}
		}
	}
}

// calls says which folders alone may call a function of the standard library. Tests may call what they like.
var calls = []struct {
	pkg    string
	names  []string
	by     []string
	reason string
}{
	{
		"os",
		[]string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"},
		[]string{"cmd", "agent/executor", "forge", "store/storetest", "web/browse"},
		"behaviour is decided by arguments; tests need no environment (agent/executor passes the host's environment on " +
			"to jobs, forge a cleaned one to git and ssh, store/storetest and web/browse are told what tests have)",
	},
	{"syscall", []string{"Getenv", "Environ"}, []string{"cmd", "agent/executor"}, "behaviour is decided by arguments"},
	{
		"crypto/x509",
		[]string{"CreateCertificate", "CreateCertificateRequest", "CreateRevocationList"},
		[]string{"cert"},
		"certificates are made in one place",
	},
}

func TestOwnedCalls(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		for _, rule := range calls {
			if within(f.pkg, rule.by...) {
				continue
			}
			for _, pos := range f.uses(rule.pkg, rule.names...) {
				t.Errorf("%s: %s of %s may be used by %s only, because %s", fileSet.Position(pos),
					strings.Join(rule.names, "/"), rule.pkg, strings.Join(rule.by, " and "), rule.reason)
			}
		}
	}
}

func TestOnlyForgeRunsGit(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || within(f.pkg, "forge") {
			continue
		}
		for _, pos := range runsOf(f, "git") {
			t.Errorf("%s: only forge runs git, because the safe way to call it (no prompts, no hooks, "+
				"no hostile protocols, checked names) is written down once", fileSet.Position(pos))
		}
	}
}

// runsOf finds exec.Command("program") and exec.CommandContext(ctx, "program").
func runsOf(f goFile, program string) []token.Pos {
	local := f.localName("os/exec")
	if local == "" {
		return nil
	}
	var found []token.Pos
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		at := slices.Index([]string{"Command", "CommandContext"}, sel.Sel.Name)
		if !ok || x.Name != local || at < 0 || len(call.Args) <= at {
			return true
		}
		if lit, ok := call.Args[at].(*ast.BasicLit); ok {
			if s, err := strconv.Unquote(lit.Value); err == nil && s == program {
				found = append(found, call.Pos())
			}
		}
		return true
	})
	return found
}
