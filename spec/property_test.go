package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec/when"
)

const (
	oneBlock = "blocks: [{name: A, task: {jobs: [{name: j, commands: [make]}]}}]\n"
	machine  = "agent: {machine: {type: s1-linux}}\n"
)

// pick follows a path such as blocks.0.jobs.1.spec.commands in a plan as JSON; what is not there is nil.
func pick(t *testing.T, p *signalbox.Plan, path string) any {
	t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	for _, step := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// TestProperties has one case for each property of a pipeline file: what it makes of the plan of a push to main.
func TestProperties(t *testing.T) {
	jobsOf := func(task string) string { return machine + "blocks: [{name: A, task: {" + task + "}}]\n" }
	long := strings.Repeat("q", 300)
	for _, tt := range []struct {
		name, file string // behind "version: v1.0"
		path       string
		want       string // JSON
	}{
		{"name", "name: N\n" + machine + oneBlock, "name", `"N"`},
		{"agent.machine.type", machine + oneBlock, "blocks.0.jobs.0.spec.machine_type", `"s1-linux"`},
		{"agent.machine.os_image", "agent: {machine: {type: e1, os_image: u22}}\n" + oneBlock, "blocks.0.jobs.0.spec.os_image", `"u22"`},
		{"agent.machine.os_image of a self-hosted type", "agent: {machine: {type: s1-x, os_image: u22}}\n" + oneBlock, "blocks.0.jobs.0.spec.os_image", `null`},
		{
			"agent.containers", "agent: {machine: {type: s1-x}, containers: [{name: main, image: semaphoreci/go, command: c, entrypoint: e, user: u, env_vars: [{name: A, value: b}], secrets: [{name: s}]}, {name: db, image: pg}]}\n" + oneBlock, "blocks.0.jobs.0.spec.containers",
			`[{"name":"main","image":"registry.semaphoreci.com/go","command":"c","entrypoint":"e","user":"u","env_vars":[{"name":"A","value":"b"}],"secrets":["s"]},{"name":"db","image":"pg"}]`,
		},
		{"agent.image_pull_secrets", "agent: {machine: {type: s1-x}, containers: [{name: a, image: b}], image_pull_secrets: [{name: hub}]}\n" + oneBlock, "blocks.0.jobs.0.spec.pull_secrets", `["hub"]`},
		{"execution_time_limit of the pipeline", "execution_time_limit: {hours: 2}\n" + machine + oneBlock, "time_limit", `120`},
		{"execution_time_limit of a block", machine + "blocks: [{name: A, execution_time_limit: {minutes: 5}, task: {jobs: [{commands: [x]}]}}]\n", "blocks.0.time_limit", `5`},
		{"execution_time_limit of a job", jobsOf("jobs: [{commands: [x], execution_time_limit: {minutes: 7}}]"), "blocks.0.jobs.0.time_limit", `7`},
		{"fail_fast.stop", "fail_fast: {stop: {when: \"branch = 'main'\"}, cancel: {when: true}}\n" + machine + oneBlock, "fail_fast", `"stop"`},
		{"fail_fast.cancel", "fail_fast: {stop: {when: false}, cancel: {when: true}}\n" + machine + oneBlock, "fail_fast", `"cancel"`},
		{"fail_fast holds inside tasks", "fail_fast: {stop: {when: true}}\n" + machine + oneBlock, "blocks.0.fail_fast", `"stop"`},
		{"fail_fast of a task", jobsOf("fail_fast: {cancel: {when: true}}, jobs: [{commands: [x]}]"), "blocks.0.fail_fast", `"cancel"`},
		{"fail_fast of a task whose condition is false", "fail_fast: {stop: {when: true}}\n" + jobsOf("fail_fast: {cancel: {when: false}}, jobs: [{commands: [x]}]"), "blocks.0.fail_fast", `"stop"`},
		{"auto_cancel.running", "auto_cancel: {running: {when: \"branch = 'main'\"}}\n" + machine + oneBlock, "auto_cancel", `"stop"`},
		{"auto_cancel.queued", "auto_cancel: {queued: {when: \"branch = 'main'\"}}\n" + machine + oneBlock, "auto_cancel", `"cancel"`},
		{"queue as a map", "queue: {name: q, scope: organization, processing: parallel, when: false}\n" + machine + oneBlock, "queue", `{"name":"q","organization":true,"parallel":true}`},
		{"queue as a list", "queue: [{name: a}, {name: b, when: false}, {name: c, when: true}, {name: d, when: true}]\n" + machine + oneBlock, "queue", `{"name":"c"}`},
		{"queue as a list of which none holds", "queue: [{name: a, when: \"tag =~ '.*'\"}]\n" + machine + oneBlock, "queue", `null`},
		{"queue with a long name", "queue: {name: " + long + "}\n" + machine + oneBlock, "queue.name", `"` + long[:238] + `-2dbf557691355eab"`},
		{"global_job_config.prologue", "global_job_config: {prologue: {commands: [g]}}\n" + jobsOf("prologue: {commands: [t]}, jobs: [{commands: [x]}]"), "blocks.0.jobs.0.spec.commands", `["g","t","x"]`},
		{"global_job_config.epilogue", "global_job_config: {epilogue: {always: {commands: [g]}}}\n" + jobsOf("epilogue: {commands: [t]}, jobs: [{commands: [x]}]"), "blocks.0.jobs.0.spec.epilogue_always", `["t","g"]`},
		{"global_job_config.epilogue of a passed job", "global_job_config: {epilogue: {on_pass: {commands: [g]}}}\n" + jobsOf("epilogue: {on_pass: {commands: [t]}}, jobs: [{commands: [x]}]"), "blocks.0.jobs.0.spec.epilogue_on_pass", `["t","g"]`},
		{"global_job_config.epilogue of a failed job", "global_job_config: {epilogue: {on_fail: {commands: [g]}}}\n" + jobsOf("epilogue: {on_fail: {commands: [t]}}, jobs: [{commands: [x]}]"), "blocks.0.jobs.0.spec.epilogue_on_fail", `["t","g"]`},
		{"global_job_config.secrets", "global_job_config: {secrets: [{name: g}]}\n" + jobsOf("secrets: [{name: t}], jobs: [{commands: [x]}]"), "blocks.0.jobs.0.spec.secrets", `["g","t"]`},
		{"global_job_config.env_vars", "global_job_config: {env_vars: [{name: A, value: g}]}\n" + jobsOf("env_vars: [{name: A, value: t}], jobs: [{commands: [x], env_vars: [{name: A, value: j}]}]"), "blocks.0.jobs.0.spec.env_vars", `[{"name":"A","value":"g"},{"name":"A","value":"t"},{"name":"A","value":"j"}]`},
		{"global_job_config.priority", "global_job_config: {priority: [{value: 7, when: true}]}\n" + machine + oneBlock, "blocks.0.jobs.0.priority", `7`},
		{"priority of a job goes first", "global_job_config: {priority: [{value: 7, when: true}]}\n" + jobsOf("jobs: [{commands: [x], priority: [{value: 1, when: false}, {value: 9, when: \"branch = 'main'\"}]}]"), "blocks.0.jobs.0.priority", `9`},
		{"priority on the default branch", machine + oneBlock, "blocks.0.jobs.0.priority", `60`},
		{"after_pipeline", machine + oneBlock + "global_job_config: {env_vars: [{name: A, value: g}], priority: [{value: 7, when: true}]}\nafter_pipeline: {task: {jobs: [{name: r, commands: [report]}]}}\n", "after", `[{"name":"r","priority":45,"spec":{"machine_type":"s1-linux","commands":["report"]}}]`},
		{"after_pipeline.task_file", machine + oneBlock + "after_pipeline: {task_file: task.yml}\n", "after.0.spec.commands", `["from the file"]`},
		{"partial_rerun", "partial_rerun: block\n" + machine + oneBlock, "blocks.0.partial_rerun", `"block"`},
		{"partial_rerun of a block", "partial_rerun: block\n" + machine + "blocks: [{name: A, partial_rerun: jobs, task: {jobs: [{commands: [x]}]}}]\n", "blocks.0.partial_rerun", `"jobs"`},
		{"dependencies", machine + "blocks: [{name: A, dependencies: [B], task: {jobs: [{commands: [x]}]}}, {name: B, dependencies: [], task: {jobs: [{commands: [x]}]}}]\n", "blocks.0.dependencies", `[1]`},
		{"dependencies that are not written", machine + "blocks: [{name: A, task: {jobs: [{commands: [x]}]}}, {task: {jobs: [{commands: [x]}]}}]\n", "blocks.1.dependencies", `[0]`},
		{"block.name", machine + "blocks: [{task: {jobs: [{commands: [x]}]}}]\n", "blocks.0.name", `"Nameless block 1"`},
		{"task_file", machine + "blocks: [{name: A, task_file: task.yml}]\n", "blocks.0.jobs.0.spec.commands", `["from the file"]`},
		{"run that holds", machine + "blocks: [{name: A, run: {when: \"branch = 'main'\"}, task: {jobs: [{commands: [x]}]}}]\n", "blocks.0.skip", `null`},
		{"run that does not", machine + "blocks: [{name: A, run: {when: \"tag =~ '.*'\"}, task: {jobs: [{commands: [x]}]}}]\n", "blocks.0.skip", `"its run condition does not hold (line 3)"`},
		{"skip", machine + "blocks: [{name: A, skip: {when: true}, task: {jobs: [{commands: [x]}]}}]\n", "blocks.0.skip", `"its skip condition holds (line 3)"`},
		{"skip that does not hold", machine + "blocks: [{name: A, skip: {when: \"branch != 'main'\"}, task: {jobs: [{commands: [x]}]}}]\n", "blocks.0.skip", `null`},
		{"filters", machine + "blocks: [{name: A, filters: [{label: dev, action: execute}, {label_pattern: '^ma', action: skip}], task: {jobs: [{commands: [x]}]}}]\n", "blocks.0.skip", `"a filter skips it (line 3)"`},
		{"filters of which the first decides", machine + "blocks: [{name: A, filters: [{label: main, action: execute}, {label_pattern: '.', action: skip}], task: {jobs: [{commands: [x]}]}}]\n", "blocks.0.skip", `null`},
		{"task.agent", jobsOf("agent: {machine: {type: s1-arm}}, jobs: [{commands: [x]}]"), "blocks.0.jobs.0.spec.machine_type", `"s1-arm"`},
		{"job.name", jobsOf("jobs: [{commands: [x]}]"), "blocks.0.jobs.0.name", `"Nameless 1"`},
		{"commands_file of a job", jobsOf("jobs: [{commands_file: list.txt}]"), "blocks.0.jobs.0.spec.commands", `["first","","  third"]`},
		{"commands_file of a prologue", jobsOf("prologue: {commands_file: /list.txt}, jobs: [{commands: [x]}]"), "blocks.0.jobs.0.spec.commands", `["first","","  third","x"]`},
		{"matrix", jobsOf("jobs: [{name: m, commands: [x], matrix: [{env_var: A, values: [a, b]}, {env_var: B, values: [c, d]}]}]"), "blocks.0.jobs.1", `{"name":"m - A=a, B=d","priority":60,"spec":{"machine_type":"s1-linux","env_vars":[{"name":"A","value":"a"},{"name":"B","value":"d"}],"commands":["x"]}}`},
		{"matrix that counts", jobsOf("jobs: [{name: m, commands: [x], env_vars: [{name: SEMAPHORE_JOB_COUNT, value: '2'}], matrix: [{env_var: I, values: ['1', '2']}]}]"), "blocks.0.jobs.1.name", `"m - 2/2"`},
		{"parallelism", jobsOf("jobs: [{name: p, commands: [x], parallelism: 3}]"), "blocks.0.jobs.1", `{"name":"p - 2/3","priority":60,"spec":{"machine_type":"s1-linux","env_vars":[{"name":"SEMAPHORE_JOB_COUNT","value":"3"},{"name":"SEMAPHORE_JOB_INDEX","value":"2"}],"commands":["x"]}}`},
		{"retry", jobsOf("jobs: [{commands: [x], retry: {on: [agent_lost, interrupted], limit: 3}}]"), "blocks.0.jobs.0.spec.retry", `{"on":["agent_lost","interrupted"],"limit":3}`},
		{"retry without a limit", jobsOf("jobs: [{commands: [x], retry: {on: [agent_lost]}}]"), "blocks.0.jobs.0.spec.retry.limit", `1`},
		{"promotions.pipeline_file", machine + oneBlock + "promotions: [{name: P, pipeline_file: deploy/p.yml}]\n", "promotions.0.file", `".semaphore/deploy/p.yml"`},
		{"promotions.pipeline_file from the root", machine + oneBlock + "promotions: [{name: P, pipeline_file: /ci/p.yml}]\n", "promotions.0.file", `"ci/p.yml"`},
		{"promotions.pipeline_file that climbs out", machine + oneBlock + "promotions: [{name: P, pipeline_file: ../../../etc/passwd}]\n", "promotions.0.file", `"etc/passwd"`},
		{"promotions.deployment_target", machine + oneBlock + "promotions: [{name: P, pipeline_file: p.yml, deployment_target: prod}]\n", "promotions.0.target", `"prod"`},
		{"promotions.auto_promote", machine + oneBlock + "promotions: [{name: P, pipeline_file: p.yml, auto_promote: {when: \"result = 'passed' and change_in('/lib')\"}}]\n", "promotions.0.auto", `{"when":"result = 'passed' and change_in('/lib')","path":"#/promotions/0/auto_promote/when","calls":[{"value":true,"why":"the test says so"}]}`},
		{"promotions.auto_promote with a boolean", machine + oneBlock + "promotions: [{name: P, pipeline_file: p.yml, auto_promote: {when: true}}]\n", "promotions.0.auto.when", `"true"`},
		{"promotions.auto_promote_on", machine + oneBlock + "promotions: [{name: P, pipeline_file: p.yml, auto_promote_on: [{result: passed, result_reason: test, branch: ['^m']}, {result: failed, labels: [l]}, {result: failed, label_patterns: [p]}]}]\n", "promotions.0.auto.on", `[{"result":"passed","reason":"test","patterns":["^m"]},{"result":"failed","labels":["l"]},{"result":"failed","patterns":["p"]}]`},
		{"promotions.parameters", machine + oneBlock + "promotions: [{name: P, pipeline_file: p.yml, parameters: {env_vars: [{name: A, description: d, options: [x, y], default_value: x, required: true}, {name: B, required: false}]}}]\n", "promotions.0.parameters", `[{"name":"A","description":"d","options":["x","y"],"default":"x"},{"name":"B","optional":true}]`},
		{"conditions are kept with their reasons", machine + "blocks: [{name: A, run: {when: \"branch = 'main'\"}, task: {jobs: [{commands: [x]}]}}]\n", "conditions.0", `{"path":"#/blocks/0/run/when","line":3,"text":"branch = 'main'","value":true,"why":{"text":"branch = 'main'","value":true,"why":"branch is 'main'"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := testBuild("testdata/property")
			res := Compile([]byte("version: v1.0\n"+tt.file), Options{File: "p.yml", Path: ".semaphore/p.yml"}, b)
			if res.Plan == nil {
				t.Fatal(res.Problems.Error())
			}
			var want any
			if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, pick(t, res.Plan, tt.path)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestPriorities has the priority of jobs for which the file gives none, by what is built.
func TestPriorities(t *testing.T) {
	for name, tt := range map[string]struct {
		b    Build
		want int
	}{
		"default branch":              {Build{Branch: "main", DefaultBranch: "main"}, 60},
		"promotion on it":             {Build{Branch: "main", DefaultBranch: "main", Promotion: true}, 65},
		"another branch":              {Build{Branch: "dev", DefaultBranch: "main"}, 50},
		"promotion elsewhere":         {Build{Branch: "dev", DefaultBranch: "main", Promotion: true}, 55},
		"a tag":                       {Build{Tag: "main", DefaultBranch: "main"}, 50},
		"a pull request":              {Build{PullRequest: "7", DefaultBranch: "main"}, 50},
		"a task":                      {Build{Branch: "main", DefaultBranch: "main", Scheduled: true}, 40},
		"a promotion of a task":       {Build{Branch: "main", DefaultBranch: "main", Scheduled: true, Promotion: true}, 40},
		"without a default branch":    {Build{Branch: "master"}, 60},
		"a branch called master only": {Build{Branch: "master", DefaultBranch: "main"}, 50},
	} {
		res := Compile([]byte("version: v1.0\n"+machine+oneBlock), Options{}, tt.b)
		if got := res.Plan.Blocks[0].Jobs[0].Priority; got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// TestWhatCannotBeCompiled has the mistakes that only compiling a file for a build can see.
func TestWhatCannotBeCompiled(t *testing.T) {
	for _, tt := range []struct {
		name, file, want string
		change           func(*Build)
	}{
		{"a commands_file that is not there", machine + "blocks: [{task: {jobs: [{commands_file: no.txt}]}}]\n", `p.yml:3:41: the file ".semaphore/no.txt" cannot be read: there is no file .semaphore/no.txt`, nil},
		{"an empty commands_file", machine + "blocks: [{task: {jobs: [{commands_file: empty.txt}]}}]\n", `p.yml:3:41: the commands_file ".semaphore/empty.txt" is empty; write one command per line into it`, nil},
		{"a commands_file without a repository", machine + "blocks: [{task: {jobs: [{commands_file: a.txt}]}}]\n", `p.yml:3:41: the file "a.txt" cannot be read here, because there is no repository`, func(b *Build) { b.File = nil }},
		{"a task_file that is not there", machine + "blocks: [{task_file: no.yml}]\n", `p.yml:3:22: the file ".semaphore/no.yml" cannot be read: there is no file .semaphore/no.yml`, nil},
		{"a task_file with a mistake", machine + "blocks: [{task_file: bad.yml}]\n", `.semaphore/bad.yml:1:1: "job" is not a key of a task; did you mean "jobs"?`, nil},
		{"a task_file that is a list", machine + "blocks: [{task_file: list.yml}]\n", `.semaphore/list.yml:1:1: a task file holds a map with the keys of a task, such as jobs, but this is a list`, nil},
		{"a function without a repository", machine + "blocks: [{run: {when: \"change_in('/a')\"}, task: {jobs: [{commands: [x]}]}}]\n", `p.yml:3:24: cannot tell what "change_in" says: there is no repository to ask`, func(b *Build) { b.Call = nil }},
		{"a branch that does not exist", machine + "blocks: [{run: {when: \"branch = 'x' or change_in('/a', {default_branch: 'gone'})\"}, task: {jobs: [{commands: [x]}]}}]\n", `p.yml:3:40: Unknown git reference 'gone'.`, func(b *Build) {
			b.Call = func(c *when.Call, _ bool) (bool, string, error) {
				return false, "", &when.EvaluationError{Offset: c.Offset, Message: "Unknown git reference 'gone'."}
			}
		}},
		{"a promotion's function that fails", machine + oneBlock + "promotions: [{name: P, pipeline_file: p.yml, auto_promote: {when: \"change_in('/a')\"}}]\n", `p.yml:4:68: git is away`, func(b *Build) {
			b.Call = func(*when.Call, bool) (bool, string, error) { return false, "", errors.New("git is away") }
		}},
		{"a reason that no job is retried for", machine + "blocks: [{task: {jobs: [{commands: [x], retry: {on: [agent_gone]}}]}}]\n", `p.yml:3:54: a job cannot be run again on "agent_gone"; there are agent_lost, agent_restarted, agent_disconnected, interrupted, start_failed, image_pull, agent_error`, nil},
		{"a pattern of an old filter", machine + "blocks: [{filters: [{label_pattern: '(', action: skip}], task: {jobs: [{commands: [x]}]}}]\n", `p.yml:3:37: the pattern "(" is not valid: a ")" is missing`, nil},
		{"a pattern of an old promotion", machine + oneBlock + "promotions: [{name: P, pipeline_file: p.yml, auto_promote_on: [{result: passed, branch: ['[a']}]}]\n", `p.yml:4:90: the pattern "[a" is not valid: a "]" is missing`, nil},
		{"too many variables with those of global_job_config", "global_job_config: {env_vars: [" + strings.Repeat("{name: A, value: b},", 200) + "]}\n" + machine + "blocks: [{task: {env_vars: [" + strings.Repeat("{name: A, value: b},", 101) + "], jobs: [{commands: [x]}]}}]\n", "this job has 301 environment variables with those of its task and of global_job_config; 300 are allowed", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := testBuild("testdata/property")
			if tt.change != nil {
				tt.change(&b)
			}
			res := Compile([]byte("version: v1.0\n"+tt.file), Options{File: "p.yml", Path: ".semaphore/p.yml"}, b)
			if got := res.Problems.Error(); !strings.Contains(got, tt.want) || res.Plan != nil {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}
