package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/signalbox-ci/signalbox"
)

// maxPlanBytes bounds the text of a plan. Every job carries its own copy of what its task shares, so a small file with
// aliases could make a plan that no database should hold.
const maxPlanBytes = 16 << 20

// Priorities of jobs where the file gives none.
const (
	priorityScheduled     = 40
	priorityAfter         = 45
	priorityOther         = 50
	priorityPromotion     = 55
	priorityTrunk         = 60
	priorityTrunkPromoted = 65
)

// compiler turns a checked file into its plan.
type compiler struct {
	*checker
	root *value
	plan *signalbox.Plan
	size int
}

// compile returns nil when the file has errors, or its plan would be too large.
func (c *checker) compile(root *value) *signalbox.Plan {
	if c.report.list.HasErrors() {
		return nil
	}
	co := &compiler{checker: c, root: root, plan: &signalbox.Plan{Name: root.string("name"), TimeLimit: minutes(root), PartialRerun: root.string("partial_rerun")}}
	co.plan.FailFast = co.strategy(root.get("fail_fast"), "stop", "cancel")
	co.plan.AutoCancel = co.strategy(root.get("auto_cancel"), "running", "queued")
	co.queue(root.get("queue"))
	co.blocks()
	co.after()
	for _, p := range root.list("promotions") {
		co.plan.Promotions = append(co.plan.Promotions, co.promotion(p))
	}
	if c.report.list.HasErrors() {
		return nil
	}
	return co.plan
}

// strategy decides which of two conditions holds; the one that stops goes first.
func (c *compiler) strategy(v *value, stop, cancel string) signalbox.Strategy {
	stops, cancels := c.holds(v.get(stop)), c.holds(v.get(cancel))
	switch {
	case stops:
		return signalbox.StrategyStop
	case cancels:
		return signalbox.StrategyCancel
	}
	return signalbox.StrategyNone
}

// queue takes the one queue of a map, or the first of a list whose condition holds.
func (c *compiler) queue(q *value) {
	if q == nil {
		return
	}
	if q.kind == list {
		var chosen *value
		for _, it := range q.items {
			if it.get("when") != nil && c.holds(it) && chosen == nil {
				chosen = it
			}
		}
		if q = chosen; q == nil {
			return
		}
	}
	c.plan.Queue = signalbox.Queue{
		Name: queueName(q.string("name")), Organization: q.string("scope") == "organization", Parallel: q.string("processing") == "parallel",
	}
}

