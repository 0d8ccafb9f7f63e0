package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

//go:embed templates
var templateFiles embed.FS

func parseTemplates(a *assets) (*template.Template, error) {
	t := template.New("").Funcs(template.FuncMap{
		"asset":   a.url,
		"modules": a.modules,
		"count":   count[int],
		"lines":   func(n int64) string { return plural(int(n), "line", "lines") },
		"icon": func(name string) template.HTML {
			if a.icons[name] == "" {
				return ""
			}
			return template.HTML(`<svg class="ico" aria-hidden="true"><use href="#i-` + name + `"/></svg>`)
		},
		"join": func(parts []string) string { return strings.Join(parts, " ") },
		"add":  func(a, b int) int { return a + b },
		"typed": func(rows []agentRow, manage bool) agentTable {
			return agentTable{Agents: rows, Manage: manage, Types: true}
		},
		"agents": func(rows []agentRow, manage bool) agentTable { return agentTable{Agents: rows, Manage: manage} },
	})
	return t.ParseFS(templateFiles, "templates/*.html")
}

// Shell is what every page shows around its content.
type Shell struct {
	Title   string   // before " · Signalbox"
	Section string   // which entry of the bar is current: projects, activity, agents
	Favicon string   // class of the page's state, "none"
	Script  string   // the page's module, "" for none
	Later   string   // a module that the page's module loads, "" for none
	Topics  []string // what the page shows; it is loaded again when one of them changes
	Theme   string   // light, dark, or "" for what the system has
	Keys    bool     // single keys do something
	Jump    string   // what the jump-to box holds
	Path    string   // of the page, to come back to
	Moment  string   // of the store, before the page was read
	Now     int64    // the server's clock, in milliseconds
	packed  bool     // the browser takes gzip
	Wide    bool
	Narrow  bool
	User    *signalbox.User
	Initial string
	Running int
	Waiting int
	Crumbs  []Link
}

// Link is a name with an address.
type Link struct {
	Name, URL string
}

type page struct {
	Shell
	Body any
}

// shell fills what does not depend on the page.
func (w *Web) shell(r *http.Request, tx *store.Tx) (Shell, error) {
	s := Shell{Favicon: "none", Theme: themeOf(r), Keys: keysOf(r), Path: r.URL.RequestURI(), Moment: momentOf(r), Now: w.o.Now().UnixMilli(), packed: takesGzip(r)}
	if s.User = route.ActorFrom(r.Context()).User; s.User != nil {
		s.Initial = initials(s.User.Name)
	}
	if tx == nil || s.User == nil {
		return s, nil
	}
	loads, err := agentLoads(tx)
	for _, l := range loads {
		s.Running += l.running
		s.Waiting += l.waiting
	}
	return s, err
}

type load struct {
	name             string
	waiting, running int
}

// agentLoads counts the open jobs of every agent type that exists or is asked for.
func agentLoads(tx *store.Tx) ([]load, error) {
	types, err := tx.AgentTypes()
	if err != nil {
		return nil, err
	}
	queued, err := tx.QueuedAgentTypes()
	if err != nil {
		return nil, err
	}
	var out []load
	seen := map[string]bool{}
	add := func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		l := load{name: name}
		var err error
		l.waiting, l.running, err = tx.CountJobs(name)
		out = append(out, l)
		return err
	}
	for _, t := range types {
		if err := add(t.Name); err != nil {
			return nil, err
		}
	}
	for _, name := range queued {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// render writes a page: the content first, then the frame with the icons that the content uses.
func (w *Web) render(rw http.ResponseWriter, status int, name string, s Shell, body any) error {
	var content, out bytes.Buffer
	if err := w.templates.ExecuteTemplate(&content, name, page{s, body}); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	frame := "frame"
	if s.User == nil {
		frame = "bare"
	}
	if err := w.templates.ExecuteTemplate(&out, frame, struct {
		Shell
		Content, Sprite template.HTML
	}{s, template.HTML(content.String()), template.HTML(w.assets.sprite(content.Bytes()))}); err != nil {
		return fmt.Errorf("render %s: %w", frame, err)
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	return writePacked(rw, s.packed, status, visible(out.Bytes()))
}

// Page writes a page of another package in the look of ours, for somebody who is not signed in. content is the page's main part.
func (w *Web) Page(rw http.ResponseWriter, r *http.Request, title string, content template.HTML) error {
	setHeaders(rw.Header())
	return w.render(rw, http.StatusOK, "plain", Shell{Title: title, Favicon: "none", Script: "page", Theme: themeOf(r), packed: takesGzip(r)}, content)
}

// visible shows what would otherwise act on the reader unseen: characters that turn the direction of text around
// become their number, control characters go. It runs over whole pages, so that no template can forget it.
func visible(text []byte) []byte {
	clean := true
	for i := 0; i < len(text) && clean; i++ {
		c := text[i]
		clean = c < 0x80 && c >= 0x20 && c != 0x7f || c == '\n' || c == '\t'
	}
	if clean {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			out = utf8.AppendRune(out, utf8.RuneError)
		case bidi(r):
			out = fmt.Appendf(out, "[U+%04X]", r)
		case r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0:
		default:
			out = append(out, text[:n]...)
		}
		text = text[n:]
	}
	return out
}

func bidi(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x061c
}

// part writes a piece of a page, for scripts that put it into one.
func (w *Web) part(rw http.ResponseWriter, name string, body any) error {
	var out bytes.Buffer
	if err := w.templates.ExecuteTemplate(&out, name, body); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err := rw.Write(visible(out.Bytes()))
	return err
}
