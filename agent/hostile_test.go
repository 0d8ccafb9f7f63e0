//go:build unix

package agent

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
)

// TestHostilePayloads: whatever a payload holds, the job ends with a result and a line that says what was wrong, and the
// reason tells that the job's commands are not to blame.
func TestHostilePayloads(t *testing.T) {
	t.Parallel()
	many := agentapi.JobPayload{Commands: commands("env | grep -c ^MANY_; echo \"$MANY_9999\"")}
	for i := range 10000 {
		many.EnvVars = append(many.EnvVars, agentapi.EnvVar{Name: fmt.Sprintf("MANY_%d", i), Value: b64(fmt.Sprint(i))})
	}
	odd := "a'b\"c`d$(e)\\f\n g\tü!*?~{1,2}; rm x"
	dir := t.TempDir()
	file := func(path, mode string) agentapi.JobPayload {
		return agentapi.JobPayload{Files: []agentapi.File{{Path: path, Mode: mode, Content: b64("x")}}, Commands: commands("echo never")}
	}
	for name, tt := range map[string]struct {
		p      agentapi.JobPayload
		result signalbox.JobResult
		reason signalbox.Reason
		say    string // part of the log
	}{
		"nothing at all":               {agentapi.JobPayload{}, "passed", "", ""},
		"an unknown executor":          {agentapi.JobPayload{Executor: "x'; rm -rf /"}, "failed", signalbox.ReasonAgentError, "does not know the executor \"x'; rm -rf /\""},
		"10,000 variables":             {many, "passed", "", "10000\n9999\n"},
		"a value with everything":      {agentapi.JobPayload{EnvVars: []agentapi.EnvVar{{Name: "ODD", Value: b64(odd)}}, Commands: commands("printf '[%s]' \"$ODD\"")}, "passed", "", "[" + odd + "]"},
		"a name with a quote":          {agentapi.JobPayload{EnvVars: []agentapi.EnvVar{{Name: "A'; touch /tmp/x; '", Value: ""}}}, "failed", signalbox.ReasonAgentError, "Cannot export \"A'; touch /tmp/x; '\""},
		"a name with a line end":       {agentapi.JobPayload{EnvVars: []agentapi.EnvVar{{Name: "A\nB", Value: ""}}}, "failed", signalbox.ReasonAgentError, "Cannot export \"A\\nB\""},
		"an empty name":                {agentapi.JobPayload{EnvVars: []agentapi.EnvVar{{Value: ""}}}, "failed", signalbox.ReasonAgentError, "Cannot export \"\""},
		"a value that is not base64":   {agentapi.JobPayload{EnvVars: []agentapi.EnvVar{{Name: "A", Value: "%%%"}}}, "failed", signalbox.ReasonAgentError, "Cannot export A: its value did not arrive as base64"},
		"a value with a NUL":           {agentapi.JobPayload{EnvVars: []agentapi.EnvVar{{Name: "A", Value: b64("a\x00b")}}}, "failed", signalbox.ReasonAgentError, "holds a NUL byte"},
		"a file mode in words":         {file(dir+"/a", "obviously broken"), "failed", signalbox.ReasonAgentError, "bad file permission 'obviously broken'"},
		"a file mode that is too much": {file(dir+"/a", "77777"), "failed", signalbox.ReasonAgentError, "bad file permission '77777'"},
		"no file mode":                 {file(dir+"/a", ""), "failed", signalbox.ReasonAgentError, "bad file permission ''"},
		"a file that is a folder":      {file(dir, "0644"), "failed", signalbox.ReasonAgentError, "Failed to create destination path"},
		"a file in the kernel":         {file("/proc/self/nothing", "0644"), "failed", signalbox.ReasonAgentError, "Failed to create destination path"},
		"a file with a NUL":            {file(dir+"/a\x00b", "0644"), "failed", signalbox.ReasonAgentError, "cannot hold a NUL byte"},
		"a file name too long":         {file(dir+"/"+strings.Repeat("x", 300), "0644"), "failed", signalbox.ReasonAgentError, "file name too long"},
		"a command with a NUL":         {agentapi.JobPayload{Commands: commands("echo a\x00b")}, "passed", "", "ab"},
		"a huge command":               {agentapi.JobPayload{Commands: commands(": " + strings.Repeat("x", 1<<20) + "\necho done")}, "passed", "", "done\n"},
		"containers without any":       {agentapi.JobPayload{Executor: "dockercompose"}, "failed", signalbox.ReasonAgentError, "container"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var events []agentapi.Event
			o := JobOptions{}
			o.Shell.Dir = filepath.Join(t.TempDir(), "job")
			j := NewJob(&tt.p, o)
			result, err := j.Run(t.Context(), Sink(func(e agentapi.Event) error { events = append(events, e); return nil }))
			if err != nil || result != tt.result || j.Reason() != tt.reason {
				t.Errorf("%s %q, %v", result, j.Reason(), err)
			}
			if log := strings.Join(short(events), "\n"); !strings.Contains(log, tt.say) {
				t.Errorf("the log does not say %q:\n%s", tt.say, tailOf(log))
			}
		})
	}
}
