package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox/agentapi"
)

const differencesPage = "../docs/design/differences.md"

// quickTiming is for servers that answer at once.
var quickTiming = Timing{
	Request: 2 * time.Second, Hold: time.Second, RegisterPause: time.Millisecond, GetJobPause: 20 * time.Millisecond, DisconnectPause: time.Millisecond,
	SyncMin: 10 * time.Millisecond, SyncMax: 20 * time.Millisecond, SyncRetryMax: 50 * time.Millisecond,
	PushRetry: 10 * time.Millisecond, PushRetryMax: 50 * time.Millisecond,
	LogRefused: 300 * time.Millisecond, FlushAtExit: 300 * time.Millisecond, StopGrace: 2 * time.Second,
}

// TestReplay runs our agent against the recorded answers and compares what it asks with what the official agent asked.
// Every difference is on the page of differences, with its reason, and every difference on the page is still one.
func TestReplay(t *testing.T) {
	listed := readDifferences(t)
	paths, err := filepath.Glob("testdata/wire/*.jsonl")
	if err != nil || len(paths) < 40 {
		t.Fatal(paths, err)
	}
	everywhere := map[string]int{}
	t.Run("recordings", func(t *testing.T) {
		for _, path := range paths {
			name := strings.TrimSuffix(filepath.Base(path), ".jsonl")
			t.Run(name, func(t *testing.T) {
				found := replay(t, readRecording(t, path))
				for d := range found {
					if listed["*"][d] {
						everywhere[d]++
					} else if !listed[name][d] {
						t.Errorf("a difference that %s does not list:\n| %s | `%s` | |", differencesPage, name, d)
					}
				}
				for d := range listed[name] {
					if !found[d] {
						t.Errorf("%s lists a difference that is none any more: `%s`", differencesPage, d)
					}
				}
			})
		}
	})
	for d := range listed["*"] {
		if everywhere[d] == 0 {
			t.Errorf("%s lists a difference for all recordings that is in none any more: `%s`", differencesPage, d)
		}
	}
	for name := range listed {
		if _, err := os.Stat("testdata/wire/" + name + ".jsonl"); name != "*" && errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s lists %s, which is no recording", differencesPage, name)
		}
	}
}

// readDifferences reads the rows | recording | `difference` | reason | of the page's first table, which is about the agent.
func readDifferences(t *testing.T) map[string]map[string]bool {
	t.Helper()
	page, err := os.ReadFile(differencesPage)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]bool{}
	_, table, _ := strings.Cut(string(page), "## Our agent and the official one\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for row := range strings.Lines(table) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(row), "| "), " | `")
		if !ok {
			continue
		}
		difference, reason, ok := strings.Cut(rest, "` | ")
		if !ok || len(strings.Trim(reason, "| ")) < 10 {
			t.Errorf("a row without a reason: %s", row)
			continue
		}
		name = strings.Trim(name, "`")
		if out[name] == nil {
			out[name] = map[string]bool{}
		}
		out[name][difference] = true
	}
	return out
}

