//go:build unix

package executor

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Export makes vars visible to the commands that follow. The first variable that cannot be exported is named to emit,
// and the exit code is 1.
func (s *Shell) Export(ctx context.Context, vars []signalbox.EnvVar, emit Emit) (int, error) {
	for _, v := range vars {
		problem := ""
		switch {
		case !variableName.MatchString(v.Name):
			problem = "a name is letters, digits and underscores and does not begin with a digit"
		case strings.ContainsRune(v.Value, 0):
			problem = "its value holds a NUL byte, which no environment can"
		default:
			continue
		}
		return 1, emit([]byte(fmt.Sprintf("Cannot export %q: %s.\n", v.Name, problem)))
	}
	s.export = append(s.export, vars...)
	if err := s.ready(ctx); err != nil {
		return 1, err
	}
	return s.source(ctx, exportText(vars), emit)
}

func exportText(vars []signalbox.EnvVar) string {
	var b strings.Builder
	for _, v := range vars {
		b.WriteString("builtin export " + v.Name + "=" + quote(v.Value) + "\n")
	}
	return b.String()
}

// quote makes one word of any text for bash.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
