// Command growth draws how cost grows: it reads what `go test -bench` printed from standard input and writes a picture (SVG) to
// standard output, with the figures of BenchmarkFleet over the number of agents and those of BenchmarkHistory over the number of
// finished jobs. Both axes are logarithmic, so what grows in proportion is a slope and what does not grow is a level line.
package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
)

// curve is one line of a chart.
type curve struct {
	name   string
	figure string // what has one colour on both databases
	dashed bool   // PostgreSQL
	points [][2]float64
}

type chart struct {
	title, x string
	from, to float64 // of the x axis
	curves   []curve
}

// wanted are the figures that are drawn: benchmark, unit, and what it is called.
var wanted = []struct {
	chart              int
	bench, unit, label string
}{
	{0, "BenchmarkFleet", "%-of-a-core", "% of a core"},
	{0, "BenchmarkFleet", "MB", "MB resident"},
	{0, "BenchmarkFleet", "late-p99-ms", "sync late, p99, ms"},
	{0, "BenchmarkFleet", "s-until-all-are-back", "all back after a kill, s"},
	{1, "BenchmarkHistory", "job-p50-ms", "job to agent, p50, ms"},
	{1, "BenchmarkHistory", "jobs-api-ms", "newest jobs, ms"},
	{1, "BenchmarkHistory", "workflows-api-ms", "a project's workflows, ms"},
	{1, "BenchmarkHistory", "metrics-ms", "/metrics, ms"},
}

func main() {
	charts, err := read(os.Stdin)
	if err == nil {
		err = draw(os.Stdout, charts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

// read finds the figures of SQLite and PostgreSQL.
func read(r io.Reader) ([]chart, error) {
	charts := []chart{{title: "Connected agents", x: "agents", from: 100, to: 10000}, {title: "Finished jobs", x: "jobs", from: 10, to: 1e6}}
	at := map[string]*curve{}
	var order []string
	of := map[string]int{}
	for s := bufio.NewScanner(r); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		parts := strings.Split(fields[0], "/")
		if len(parts) != 3 {
			continue
		}
		_, size, _ := strings.Cut(parts[2], "=")
		size, _, _ = strings.Cut(size, "-")
		x, err := strconv.ParseFloat(size, 64)
		if err != nil {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 {
			y, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", s.Text(), err)
			}
			for _, w := range wanted {
				if w.bench != parts[0] || w.unit != fields[i+1] {
					continue
				}
				key := w.label + " (" + map[string]string{"sqlite": "SQLite", "postgres": "PostgreSQL"}[parts[1]] + ")"
				if at[key] == nil {
					at[key] = &curve{name: key, figure: w.label, dashed: parts[1] == "postgres"}
					order = append(order, key)
					of[key] = w.chart
				}
				at[key].points = append(at[key].points, [2]float64{x, y})
			}
		}
	}
	for _, key := range order {
		c := &charts[of[key]]
		c.curves = append(c.curves, *at[key])
	}
	if len(charts[0].curves) == 0 && len(charts[1].curves) == 0 {
		return nil, fmt.Errorf("no figure of BenchmarkFleet or BenchmarkHistory was read")
	}
	return charts, nil
}

const (
	width, height = 900, 330
	left, top     = 60, 40
	plotW, plotH  = 520, 240
	low, high     = 0.1, 1000.0 // of the y axis
)

// colours are of the figures of a chart; SQLite is drawn as a whole line, PostgreSQL dashed.
var colours = []string{"#0b6e4f", "#b5462f", "#3b5bb5", "#8a5a00"}

func draw(w io.Writer, charts []chart) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height*len(charts))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height*len(charts))
	for i, c := range charts {
		fmt.Fprintf(&b, `<g transform="translate(0 %d)" fill="#222222">`+"\n", i*height)
		c.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// scale is where v is between from and to, on a logarithmic axis.
func scale(v, from, to float64) float64 {
	return math.Log(max(v, from)/from) / math.Log(to/from)
}

func (c chart) draw(b *strings.Builder) {
	x := func(v float64) float64 { return left + plotW*scale(v, c.from, c.to) }
	y := func(v float64) float64 { return top + plotH*(1-scale(min(v, high), low, high)) }
	fmt.Fprintf(b, `<text x="%d" y="24" font-size="15" font-weight="bold">%s</text>`+"\n", left, c.title)
	for v := low; v <= high; v *= 10 {
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#dddddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n",
			left, left+plotW, y(v), y(v), left-8, y(v)+4, math.Round(v*10)/10)
	}
	for v := c.from; v <= c.to*1.01; v *= 10 {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(v), top+plotH+18, strconv.FormatFloat(v, 'f', 0, 64))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", left+plotW/2, top+plotH+36, c.x)
	known := map[string]int{}
	for i, k := range c.curves {
		if _, ok := known[k.figure]; !ok {
			known[k.figure] = len(known)
		}
		colour, dash := colours[known[k.figure]%len(colours)], ""
		if k.dashed {
			dash = "6 3"
		}
		style := fmt.Sprintf(`stroke="%s" stroke-width="2" stroke-dasharray="%s"`, colour, dash)
		var path []string
		for _, p := range k.points {
			path = append(path, fmt.Sprintf("%.1f,%.1f", x(p[0]), y(p[1])))
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(p[0]), y(p[1]), colour)
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" %s/>`+"\n", strings.Join(path, " "), style)
		row := top + 8 + i*22
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%d" y2="%d" %s/><text x="%d" y="%d">%s</text>`+"\n", left+plotW+24, left+plotW+54, row, row, style, left+plotW+62, row+4, k.name)
	}
}
