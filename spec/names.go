package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox/spec/when"
)

// names returns what the items of a list are called: their own names, and prefix with the next free number for those
// that have none.
func names(items []*value, prefix string) []string {
	taken := map[string]bool{}
	for _, it := range items {
		taken[it.string("name")] = true
	}
	out, n := make([]string, len(items)), 1
	for i, it := range items {
		out[i] = it.string("name")
		if out[i] != "" {
			continue
		}
		for taken[prefix+itoa(n)] {
			n++
		}
		out[i] = prefix + itoa(n)
		n++
	}
	return out
}

func blockNames(blocks []*value) []string { return names(blocks, "Nameless block ") }
func jobNames(jobs []*value) []string     { return names(jobs, "Nameless ") }

// unique reports every name that an earlier item of the list has already.
func (c *checker) unique(items []*value, what string, code func(name string) string) {
	first := map[string]*value{}
	for _, it := range items {
		n := it.get("name")
		if n == nil || n.kind != text || n.text == "" {
			continue
		}
		if f, ok := first[n.text]; ok {
			c.wrong(n, code(n.text), "another %s is called %s already, on line %d; give one of them another name",
				what, quote(n.text), f.at.line)
			continue
		}
		first[n.text] = n
	}
}

// semantics checks what takes more than one key to see.
func (c *checker) semantics(root *value) {
	if c.used {
		return
	}
	blocks := root.list("blocks")
	c.dependencies(blocks)
	c.timeLimits(root)
	c.unique(blocks, "block", func(n string) string { return "There are at least two blocks with same name: " + n })
	for i, name := range blockNames(blocks) {
		c.task(blocks[i].get("task"), name)
	}
	c.task(root.get("after_pipeline").get("task"), "after_pipeline")
	c.agent(root.get("agent"))
	global := root.get("global_job_config")
	c.variables(global.list("env_vars"))
	c.filters(blocks)
	c.promotions(root.list("promotions"))
	if q := root.get("queue"); q != nil && q.kind == mapping {
		if w := q.get("when"); w != nil {
			c.problem(SeverityWarning, w.keyAt, w.path(), "", `"when" has no effect on a single queue; write a list of queues to choose one by condition`)
		}
	} else if q != nil {
		for _, it := range q.items {
			if it.kind == mapping && it.get("when") == nil {
				c.problem(SeverityWarning, it.at, it.path(), "", `a queue in a list without "when" is never chosen; add "when: true" to choose it always`)
			}
		}
	}
}

func (c *checker) task(task *value, block string) {
	if task == nil {
		return
	}
	c.agent(task.get("agent"))
	c.variables(task.list("env_vars"))
	jobs := task.list("jobs")
	c.unique(jobs, "job of this block", func(n string) string { return fmt.Sprintf("{:duplicate_names, [[%q, %q]]}", n, n) })
	total := 0
	for i, name := range jobNames(jobs) {
		j := jobs[i]
		c.variables(j.list("env_vars"))
		c.retry(j.get("retry"))
		if n := len(task.list("env_vars")) + len(j.list("env_vars")); n > maxVariables {
			c.wrong(j, "The number of environment variables is higher than 300",
				"this job has %d environment variables with those of its task; %d are allowed", n, maxVariables)
		}
		if p := j.get("parallelism"); p != nil && p.kind == text && !c.failedTemplate(p) && (c.build != nil || !isTemplate(p.text)) {
			c.wrong(p, fmt.Sprintf("Parallelism value for job '%s' in block '%s' is not an integer.", name, block),
				`"parallelism" must be a whole number from 1 to 50, but this is the text %s; remove the quotes if it is a number`, quote(p.text))
		}
		total = min(total+c.matrix(j.get("matrix"), block, name), 1000)
	}
	if total > maxMatrix {
		c.wrong(task, fmt.Sprintf("Total matrix size exceeds maximum allowed size (100) in block '%s'. %s", block, matrixSize),
			"the matrices of this block make more than %d jobs together; move some jobs into another block", maxMatrix)
	}
}

// failedTemplate tells whether the value could not be filled in, which is said already.
func (c *checker) failedTemplate(v *value) bool { return c.expanded[v.node] && isTemplate(v.text) }

const (
	maxVariables = 300 // of a job
	maxMatrix    = 100 // jobs that matrices may make, per job and per block
	matrixSize   = "The matrix product size is calculated as the product of the number of values for each environment variable."
)

