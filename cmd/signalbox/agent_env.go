package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

const agentStart = "agent start"

// adoptAgentEnvironment makes the environment of an official agent mean here what it means there: a variable that is
// set to nothing is not set, and the log level goes by its name there.
func adoptAgentEnvironment(args []string) error {
	if !isAgentStart(args) {
		return nil
	}
	for _, e := range os.Environ() {
		if name, value, _ := strings.Cut(e, "="); value == "" && strings.HasPrefix(name, "SEMAPHORE_AGENT_") {
			if err := os.Unsetenv(name); err != nil {
				return err
			}
		}
	}
	level, ok := os.LookupEnv("SEMAPHORE_AGENT_LOG_LEVEL")
	if _, ours := os.LookupEnv("SIGNALBOX_LOG_LEVEL"); !ok || ours {
		return nil
	}
	word, ok := logLevels[strings.ToLower(level)]
	if !ok {
		return fmt.Errorf("SEMAPHORE_AGENT_LOG_LEVEL is %q; it must be trace, debug, info, warning, error, fatal or panic", level)
	}
	return os.Setenv("SIGNALBOX_LOG_LEVEL", word)
}

var logLevels = map[string]string{
	"trace": "debug", "debug": "debug", "info": "info", "warn": "warn", "warning": "warn", "error": "error", "fatal": "error", "panic": "error",
}

// isAgentStart tells whether a command line runs `agent start`; options may stand before and between the two words.
func isAgentStart(args []string) bool {
	i := slices.Index(args, "agent")
	return i >= 0 && slices.Contains(args[i:], "start")
}

// commandOf is the path of a node's command: its words, joined by spaces.
func commandOf(n *kong.Node) string {
	path := ""
	for ; n != nil && n.Type != kong.ApplicationNode; n = n.Parent {
		path = strings.TrimSpace(n.Name + " " + path)
	}
	return path
}

// envLists reads the lists of `agent start` from the environment, where the official agent separates entries by spaces.
type envLists struct{}

func (envLists) Validate(*kong.Application) error { return nil }

func (envLists) Resolve(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	if !flag.IsSlice() || len(flag.Envs) == 0 || parent == nil || commandOf(parent.Node()) != agentStart {
		return nil, nil
	}
	text, ok := os.LookupEnv(flag.Envs[0])
	if !ok {
		return nil, nil
	}
	list := []any{} // not nil: an empty variable is still the strongest
	for _, e := range splitList(text, entrySeparators[flag.Name]) {
		list = append(list, e)
	}
	return list, nil
}

// entrySeparators is what stands between the two halves of an entry; lists that are not here have entries of one piece.
var entrySeparators = map[string]string{"env-vars": "=", "files": ":", "kubernetes-labels": "=", "label": "="}

// splitList splits at spaces, and at commas where each part is an entry of its own: A=1,B=2 are two variables, and the
// comma in A=1,2 belongs to the value.
func splitList(text, sep string) []string {
	var out []string
	for _, word := range strings.Fields(text) {
		parts := strings.Split(word, ",")
		if sep == "" || slices.ContainsFunc(parts, func(p string) bool { _, _, ok := cutEntry(p, sep); return !ok }) {
			parts = []string{word}
		}
		out = append(out, parts...)
	}
	return out
}

// cutEntry splits an entry at the first separator; both that and something before it must be there. The colon of a
// Windows drive is none.
func cutEntry(s, sep string) (before, after string, ok bool) {
	from := 0
	if sep == ":" && len(s) > 2 && s[1] == ':' && s[2] == '\\' {
		from = 2
	}
	i := strings.Index(s[from:], sep)
	if i < 0 || from+i == 0 {
		return "", "", false
	}
	return s[:from+i], s[from+i+len(sep):], true
}
