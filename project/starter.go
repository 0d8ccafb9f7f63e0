package project

import (
	"fmt"
	"slices"
	"strings"
)

// Language is what a repository seems to be written in, "" is unknown.
type Language string

// starter is what a first pipeline runs.
type starter struct {
	language Language
	sign     []string // files that give it away
	block    string
	jobs     []starterJob
}

type starterJob struct {
	name     string
	commands []string
}

var starters = []starter{
	{"Go", []string{"go.mod"}, "Test", []starterJob{{"vet", []string{"go vet ./..."}}, {"test", []string{"go test ./..."}}}},
	{"Rust", []string{"Cargo.toml"}, "Test", []starterJob{{"test", []string{"cargo test"}}}},
	{"Node.js", []string{"package.json"}, "Test", []starterJob{{"test", []string{"npm ci", "npm test"}}}},
	{"Python", []string{"pyproject.toml", "requirements.txt", "setup.py"}, "Test", []starterJob{{"test", []string{
		"python3 -m venv .venv", ". .venv/bin/activate", "if [ -f requirements.txt ]; then pip install -r requirements.txt; else pip install .; fi", "pip install pytest", "pytest",
	}}}},
	{"Ruby", []string{"Gemfile"}, "Test", []starterJob{{"test", []string{"bundle install", "bundle exec rake"}}}},
	{"Elixir", []string{"mix.exs"}, "Test", []starterJob{{"test", []string{"mix deps.get", "mix test"}}}},
	{"Java, Maven", []string{"pom.xml"}, "Test", []starterJob{{"test", []string{"mvn --batch-mode test"}}}},
	{"Java, Gradle", []string{"build.gradle", "build.gradle.kts"}, "Test", []starterJob{{"test", []string{"./gradlew test"}}}},
	{"Make", []string{"Makefile"}, "Build", []starterJob{{"make", []string{"make"}}}},
}

// anything is for repositories of which nothing is known.
var anything = starter{block: "First", jobs: []starterJob{{"look around", []string{"git log --oneline --max-count=5", "ls"}}}}

// Languages are those that there is a template for.
func Languages() []Language {
	var out []Language
	for _, s := range starters {
		out = append(out, s.language)
	}
	return out
}

func languageOf(files []string) Language {
	for _, s := range starters {
		for _, sign := range s.sign {
			if slices.Contains(files, sign) {
				return s.language
			}
		}
	}
	return ""
}

// Starter is a first pipeline file for a project in a language on agents of a type.
func Starter(name string, l Language, agentType string) []byte {
	s := anything
	if i := slices.IndexFunc(starters, func(s starter) bool { return s.language == l }); i >= 0 {
		s = starters[i]
	}
	return s.file(name, agentType, []string{"checkout"})
}

// file writes a starter down. Names are put between quotes: a name such as 1.0 is a text, too.
func (s starter) file(name, agentType string, prologue []string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "version: v1.0\nname: %q\nagent:\n  machine:\n    type: %q\nblocks:\n  - name: %s\n    task:\n", name, agentType, s.block)
	list := func(indent string, commands []string) {
		for _, c := range commands {
			fmt.Fprintf(&b, "%s- %s\n", indent, quote(c))
		}
	}
	if len(prologue) > 0 {
		b.WriteString("      prologue:\n        commands:\n")
		list("          ", prologue)
	}
	b.WriteString("      jobs:\n")
	for _, j := range s.jobs {
		fmt.Fprintf(&b, "        - name: %s\n          commands:\n", j.name)
		list("            ", j.commands)
	}
	return []byte(b.String())
}

// quote puts a command between quotes when YAML would read something else.
func quote(c string) string {
	if strings.ContainsAny(c, ":#{}[]&*!|>'\"%@`\\") || strings.HasPrefix(c, "-") {
		return "'" + strings.ReplaceAll(c, "'", "''") + "'"
	}
	return c
}