// matrix checks the variables of a matrix and returns how many jobs it makes, capped.
func (c *checker) matrix(m *value, block, job string) int {
	if m == nil {
		return 0
	}
	size := 1
	seen := map[string]*value{}
	for _, it := range m.items {
		name := it.get("env_var")
		if name != nil {
			if first, ok := seen[name.text]; ok {
				c.wrong(name, fmt.Sprintf("Duplicate environment variable(s): '%s' in job matrix (block '%s', job '%s').", name.text, block, job),
					"the matrix has the variable %s already, on line %d; put all values into one list", quote(name.text), first.at.line)
			}
			seen[name.text] = name
		}
		values := it.get("values")
		if values == nil {
			continue
		}
		if values.kind == text && !c.failedTemplate(values) && (c.build != nil || !isTemplate(values.text)) {
			c.wrong(values, fmt.Sprintf("Matrix values for env_var '%s' (block '%s', job '%s' must be a non-empty list of strings.", it.string("env_var"), block, job),
				`"values" must be a list of texts, but this is the text %s; write values: [%s]`, quote(values.text), single(cut(values.text, 60)))
		}
		size = min(size*max(1, len(values.items)), 1000)
	}
	if size > maxMatrix {
		c.wrong(m, fmt.Sprintf("Matrix product size exceeds maximum allowed size (100) in job matrix (block '%s', job '%s'). %s", block, job, matrixSize),
			"the matrix makes more than %d jobs, because the numbers of values multiply; split the job", maxMatrix)
		return 0 // said once is enough
	}
	return size
}

// agent warns about an image that cannot have an effect.
func (c *checker) agent(a *value) {
	m := a.get("machine")
	if image := m.get("os_image"); image != nil && image.text != "" && selfHosted(m.string("type")) {
		c.problem(SeverityWarning, image.keyAt, image.path(), "",
			`"os_image" has no effect for an agent type that begins with "s1-"; remove it`)
	}
}

// variables warns about names that no shell can use.
func (c *checker) variables(vars []*value) {
	for _, v := range vars {
		n := v.get("name")
		if n == nil || n.kind != text || templates.MatchString(n.text) {
			continue
		}
		for i, r := range n.text + " " {
			if i == len(n.text) && i > 0 {
				break
			}
			if r != '_' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
				c.problem(SeverityWarning, n.at, n.path(), "",
					"no shell can use a variable called %s; use letters, digits and _, not beginning with a digit", quote(n.text))
				break
			}
		}
	}
}

// RetryReasons are the ends of a job that are not its own fault, and after which it can be run again.
var RetryReasons = []string{"agent_lost", "agent_restarted", "agent_disconnected", "interrupted", "start_failed", "image_pull", "agent_error", "lease_ended"}

func (c *checker) retry(v *value) {
	for _, it := range v.list("on") {
		if it.kind != text || slices.Contains(RetryReasons, it.text) {
			continue
		}
		hint := ""
		if w := nearest(it.text, RetryReasons); w != "" {
			hint = "; did you mean " + quote(w) + "?"
		}
		c.wrong(it, "", "a job cannot be run again on %s; there are %s%s", quote(it.text), strings.Join(RetryReasons, ", "), hint)
	}
}

// filters checks the patterns of the older forms of conditions.
func (c *checker) filters(blocks []*value) {
	for _, b := range blocks {
		for _, f := range b.list("filters") {
			c.pattern(f.get("label_pattern"))
		}
	}
}

func (c *checker) pattern(v *value) {
	if v == nil || v.kind != text || strings.Contains(v.text, "{{") {
		return
	}
	if why := when.InvalidPattern(v.text); why != "" {
		c.wrong(v, "", "the pattern %s is not valid: %s", quote(v.text), why)
	}
}

func (c *checker) promotions(items []*value) {
	c.unique(items, "promotion", func(n string) string { return "There are at least two targets with same name: " + n })
	for _, it := range items {
		for _, on := range it.list("auto_promote_on") {
			for _, p := range append(append([]*value{}, on.list("branch")...), on.list("label_patterns")...) {
				c.pattern(p)
			}
		}
		params := it.get("parameters").list("env_vars")
		first := map[string]*value{}
		for _, p := range params {
			n := p.get("name")
			if n == nil || n.kind != text {
				continue
			}
			if f, ok := first[n.text]; ok {
				c.wrong(n, "Parameter environment variable with name '"+n.text+"' is defined at least two times.",
					"the parameter %s is there already, on line %d; remove one of them", quote(n.text), f.at.line)
			}
			first[n.text] = n
			required, preset := p.get("required"), p.get("default_value")
			if required != nil && required.kind == boolean && !required.bool() && preset != nil && preset.text != "" {
				c.wrong(preset, "Invalid parameter: '"+n.text+"' - it can either be optional or have default value.",
					"the parameter %s is optional, so its default value would never be used; remove required: false or default_value", quote(n.text))
			}
		}
	}
}
