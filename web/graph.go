package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Measures of the block graph in pixels.
const (
	cardWidth   = 200
	cardHead    = 35
	rowHeight   = 23
	cardPad     = 7
	whyHeight   = 18
	columnGap   = 44
	cardGap     = 20
	bendHeight  = 14 // room for an edge that passes a column
	graphMargin = 16
	headLine    = 17 // where edges leave and enter, from the top of a card
	maxCardJobs = 12
	maxGraph    = 300 // more blocks than this are shown as a list only
)

// Graph is a drawing of blocks: cards in columns by how deep their dependencies are, and the edges between them.
type Graph struct {
	Width, Height int
	Cards         []Card
	Edges         []Edge
	Calm          bool // so much runs that lamps which move would keep the browser busy
}

// lively is how many blocks may run before the lamps of a graph stand still.
const lively = 12

// Card is a block in the drawing.
type Card struct {
	X, Y, H   int
	Block     blockView
	Name      string // cut to the width
	Jobs      []CardJob
	More      string
	Why       []string
	RuleY     int
	Dim, Bold bool
}

// CardJob is one line of a card.
type CardJob struct {
	jobView
	Short string // the name, cut to the width
	Y     int    // top of its line
	Time  string
}

// Edge is the line from one block to the next. Class is "lit" when the source has passed and "off" towards a block that
// is skipped.
type Edge struct {
	Path, Class string
	EndX, EndY  int
	from, to    int
}

// node is a card, or a place where an edge passes through a column.
type node struct {
	card        int // index of the block, -1 for a passage
	source      int // for a passage: the block whose edges pass
	rank        int
	y, h        float64
	left, right []int
}

func (n *node) line() float64 {
	if n.card < 0 {
		return n.y + n.h/2
	}
	return n.y + headLine
}

// layout draws blocks, or returns nil when there are too many to be read as a drawing.
func layout(blocks []blockView) *Graph {
	if len(blocks) > maxGraph {
		return nil
	}
	ranks := rankOf(blocks)
	g := &Graph{}
	nodes := make([]node, len(blocks))
	running := 0
	for i, b := range blocks {
		if b.Lamp == lampRunning {
			running++
		}
		card := newCard(b)
		g.Cards = append(g.Cards, card)
		nodes[i] = node{card: i, source: i, rank: ranks[i], h: float64(card.H)}
	}
	nodes, chains := passages(nodes, blocks)
	columns := order(nodes)
	place(nodes, columns)

	g.Calm = running > lively
	top, bottom := 0.0, 0.0
	for i, n := range nodes {
		if i == 0 || n.y < top {
			top = n.y
		}
		bottom = max(bottom, n.y+n.h)
	}
	for i := range nodes {
		nodes[i].y += graphMargin - top
		if c := nodes[i].card; c >= 0 {
			g.Cards[c].X = graphMargin + nodes[i].rank*(cardWidth+columnGap)
			g.Cards[c].setY(int(nodes[i].y))
			nodes[i].y = float64(g.Cards[c].Y)
		}
	}
	g.Width = 2*graphMargin + len(columns)*(cardWidth+columnGap) - columnGap
	g.Height = int(bottom-top) + 2*graphMargin + 1
	g.Edges = edges(nodes, chains, blocks)
	return g
}

// rankOf is the longest path to each block. A dependency on itself, on nothing or in a circle counts as none: such a file is
// refused, but a drawing must end.
func rankOf(blocks []blockView) []int {
	ranks := make([]int, len(blocks))
	for range blocks {
		moved := false
		for i, b := range blocks {
			for _, d := range b.Deps {
				if d >= 0 && d < len(blocks) && d != i && ranks[d]+1 > ranks[i] && ranks[d]+1 < len(blocks) {
					ranks[i], moved = ranks[d]+1, true
				}
			}
		}
		if !moved {
			break
		}
	}
	return ranks
}

// passages adds a node wherever an edge passes a column between its ends, so that it goes around the cards there. All
// edges of one block share them. chains holds for every edge the nodes it visits.
func passages(nodes []node, blocks []blockView) ([]node, [][]int) {
	type key struct{ source, rank int }
	shared := map[key]int{}
	var chains [][]int
	for i, b := range blocks {
		for _, d := range b.Deps {
			if d < 0 || d >= len(blocks) || nodes[d].rank >= nodes[i].rank {
				continue
			}
			chain := []int{d}
			for rank := nodes[d].rank + 1; rank < nodes[i].rank; rank++ {
				k := key{d, rank}
				if _, ok := shared[k]; !ok {
					shared[k] = len(nodes)
					nodes = append(nodes, node{card: -1, source: d, rank: rank, h: bendHeight})
				}
				chain = append(chain, shared[k])
			}
			chain = append(chain, i)
			chains = append(chains, chain)
			for j := 1; j < len(chain); j++ {
				a, b := chain[j-1], chain[j]
				if !slices.Contains(nodes[a].right, b) {
					nodes[a].right = append(nodes[a].right, b)
					nodes[b].left = append(nodes[b].left, a)
				}
			}
		}
	}
	return nodes, chains
}

