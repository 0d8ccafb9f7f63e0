package spec

import (
	"fmt"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// maxPlanBytes bounds the text of a plan. Every job carries its own copy of what its task shares, so a small file with
// aliases could make a plan that no database should hold.
const maxPlanBytes = 16 << 20

// compile turns a checked file into its plan, nil when that would be too large.
func compile(root *value, rep *report) *signalbox.Plan {
	if rep.list.HasErrors() {
		return nil
	}
	blocks := root.list("blocks")
	all := blockNames(blocks)
	index := make(map[string]int, len(all))
	for i, n := range all {
		index[n] = i
	}
	explicit := len(blocks) > 0 && blocks[0].get("dependencies") != nil
	plan := &signalbox.Plan{Name: root.string("name"), Blocks: make([]signalbox.PlanBlock, len(blocks))}
	size := 0
	for i, b := range blocks {
		plan.Blocks[i] = signalbox.PlanBlock{Name: all[i], Dependencies: dependenciesOf(b, i, explicit, index)}
		task := b.get("task")
		jobs := task.list("jobs")
		for k, name := range jobNames(jobs) {
			s := jobSpec(root, task, jobs[k])
			if size += weight(s); size > maxPlanBytes {
				rep.add(Problem{
					Line: b.at.line, Column: b.at.column, Path: b.path(), Severity: SeverityError,
					Message: fmt.Sprintf("all jobs together have more than %d MiB of commands and variables, counting what a task "+
						"repeats for each of its jobs; move long scripts into files of the repository", maxPlanBytes>>20),
				})
				return nil
			}
			plan.Blocks[i].Jobs = append(plan.Blocks[i].Jobs, signalbox.PlanJob{Name: name, Spec: s})
		}
	}
	return plan
}

// dependenciesOf returns the indexes of the blocks that must pass before block i. Without explicit dependencies blocks
// run in the order of the file.
func dependenciesOf(b *value, i int, explicit bool, index map[string]int) []int {
	deps := []int{}
	if !explicit && i > 0 {
		return []int{i - 1}
	}
	seen := map[string]bool{}
	for _, d := range b.list("dependencies") {
		if !seen[d.text] {
			deps = append(deps, index[d.text])
		}
		seen[d.text] = true
	}
	return deps
}

func jobSpec(root, task, job *value) signalbox.JobSpec {
	agent := task.get("agent")
	if agent == nil {
		agent = root.get("agent")
	}
	epilogue := task.get("epilogue")
	s := signalbox.JobSpec{
		MachineType:    agent.get("machine").string("type"),
		OSImage:        agent.get("machine").string("os_image"),
		EnvVars:        append(envVars(task), envVars(job)...),
		Commands:       append(texts(task.get("prologue")), texts(job)...),
		EpilogueAlways: append(texts(epilogue), texts(epilogue.get("always"))...), // bare commands mean always
		EpilogueOnPass: texts(epilogue.get("on_pass")),
		EpilogueOnFail: texts(epilogue.get("on_fail")),
	}
	if selfHosted(s.MachineType) {
		s.OSImage = ""
	}
	return s
}

// selfHosted tells whether agents of this type are machines without images.
func selfHosted(agentType string) bool { return strings.HasPrefix(agentType, "s1-") }

func envVars(v *value) []signalbox.EnvVar {
	var out []signalbox.EnvVar
	for _, e := range v.list("env_vars") {
		out = append(out, signalbox.EnvVar{Name: e.string("name"), Value: e.string("value")})
	}
	return out
}

// texts returns the commands under v.
func texts(v *value) []string {
	var out []string
	for _, c := range v.list("commands") {
		out = append(out, c.text)
	}
	return out
}

// weight is what a job takes in a stored plan, roughly.
func weight(s signalbox.JobSpec) int {
	n := 200
	for _, list := range [][]string{s.Commands, s.EpilogueAlways, s.EpilogueOnPass, s.EpilogueOnFail} {
		for _, c := range list {
			n += len(c) + 4
		}
	}
	for _, e := range s.EnvVars {
		n += len(e.Name) + len(e.Value) + 24
	}
	return n
}
