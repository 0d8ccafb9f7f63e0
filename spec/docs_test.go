package spec

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	page  = "../docs/pipeline-file.md"
	begin = "<!-- keys: written by go test ./spec -run TestManual -update -->\n"
	end   = "<!-- end of keys -->\n"
)

// TestManual keeps the manual page true to the table.
func TestManual(t *testing.T) {
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has lost its markers", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+manual()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(manual(), old); d != "" {
		t.Errorf("the table and %s differ; run this test with -update:\n%s", page, d)
	}
}

// manual writes the supported keys object by object, and after them those that are refused.
func manual() string {
	var b strings.Builder
	var refused []string
	var write func(name, path string)
	done := map[string]bool{}
	write = func(name, path string) {
		if done[name] {
			return
		}
		done[name] = true
		o := objects[name]
		title := path
		if title == "" {
			title = "Top level"
		} else {
			title = "`" + title + "`"
		}
		fmt.Fprintf(&b, "### %s\n\n%s\n\n| Key | Value | |\n| --- | --- | --- |\n", title, o.doc)
		var inner []key
		for _, k := range o.keys {
			if k.later != "" {
				at := strings.TrimPrefix(path+"."+k.name, ".")
				refused = append(refused, fmt.Sprintf("| `%s` | %s | %s |\n", at, k.doc, k.later))
				continue
			}
			what := k.what()
			switch {
			case k.min > 0 && k.max > 0:
				what += ", " + span(k.min, k.max)
			case k.max > 0:
				what += ", at most " + itoa(k.max)
			}
			if k.required || k.name == "version" || onlyChoice(o, k) {
				what += "; required"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.name, what, k.doc)
			if k.object != "" {
				inner = append(inner, k)
			}
		}
		b.WriteString("\n")
		for _, k := range inner {
			sub := strings.TrimPrefix(path+"."+k.name, ".")
			if k.kind&list != 0 {
				sub += "[]"
			}
			write(k.object, sub)
		}
	}
	write("pipeline", "")
	b.WriteString("## Keys that are checked and refused\n\nThese are right in a pipeline file, and their content is checked, but this version cannot run them. " +
		"A file that uses one is refused with its line, never run without it.\n\n| Key | Meaning | Until then |\n| --- | --- | --- |\n")
	b.WriteString(strings.Join(refused, ""))
	b.WriteString("\n")
	return b.String()
}

// onlyChoice tells whether k is the one key of a choice that this version can run.
func onlyChoice(o *object, k key) bool {
	able := 0
	for _, name := range o.oneOf {
		if o.key(name).later == "" {
			able++
		}
	}
	return able == 1 && slices.Contains(o.oneOf, k.name)
}

func TestTable(t *testing.T) {
	for _, o := range table {
		if o.place == "" || o.doc == "" {
			t.Errorf("%s lacks its place or a sentence", o.name)
		}
		if o.name != "pipeline" && len(holders(o.name)) == 0 {
			t.Errorf("nothing leads to %s", o.name)
		}
		for _, k := range o.keys {
			switch {
			case k.doc == "":
				t.Errorf("%s.%s lacks a sentence", o.name, k.name)
			case k.object != "" && objects[k.object] == nil:
				t.Errorf("%s.%s leads to %q, which is not in the table", o.name, k.name, k.object)
			case k.kind&list != 0 && k.object == "" && k.item == 0:
				t.Errorf("%s.%s does not say what its items are", o.name, k.name)
			case k.kind&mapping != 0 && k.object == "":
				t.Errorf("%s.%s does not say what it holds", o.name, k.name)
			}
		}
		together := append(append([]string{}, o.oneOf...), o.anyOf...)
		for _, a := range o.apart {
			together = append(together, a...)
		}
		for _, name := range together {
			if o.key(name) == nil {
				t.Errorf("%s has a rule about %q, which is not one of its keys", o.name, name)
			}
		}
	}
}