// order puts the nodes of each column near the mean of their neighbours', first from the left, then back.
func order(nodes []node) [][]int {
	var columns [][]int
	for i, n := range nodes {
		for len(columns) <= n.rank {
			columns = append(columns, nil)
		}
		columns[n.rank] = append(columns[n.rank], i)
	}
	position := make([]float64, len(nodes))
	number := func(column []int) {
		for at, i := range column {
			position[i] = float64(at) - float64(len(column))/2
		}
	}
	for _, c := range columns {
		number(c)
	}
	sweep := func(column []int, near func(node) []int) {
		mean := map[int]float64{}
		for _, i := range column {
			mean[i] = position[i]
			if list := near(nodes[i]); len(list) > 0 {
				sum := 0.0
				for _, n := range list {
					sum += position[n]
				}
				mean[i] = sum / float64(len(list))
			}
		}
		slices.SortStableFunc(column, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
		number(column)
	}
	for range 4 {
		for _, c := range columns {
			sweep(c, func(n node) []int { return n.left })
		}
		for i := len(columns) - 1; i >= 0; i-- {
			sweep(columns[i], func(n node) []int { return n.right })
		}
	}
	return columns
}

// place gives every node its height on the page: in line with its neighbours where there is room.
func place(nodes []node, columns [][]int) {
	for _, c := range columns {
		y := 0.0
		for _, i := range c {
			nodes[i].y = y
			y += nodes[i].h + cardGap
		}
		for _, i := range c {
			nodes[i].y -= (y - cardGap) / 2
		}
	}
	settle := func(column []int, near func(node) []int) {
		want := make([]float64, len(column))
		for at, i := range column {
			n := nodes[i]
			want[at] = n.y
			if list := near(n); len(list) > 0 {
				sum := 0.0
				for _, o := range list {
					sum += nodes[o].line()
				}
				want[at] = sum/float64(len(list)) - (n.line() - n.y)
			}
		}
		// Push down what overlaps, then shift the column back by the mean of what that moved.
		y, moved := 0.0, 0.0
		for at, i := range column {
			nodes[i].y = want[at]
			if at > 0 {
				nodes[i].y = max(nodes[i].y, y)
			}
			moved += nodes[i].y - want[at]
			y = nodes[i].y + nodes[i].h + cardGap
		}
		for _, i := range column {
			nodes[i].y -= moved / float64(len(column))
		}
	}
	for range 3 {
		for _, c := range columns {
			settle(c, func(n node) []int { return n.left })
		}
		for i := len(columns) - 1; i >= 0; i-- {
			settle(columns[i], func(n node) []int { return n.right })
		}
	}
}

// edges draws one path per dependency. Vertical runs of different blocks in one gap take lanes of their own.
func edges(nodes []node, chains [][]int, blocks []blockView) []Edge {
	lanes := map[int][]int{} // gap after a column -> sources that bend in it
	for _, chain := range chains {
		for j := 1; j < len(chain); j++ {
			a := nodes[chain[j-1]]
			if !slices.Contains(lanes[a.rank], a.source) {
				lanes[a.rank] = append(lanes[a.rank], a.source)
			}
		}
	}
	for _, sources := range lanes {
		slices.SortFunc(sources, func(a, b int) int { return cmp.Compare(nodes[a].y, nodes[b].y) })
	}
	var out []Edge
	for _, chain := range chains {
		from, to := chain[0], chain[len(chain)-1]
		var path strings.Builder
		x, y := 0, 0
		for j := 1; j < len(chain); j++ {
			a, b := nodes[chain[j-1]], nodes[chain[j]]
			x0 := graphMargin + a.rank*(cardWidth+columnGap) + cardWidth
			y0, y1 := int(a.line()), int(b.line())
			if j == 1 {
				fmt.Fprintf(&path, "M%d %d", x0, y0)
			}
			lane := slices.Index(lanes[a.rank], a.source)
			mid := x0 + columnGap*(lane+1)/(len(lanes[a.rank])+1)
			x, y = x0+columnGap, y1
			bend(&path, mid, y0, y1)
			if b.card < 0 {
				x += cardWidth
			}
			fmt.Fprintf(&path, "H%d", x)
		}
		e := Edge{Path: path.String(), EndX: x, EndY: y, from: from, to: to}
		switch {
		case blocks[to].Lamp == lampSkipped || blocks[to].Lamp == lampCanceled:
			e.Class = "off"
		case blocks[from].Lamp == lampPassed || blocks[from].Lamp == lampSkipped:
			e.Class = "lit"
		}
		out = append(out, e)
	}
	// What is lit is painted last, over the rest.
	slices.SortStableFunc(out, func(a, b Edge) int { return cmp.Compare(btoi(a.Class == "lit"), btoi(b.Class == "lit")) })
	return out
}

// bend goes to x = mid, then from y0 to y1 with rounded corners.
func bend(path *strings.Builder, mid, y0, y1 int) {
	d := y1 - y0
	r := min(8, max(d, -d)/2)
	if r == 0 {
		return
	}
	s := 1
	if d < 0 {
		s = -1
	}
	fmt.Fprintf(path, "H%dQ%d %d %d %dV%dQ%d %d %d %d", mid-r, mid, y0, mid, y0+s*r, y1-s*r, mid, y1, mid+r, y1)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func newCard(b blockView) Card {
	c := Card{Block: b, Name: fit(b.Name, 118, 13), Dim: b.Lamp == lampWaiting || b.Lamp == lampSkipped || b.Lamp == lampCanceled}
	jobs := slices.Clone(b.Jobs)
	if b.Lamp == lampSkipped {
		jobs = nil
	}
	if len(jobs) > maxCardJobs {
		slices.SortStableFunc(jobs, func(a, b jobView) int { return cmp.Compare(a.Lamp.rank(), b.Lamp.rank()) })
		c.More = "and " + plural(len(jobs)-maxCardJobs+1, "more job", "more jobs")
		jobs = jobs[:maxCardJobs-1]
	}
	for _, j := range jobs {
		time := j.Took.Text
		if j.URL == "" {
			time = clock(-1)
		}
		c.Jobs = append(c.Jobs, CardJob{jobView: j, Short: fit(j.Name, 112, 12.5), Time: time})
	}
	why := b.Why
	if why == "" {
		for _, j := range jobs {
			if j.Lamp == lampQueued {
				why = j.Why
				break
			}
		}
	}
	c.Why = wrap(why, 178, 12, 2)
	c.H = cardHead + cardPad + rowHeight*len(c.Jobs)
	if c.More != "" {
		c.H += rowHeight
	}
	if len(c.Why) > 0 {
		c.H += 8 + whyHeight*len(c.Why)
	}
	return c
}

func (c *Card) setY(y int) {
	c.Y, c.RuleY = y, y+cardHead
	for i := range c.Jobs {
		c.Jobs[i].Y = y + cardHead + 4 + i*rowHeight
	}
}

// Positions for the template, which cannot calculate.

func (c Card) Left() float64     { return float64(c.X) + .5 }
func (c Card) Top() float64      { return float64(c.Y) + .5 }
func (c Card) LampX() int        { return c.X + 11 }
func (c Card) LampY() int        { return c.Y + 10 }
func (c Card) NameX() int        { return c.X + 34 }
func (c Card) NameY() int        { return c.Y + 23 }
func (c Card) TimeX() int        { return c.X + cardWidth - 12 }
func (c Card) HitX() int         { return c.X + 5 }
func (c Card) JobLampX() int     { return c.X + 12 }
func (c Card) Rule() string      { return fmt.Sprintf("M%d %d.5h%d", c.X+1, c.RuleY, cardWidth-2) }
func (c Card) WhyX() int         { return c.X + 12 }
func (j CardJob) LampY() int     { return j.Y + 5 }
func (j CardJob) TextY() int     { return j.Y + 16 }
func (c Card) MoreY() int        { return c.RuleY + 20 + len(c.Jobs)*rowHeight }
func (c Card) WhyY(line int) int { return c.Y + c.H - 12 - whyHeight*(len(c.Why)-1-line) }

// width guesses how wide a text is: there is no browser here to ask, and a guess that is a little too wide only cuts
// a letter early.
func width(s string, pixels float64) float64 {
	w := 0.0
	for _, r := range s {
		switch {
		case strings.ContainsRune("iljtfrI.,:;'|!()[] ", r):
			w += .33
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("mwMW@%", r):
			w += .66
		case r >= 0x1100:
			w += 1.05
		default:
			w += .57
		}
	}
	return w * pixels
}

// fit cuts a text to a width.
func fit(s string, room, pixels float64) string {
	if width(s, pixels) <= room {
		return s
	}
	runes := []rune(s)
	for n := min(len(runes)-1, int(room)); n > 0; n-- {
		if t := strings.TrimRight(string(runes[:n]), " ") + "…"; width(t, pixels) <= room {
			return t
		}
	}
	return "…"
}

// wrap breaks a text into at most n lines of a width, at spaces where it can.
func wrap(s string, room, pixels float64, n int) []string {
	var lines []string
	words := strings.Fields(strings.ReplaceAll(s, nbsp, " "))
	for len(words) > 0 && len(lines) < n {
		if len(lines) == n-1 {
			return append(lines, fit(strings.Join(words, " "), room, pixels))
		}
		line := words[0]
		words = words[1:]
		for len(words) > 0 && width(line+" "+words[0], pixels) <= room {
			line += " " + words[0]
			words = words[1:]
		}
		lines = append(lines, fit(line, room, pixels))
	}
	return lines
}
