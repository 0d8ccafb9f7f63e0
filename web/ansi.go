package web

import (
	"encoding/json"
	"fmt"
	"html"
	"math"
	"regexp"
	"strings"

	terminal "github.com/buildkite/terminal-to-html/v3"

	"github.com/signalbox-ci/signalbox/logline"
)

// Run is a piece of a line with one look. Class is "" or names of the style sheet, never anything from the log.
type Run struct {
	Text, Class string
}

// MarshalJSON writes a run as ["text"] or ["text","class"].
func (r Run) MarshalJSON() ([]byte, error) {
	if r.Class == "" {
		return json.Marshal([1]string{r.Text})
	}
	return json.Marshal([2]string{r.Text, r.Class})
}

const maxLine = 8 << 10 // bytes of a line that are shown

// runs turns one line of raw output that begins in a style into pieces.
func runs(line string, s logline.Style) []Run {
	line = strings.TrimRight(line, "\r")
	if len(s) == 0 && !strings.ContainsAny(line, "\x1b\r\b\u009b") {
		return []Run{{Text: line}}
	}
	clean, _ := logline.Clean(line, s)
	return parseSpans(terminal.Render([]byte(strings.Join(s, "") + clean)))
}

var (
	tag        = regexp.MustCompile(`<[^>]*>`)
	spanClass  = regexp.MustCompile(`^<span class="([a-z0-9 -]*)">$`)
	knownClass = regexp.MustCompile(`^term-(fg(3[0-7]|i9[0-7]|x\d{1,3}|[123459])|bg(4[0-7]|i10[0-7]|x\d{1,3}))$`)
)

// parseSpans takes the renderer's HTML apart again. The page and the scripts put the texts back by means that cannot
// make markup of them.
func parseSpans(markup string) []Run {
	// The renderer wraps at its screen's width in no case, but keeps the line end.
	markup = strings.TrimRight(markup, "\n")
	if markup == "&nbsp;" {
		return []Run{{}}
	}
	var out []Run
	class := ""
	add := func(text string) {
		if text != "" {
			out = append(out, Run{html.UnescapeString(text), class})
		}
	}
	at := 0
	for _, m := range tag.FindAllStringIndex(markup, -1) {
		add(markup[at:m[0]])
		at = m[1]
		class = ""
		if c := spanClass.FindStringSubmatch(markup[m[0]:m[1]]); c != nil {
			var keep []string
			for _, name := range strings.Fields(c[1]) {
				if knownClass.MatchString(name) {
					keep = append(keep, name)
				}
			}
			class = strings.Join(keep, " ")
		}
	}
	add(markup[at:])
	if out == nil {
		out = []Run{{}}
	}
	return out
}

// Backgrounds of the log in the light and the dark theme, as in the tokens.
var logBackground = [2][3]float64{{0xfc, 0xfc, 0xfd}, {0x0a, 0x0d, 0x11}}

// paletteCSS writes the classes of the 256 colours. The first 16 are tokens; the others keep their hue and move in
// lightness until they can be read on the log's background of each theme.
func paletteCSS() string {
	var b strings.Builder
	b.WriteString("/* The 256 colours of terminals, made by the program. */\n")
	for i := range 8 {
		fmt.Fprintf(&b, ".term-fg%d,.term-fgx%d{color:var(--ansi-%d)}.term-fgi%d,.term-fgx%d{color:var(--ansi-%d)}\n", 30+i, i, i, 90+i, i+8, i+8)
		fmt.Fprintf(&b, ".term-bg%d,.term-bgx%d{background:var(--ansi-%d);color:var(--log-bg)}.term-bgi%d,.term-bgx%d{background:var(--ansi-%d);color:var(--log-bg)}\n",
			40+i, i, i, 100+i, i+8, i+8)
	}
	for i := 16; i < 256; i++ {
		light, dark := readable(paletteColour(i), logBackground[0]), readable(paletteColour(i), logBackground[1])
		fmt.Fprintf(&b, ".term-fgx%d{color:light-dark(%s,%s)}.term-bgx%d{background:light-dark(%s,%s);color:var(--log-bg)}\n",
			i, hexColour(light), hexColour(dark), i, hexColour(light), hexColour(dark))
	}
	return b.String()
}

func paletteColour(i int) [3]float64 {
	if i >= 232 {
		v := float64(8 + 10*(i-232))
		return [3]float64{v, v, v}
	}
	i -= 16
	return [3]float64{float64(logline.CubeSteps[i/36]), float64(logline.CubeSteps[i/6%6]), float64(logline.CubeSteps[i%6])}
}

// readable mixes a colour with black or white until its contrast with the background is 4.5.
func readable(c, background [3]float64) [3]float64 {
	goal := 0.0
	if luminance(background) < .2 {
		goal = 255
	}
	for step := 0.0; step <= 1; step += .02 {
		m := c
		for i := range m {
			m[i] = math.Round(m[i] + (goal-m[i])*step)
		}
		if contrast(m, background) >= 4.5 {
			return m
		}
	}
	return [3]float64{goal, goal, goal}
}

func hexColour(c [3]float64) string {
	return fmt.Sprintf("#%02x%02x%02x", int(c[0]), int(c[1]), int(c[2]))
}

// luminance and contrast are those of WCAG 2.
func luminance(c [3]float64) float64 {
	l := 0.0
	for i, weight := range [3]float64{.2126, .7152, .0722} {
		v := c[i] / 255
		if v <= .04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+.055)/1.055, 2.4)
		}
		l += weight * v
	}
	return l
}

func contrast(a, b [3]float64) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + .05) / (min(x, y) + .05)
}