// queueName cuts a name that is too long so that different names stay different.
func queueName(name string) string {
	if utf8.RuneCountInString(name) <= 255 {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return string([]rune(name)[:238]) + "-" + hex.EncodeToString(sum[:])[:16]
}

func (c *compiler) blocks() {
	blocks := c.root.list("blocks")
	all := blockNames(blocks)
	index := make(map[string]int, len(all))
	for i, n := range all {
		index[n] = i
	}
	explicit := len(blocks) > 0 && blocks[0].get("dependencies") != nil
	c.plan.Blocks = make([]signalbox.PlanBlock, len(blocks))
	for i, b := range blocks {
		task := b.get("task")
		pb := signalbox.PlanBlock{
			Name: all[i], Dependencies: dependenciesOf(b, i, explicit, index), Skip: c.skip(b), TimeLimit: minutes(b),
			FailFast: c.plan.FailFast, PartialRerun: c.plan.PartialRerun,
		}
		if own := c.strategy(task.get("fail_fast"), "stop", "cancel"); own != "" {
			pb.FailFast = own
		}
		if own := b.string("partial_rerun"); own != "" {
			pb.PartialRerun = own
		}
		var ok bool
		if pb.Jobs, ok = c.jobs(task, c.root.get("global_job_config"), c.priority()); !ok {
			return
		}
		c.plan.Blocks[i] = pb
	}
}

// after compiles after_pipeline, which shares nothing with the blocks but the agent.
func (c *compiler) after() {
	if task := c.root.get("after_pipeline").get("task"); task != nil {
		c.plan.After, _ = c.jobs(task, nil, priorityAfter)
	}
}

// priority is that of jobs for which the file gives none.
func (c *compiler) priority() int {
	trunk := c.build.DefaultBranch
	if trunk == "" {
		trunk = "master"
	}
	onTrunk := c.build.Branch == trunk
	switch {
	case c.build.Scheduled:
		return priorityScheduled
	case c.build.Promotion && onTrunk:
		return priorityTrunkPromoted
	case c.build.Promotion:
		return priorityPromotion
	case onTrunk:
		return priorityTrunk
	}
	return priorityOther
}

// jobs compiles the jobs of a task; it returns false when there is too much of them.
func (c *compiler) jobs(task, global *value, priority int) ([]signalbox.PlanJob, bool) {
	shared := c.shared(task, global)
	rules := global.list("priority")
	var out []signalbox.PlanJob
	names := jobNames(task.list("jobs"))
	for k, job := range task.list("jobs") {
		one := signalbox.PlanJob{Name: names[k], TimeLimit: minutes(job), Priority: priority}
		for _, rule := range slices.Concat(job.list("priority"), rules) {
			if c.holds(rule) {
				one.Priority = rule.get("value").int()
				break
			}
		}
		one.Spec = shared
		one.Spec.EnvVars = slices.Concat(shared.EnvVars, envVars(job))
		one.Spec.Commands = slices.Concat(shared.Commands, c.commands(job))
		one.Spec.Retry = retry(job.get("retry"))
		for _, j := range multiply(job, one) {
			if c.size += weight(j.Spec); c.size > maxPlanBytes {
				c.wrong(task, "", "all jobs together have more than %d MiB of commands and variables, counting what a task "+
					"repeats for each of its jobs; move long scripts into files of the repository", maxPlanBytes>>20)
				return nil, false
			}
			if n := len(j.Spec.EnvVars); n > maxVariables {
				c.wrong(job, "The number of environment variables is higher than 300",
					"this job has %d environment variables with those of its task and of global_job_config; %d are allowed", n, maxVariables)
			}
			out = append(out, j)
		}
	}
	return out, true
}

// shared is what all jobs of a task have in common.
func (c *compiler) shared(task, global *value) signalbox.JobSpec {
	agent := task.get("agent")
	if agent == nil {
		agent = c.root.get("agent")
	}
	own, whole := task.get("epilogue"), global.get("epilogue")
	epilogue := func(key string) []string {
		return slices.Concat(c.commands(own.get(key)), c.commands(whole.get(key)))
	}
	s := signalbox.JobSpec{
		MachineType: agent.get("machine").string("type"),
		OSImage:     agent.get("machine").string("os_image"),
		Secrets:     append(nameList(global.list("secrets")), nameList(task.list("secrets"))...),
		EnvVars:     append(envVars(global), envVars(task)...),
		Commands:    append(c.commands(global.get("prologue")), c.commands(task.get("prologue"))...),
		// Bare commands mean always.
		EpilogueAlways: slices.Concat(c.commands(own), c.commands(own.get("always")), c.commands(whole), c.commands(whole.get("always"))),
		EpilogueOnPass: epilogue("on_pass"),
		EpilogueOnFail: epilogue("on_fail"),
		Containers:     containers(agent),
		PullSecrets:    nameList(agent.list("image_pull_secrets")),
	}
	if selfHosted(s.MachineType) {
		s.OSImage = ""
	}
	return s
}

func containers(agent *value) []signalbox.Container {
	var out []signalbox.Container
	for _, v := range agent.list("containers") {
		image := v.string("image")
		if rest, ok := strings.CutPrefix(image, "semaphoreci/"); ok {
			image = "registry.semaphoreci.com/" + rest
		}
		out = append(out, signalbox.Container{
			Name: v.string("name"), Image: image, Command: v.string("command"), Entrypoint: v.string("entrypoint"), User: v.string("user"),
			EnvVars: envVars(v), Secrets: nameList(v.list("secrets")),
		})
	}
	return out
}

func retry(v *value) *signalbox.Retry {
	if v == nil {
		return nil
	}
	r := &signalbox.Retry{Limit: 1}
	if l := v.get("limit"); l != nil {
		r.Limit = l.int()
	}
	for _, it := range v.list("on") {
		r.On = append(r.On, signalbox.Reason(it.text))
	}
	return r
}

// multiply makes the jobs that parallelism or a matrix ask for.
func multiply(job *value, one signalbox.PlanJob) []signalbox.PlanJob {
	with := func(name string, vars ...signalbox.EnvVar) signalbox.PlanJob {
		j := one
		j.Name = name
		j.Spec.EnvVars = slices.Concat(one.Spec.EnvVars, vars)
		return j
	}
	if p := job.get("parallelism"); p != nil {
		n := p.int()
		out := make([]signalbox.PlanJob, 0, n)
		for i := 1; i <= n; i++ {
			out = append(out, with(fmt.Sprintf("%s - %d/%d", one.Name, i, n),
				signalbox.EnvVar{Name: "SEMAPHORE_JOB_COUNT", Value: itoa(n)}, signalbox.EnvVar{Name: "SEMAPHORE_JOB_INDEX", Value: itoa(i)}))
		}
		return out
	}
	m := job.list("matrix")
	if len(m) == 0 {
		return []signalbox.PlanJob{one}
	}
	combinations := [][]signalbox.EnvVar{nil}
	for _, v := range m { // the first variable changes slowest
		var next [][]signalbox.EnvVar
		for _, c := range combinations {
			for _, val := range v.list("values") {
				next = append(next, append(c[:len(c):len(c)], signalbox.EnvVar{Name: v.string("env_var"), Value: val.text}))
			}
		}
		combinations = next
	}
	count := ""
	for _, e := range envVars(job) {
		if e.Name == "SEMAPHORE_JOB_COUNT" {
			count = e.Value
		}
	}
	var out []signalbox.PlanJob
	for _, c := range combinations {
		var parts []string
		for _, e := range c {
			parts = append(parts, e.Name+"="+e.Value)
		}
		name := one.Name + " - " + strings.Join(parts, ", ")
		if count != "" { // a matrix written out by hand for what parallelism does
			name = one.Name + " - " + c[0].Value + "/" + count
		}
		out = append(out, with(name, c...))
	}
	return out
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

// selfHosted tells whether agents of this type are machines without images.
func selfHosted(agentType string) bool { return strings.HasPrefix(agentType, "s1-") }

func envVars(v *value) []signalbox.EnvVar {
	var out []signalbox.EnvVar
	for _, e := range v.list("env_vars") {
		out = append(out, signalbox.EnvVar{Name: e.string("name"), Value: e.string("value")})
	}
	return out
}

func nameList(items []*value) []string {
	var out []string
	for _, it := range items {
		out = append(out, it.string("name"))
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
	vars := s.EnvVars
	for _, c := range s.Containers {
		n += len(c.Name) + len(c.Image) + len(c.Command) + len(c.Entrypoint) + 100
		vars = append(vars[:len(vars):len(vars)], c.EnvVars...)
	}
	for _, e := range vars {
		n += len(e.Name) + len(e.Value) + 24
	}
	return n
}
