package web

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec/when"
)

// conditionLines tells what each condition came to, and what its parts did.
func conditionLines(b *strings.Builder, all []signalbox.Condition) {
	if len(all) > 0 {
		b.WriteString("\nconditions:\n")
	}
	for _, c := range all {
		fmt.Fprintf(b, "  line %d  %s  %s = %v\n", c.Line, strings.TrimPrefix(c.Path, "#/"), oneLine(c.Text), c.Value)
		var t when.Term
		if len(c.Why) > 0 && json.Unmarshal(c.Why, &t) == nil {
			termLines(b, t, 2)
		}
	}
}

// maxTermDepth bounds how deep the parts of a condition are told.
const maxTermDepth = 8

func termLines(b *strings.Builder, t when.Term, depth int) {
	if t.Why != "" {
		fmt.Fprintf(b, "%s%s\n", strings.Repeat("  ", depth), t.Why)
	}
	if depth > maxTermDepth {
		return
	}
	for _, part := range t.Terms {
		op := ""
		if part.Op != "" {
			op = part.Op + " "
		}
		fmt.Fprintf(b, "%s%s%s = %v\n", strings.Repeat("  ", depth), op, oneLine(part.Text), part.Value)
		termLines(b, part, depth+1)
	}
}

func oneLine(s string) string { return clip(strings.Join(strings.Fields(s), " "), 160) }
