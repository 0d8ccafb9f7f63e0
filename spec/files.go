package spec

import (
	"path"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec/when"
)

// Resolve returns the path from the root of the repository of a file that a pipeline file names: relative to its own
// directory, or from the root with a leading slash. A path that would leave the repository ends at its root.
func Resolve(pipelineFile, name string) string {
	if strings.HasPrefix(name, "/") {
		return strings.TrimPrefix(path.Clean(name), "/")
	}
	return strings.TrimPrefix(path.Clean("/"+path.Join(path.Dir(pipelineFile), name)), "/")
}

// readFile reads a file that the value v names; a problem is about v.
func (c *checker) readFile(v *value) (name string, data []byte, ok bool) {
	name = Resolve(c.file, v.text)
	if c.build.File == nil {
		c.wrong(v, "", "the file %s cannot be read here, because there is no repository", quote(v.text))
		return name, nil, false
	}
	data, err := c.build.File(name)
	if err != nil {
		c.wrong(v, "", "the file %s cannot be read: %s", quote(name), signalbox.ErrorMessage(err))
		return name, nil, false
	}
	return name, data, true
}

// commands returns the commands under v: those of the list, or the lines of the file.
func (c *checker) commands(v *value) []string {
	var out []string
	for _, it := range v.list("commands") {
		out = append(out, it.text)
	}
	f := v.get("commands_file")
	if f == nil || f.kind != text {
		return out
	}
	name, data, ok := c.readFile(f)
	if !ok {
		return out
	}
	lines := strings.TrimSuffix(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	switch {
	case strings.TrimSpace(lines) == "":
		c.wrong(f, "", "the commands_file %s is empty; write one command per line into it", quote(name))
		return out
	case invalidUTF8(lines) >= 0 || strings.ContainsRune(lines, 0):
		c.wrong(f, "", "the commands_file %s is no text in UTF-8", quote(name))
		return out
	}
	return append(out, strings.Split(lines, "\n")...)
}

// taskFiles puts the tasks of files in the place of their names.
func (c *checker) taskFiles(root *value) {
	if c.build == nil {
		return
	}
	for _, b := range append(root.list("blocks"), root.get("after_pipeline")) {
		if f := b.get("task_file"); f != nil && f.kind == text && b.get("task") == nil {
			if task := c.taskFile(f); task != nil {
				task.parent, task.step = b, "task"
				b.fields = append(b.fields, task)
			}
		}
	}
}

// taskFile reads a task from its own file, whose problems carry its own name.
func (c *checker) taskFile(f *value) *value {
	name, data, ok := c.readFile(f)
	if !ok {
		return nil
	}
	sub := &checker{file: c.file, build: c.build, report: &report{file: name}, conditions: map[conditionKey][]when.Finding{}}
	var task *value
	if node := sub.load(data); node != nil {
		if task = sub.value(node, nil, "", mark{}); task != nil && task.kind == mapping {
			sub.object(task, objects["task"], false)
		} else if task != nil {
			sub.wrong(task, "", "a task file holds a map with the keys of a task, such as jobs, but this is %s", describe(task))
			task = nil
		}
	}
	problems := sub.report.problems()
	c.report.take(problems)
	if problems.HasErrors() {
		return nil
	}
	// Places in the other file would point into this one.
	task.relocate(f.at)
	return task
}

// relocate makes a value and all in it stand at one place.
func (v *value) relocate(at mark) {
	v.at, v.keyAt = at, at
	for _, list := range [][]*value{v.fields, v.items} {
		for _, f := range list {
			f.relocate(at)
		}
	}
}