// replay returns the differences between our agent and the recorded one.
func replay(t *testing.T, r *recording) map[string]bool {
	s := &stage{t: t, r: r, at: map[string]int{}, states: map[agentapi.AgentState]bool{}}
	server := httptest.NewServer(s)
	defer server.Close()
	s.host = strings.TrimPrefix(server.URL, "http://")
	scripts := t.TempDir()
	for name, text := range map[string]string{
		"pre.sh": "echo pre\nexport FROM_HOOK=1\n", "post.sh": "echo post $SEMAPHORE_JOB_RESULT\n",
		"down.sh": "echo $SEMAPHORE_AGENT_SHUTDOWN_REASON >" + filepath.Join(scripts, "reason") + "\n",
	} {
		if name == "pre.sh" && slices.Contains(r.meta.Argv, "--fail-on-pre-job-hook-error") {
			text = "echo pre\nexit 4\n"
		}
		if err := os.WriteFile(filepath.Join(scripts, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := New(configOf(t, r.meta.Argv, s.host, scripts))
	if err != nil {
		t.Fatal(err)
	}
	s.interrupt = a.Interrupt
	_, err = a.Run(t.Context())
	code := 0
	if err != nil {
		code = 1
	}
	server.Close() // waits for handlers

	found := map[string]bool{}
	if code != r.meta.ExitCode {
		found[fmt.Sprintf("exit code: %d, not %d", code, r.meta.ExitCode)] = true
	}
	home, _ := os.UserHomeDir()
	for _, part := range []string{"agent", "job", "refresh", "artifact"} {
		compare(found, part, r.sequence(part), s.heard.sequence(part))
	}
	compareLogs(found, r.log("", ""), s.heard.log(home, scripts))
	compareShapes(found, r, &s.heard)
	if slices.Contains(r.meta.Argv, "--shutdown-hook-path") {
		if b, err := os.ReadFile(filepath.Join(scripts, "reason")); string(b) != "REQUESTED\n" {
			t.Errorf("the shutdown hook was told %q, %v", b, err)
		}
	}
	return found
}

// configOf reads the official agent's arguments.
func configOf(t *testing.T, argv []string, host, scripts string) Config {
	c := Config{Endpoint: host, StateDir: t.TempDir(), Timing: quickTiming, Version: "v1.2.3"}
	value := func(i int) string { return strings.ReplaceAll(argv[i+1], "{{DIR}}", scripts) }
	seconds := func(i int) time.Duration {
		d, err := time.ParseDuration(argv[i+1] + "s")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for i, arg := range argv {
		switch arg {
		case "--token":
			c.Token = value(i)
		case "--no-https":
			c.NoHTTPS = true
		case "--name":
			c.Name = value(i)
		case "--disconnect-after-job":
			c.DisconnectAfterJob = true
		case "--job-id":
			c.JobID = value(i)
		case "--disconnect-after-idle-timeout":
			c.DisconnectAfterIdleTimeout = seconds(i)
		case "--interruption-grace-period":
			c.InterruptionGracePeriod = seconds(i)
		case "--pre-job-hook-path":
			c.Hooks.PreJob = value(i)
		case "--post-job-hook-path":
			c.Hooks.PostJob = value(i)
		case "--shutdown-hook-path":
			c.ShutdownHook = value(i)
		case "--source-pre-job-hook":
			c.Hooks.SourcePreJob = true
		case "--fail-on-pre-job-hook-error":
			c.Hooks.FailOnPreJob = true
		case "--upload-job-logs":
			c.UploadJobLogs = UploadLogs(value(i))
		case "start", "--endpoint":
		default:
			if strings.HasPrefix(arg, "--") {
				t.Fatalf("argument %s is not known to the test", arg)
			}
		}
	}
	return c
}

// sequence lists the requests of one of the agent's loops, without those that are only repeated while time passes.
func (r *recording) sequence(part string) []string {
	var out []string
	for i := range r.lines {
		l := &r.lines[i]
		if l.Req == nil {
			continue
		}
		text := ""
		switch k := l.Req.kind(); {
		case part == "agent" && (k == "register" || k == "disconnect"):
			text = k
		case part == "agent" && k == "sync" && !l.informational():
			q := l.Req.sync()
			text = fmt.Sprintf("sync %s %s %s", q.State, q.JobID, q.JobResult)
			if q.InterruptedAt != 0 {
				text += " interrupted"
			}
		case part == k && k == "artifact":
			text = l.Req.Method + " " + l.Req.Path
		case part == k && k == "job":
			text = "GET " + l.Req.Path
		case part == k && k == "refresh":
			text = k
		}
		if text != "" {
			out = append(out, strings.Join(strings.Fields(text), " "))
		}
	}
	return out
}

// log is the delivered log, one line an event, without times and with the output of a command in one piece.
func (r *recording) log(home, scripts string) []string {
	var out []string
	output := ""
	flush := func() {
		if output != "" {
			out = append(out, fmt.Sprintf("output %q", output))
		}
		output = ""
	}
	for _, e := range r.events() {
		word, _ := e["event"].(string)
		if _, omitted := e["_omitted_events"]; omitted {
			output += "\x00"
			continue
		}
		text, _ := e["output"].(string)
		if home != "" {
			text = strings.ReplaceAll(text, home, "{{HOME}}")
			text = strings.ReplaceAll(text, scripts, "{{DIR}}")
		}
		if word == agentapi.EventCmdOutput {
			output += text
			continue
		}
		flush()
		line := word
		for _, k := range []string{"directive", "exit_code", "result"} {
			if v, ok := e[k]; ok {
				b, _ := json.Marshal(v)
				line += " " + string(b)
			}
		}
		out = append(out, line)
	}
	flush()
	return out
}

// compareLogs is compare, for logs from which a recording may have left the middle of an output out.
func compareLogs(found map[string]bool, theirs, ours []string) {
	if len(theirs) == len(ours) {
		for i := range theirs {
			head, tail, cut := strings.Cut(theirs[i], `\x00`)
			if cut && strings.HasPrefix(ours[i], head) && strings.HasSuffix(ours[i], tail) {
				ours = slices.Clone(ours)
				ours[i] = theirs[i]
			}
		}
	}
	compare(found, "log", theirs, ours)
}

// compare notes what is only in one of two lists: "- " is no longer there, "+ " is new.
func compare(found map[string]bool, part string, theirs, ours []string) {
	// The longest common subsequence, by the book.
	n, m := len(theirs), len(ours)
	common := make([][]int, n+1)
	for i := range common {
		common[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if theirs[i] == ours[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	count := map[string]int{}
	for i, j := 0, 0; i < n || j < m; {
		switch {
		case i < n && j < m && theirs[i] == ours[j]:
			i++
			j++
		case j == m || i < n && common[i+1][j] >= common[i][j+1]:
			count["- "+theirs[i]]++
			i++
		default:
			count["+ "+ours[j]]++
			j++
		}
	}
	for text, times := range count {
		text = part + ": " + text
		if times > 1 {
			text += fmt.Sprintf(" (%d times)", times)
		}
		found[text] = true
	}
}

// compareShapes compares headers and the fields of bodies, by kind of request. Kinds that only one of them has show in the sequences.
func compareShapes(found map[string]bool, theirs, ours *recording) {
	shapes := func(r *recording) map[string]map[string]bool {
		out := map[string]map[string]bool{}
		for i := range r.lines {
			q := r.lines[i].Req
			if q == nil || q.kind() == "artifact" {
				continue
			}
			k := q.Method + " " + q.kind()
			if out[k] == nil {
				out[k] = map[string]bool{}
			}
			for name, v := range q.Headers {
				switch name {
				case "User-Agent":
					v, _, _ = strings.Cut(v, "/")
					out["every request"] = map[string]bool{"header User-Agent: " + v: true}
					continue
				case "Prefer":
					v = "wait=N"
				}
				out[k]["header "+name+": "+v] = true
			}
			for name := range q.Query {
				out[k]["query "+name] = true
			}
			fields(out[k], q)
		}
		return out
	}
	a, b := shapes(theirs), shapes(ours)
	for k, want := range a {
		for s := range want {
			if b[k] != nil && !b[k][s] {
				found[k+": - "+s] = true
			}
		}
	}
	for k, got := range b {
		for s := range got {
			if a[k] != nil && !a[k][s] {
				found[k+": + "+s] = true
			}
		}
	}
}

// fields notes the fields of a body with their types; those of a registration that the arguments decide, with values.
func fields(out map[string]bool, q *asked) {
	var objects []map[string]any
	if q.kind() == "log" {
		_ = json.Unmarshal(q.Body, &objects)
	} else {
		var o map[string]any
		_ = json.Unmarshal(q.Body, &o)
		objects = append(objects, o)
	}
	for _, o := range objects {
		prefix := "field "
		if e, ok := o["event"].(string); ok {
			prefix += e + "."
		}
		for k, v := range o {
			if strings.HasPrefix(k, "_") {
				continue
			}
			out[fmt.Sprintf("%s%s %T", prefix, k, v)] = true
			if q.kind() == "register" && slices.Contains([]string{"name", "single_job", "idle_timeout", "interruption_grace_period", "job_id", "arch"}, k) {
				out[fmt.Sprintf("%s%s=%v", prefix, k, v)] = true
			}
		}
	}
}
