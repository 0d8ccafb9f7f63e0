package spec

import (
	"slices"
	"strings"
)

const mixedDependencies = "There are blocks with both explicitly and implicitly defined dependencies.\n" +
	"This is not allowed, please use only one of this formats.\n"

// dependencies checks that all blocks or none name their dependencies, that these exist, and that no block waits for
// itself.
func (c *checker) dependencies(blocks []*value) {
	all := blockNames(blocks)
	var without []string
	var first *value
	for i, b := range blocks {
		d := b.get("dependencies")
		switch {
		case d != nil && first == nil:
			first = d
		case d == nil && !c.given(b, "dependencies"):
			without = append(without, quote(all[i]))
		}
	}
	if first != nil && len(without) > 0 {
		shown := strings.Join(without[:min(len(without), 10)], ", ")
		if len(without) > 10 {
			shown += " and " + itoa(len(without)-10) + " more"
		}
		c.problem(SeverityError, first.keyAt, "#/blocks", mixedDependencies,
			`some blocks have "dependencies" and some do not: %s; add "dependencies: []" to those that wait for nothing`, shown)
	}
	known := map[string]bool{}
	for _, n := range all {
		known[n] = true
	}
	for i, b := range blocks {
		seen := map[string]bool{}
		for _, d := range b.list("dependencies") {
			switch {
			case d.kind != text:
			case !known[d.text] && !c.report.full(SeverityError):
				hint := ""
				if w := nearest(d.text, all); w != "" {
					hint = "; did you mean " + quote(w) + "?"
				}
				c.wrong(d, "{:unknown_block_name, \""+d.text+"\"}", "the block %s depends on %s, but there is no such block%s",
					quote(all[i]), quote(d.text), hint)
			case seen[d.text]:
				c.problem(SeverityWarning, d.at, d.path(), "", "%s is in the list already; remove one of them", quote(d.text))
			}
			seen[d.text] = true
		}
	}
	c.cycles(blocks, all)
}

// cycles reports one circle for each group of blocks that wait for each other.
func (c *checker) cycles(blocks []*value, all []string) {
	index := map[string]int{}
	for i := len(all) - 1; i >= 0; i-- {
		index[all[i]] = i
	}
	dependents := make([][]int, len(blocks))
	for i, b := range blocks {
		for _, d := range b.list("dependencies") {
			if j, ok := index[d.text]; ok && d.kind == text {
				dependents[j] = append(dependents[j], i)
			}
		}
	}
	order := make([]int, len(blocks))
	for i := range order {
		order[i] = i
		slices.Sort(dependents[i])
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(all[a], all[b]) })
	done := make([]bool, len(blocks))
	for _, start := range order {
		circle := circleFrom(start, dependents, done)
		if len(circle) == 0 {
			continue
		}
		quoted := make([]string, 0, len(circle)+1)
		for _, i := range append(circle, circle[0]) {
			quoted = append(quoted, "'"+all[i]+"'")
		}
		way := strings.Join(quoted, " → ")
		at := blocks[circle[0]].get("dependencies")
		c.problem(SeverityError, at.at, at.path(),
			"Circular dependency between blocks detected: "+way+". Blocks cannot depend on each other in a cycle.",
			"these blocks wait for each other: %s, where each must end before the next; remove one of their dependencies", way)
	}
}

// circleFrom walks from start and returns the first circle it closes. Every block it came by is done, so that a circle
// is reported once.
func circleFrom(start int, next [][]int, done []bool) []int {
	var path, circle []int
	at := map[int]int{} // where a block stands in path
	var walk func(i int)
	walk = func(i int) {
		if p, ok := at[i]; ok {
			if circle == nil {
				circle = slices.Clone(path[p:])
			}
			return
		}
		if done[i] {
			return
		}
		done[i] = true
		at[i] = len(path)
		path = append(path, i)
		for _, n := range next[i] {
			walk(n)
		}
		path = path[:len(path)-1]
		delete(at, i)
	}
	walk(start)
	return circle
}
