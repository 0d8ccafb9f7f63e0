package web

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// viewLink leads to another view of a pipeline.
type viewLink struct {
	Name, URL string
	Current   bool
}

// viewCookie remembers how somebody likes to see pipelines.
const viewCookie = "signalbox_view"

// choose prepares the view that is asked for, or that was looked at last.
func (b *workflowBody) choose(rw http.ResponseWriter, r *http.Request, secure bool, now time.Time) {
	known := []string{"graph", "list", "timeline", "yaml"}
	b.View = r.URL.Query().Get("view")
	if slices.Contains(known, b.View) {
		http.SetCookie(rw, &http.Cookie{Name: viewCookie, Value: b.View, Path: "/workflows", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure})
	} else if c, err := r.Cookie(viewCookie); err == nil {
		b.View = c.Value
	}
	if !slices.Contains(known, b.View) {
		b.View = "graph"
	}
	p := b.Current
	if p == nil {
		return
	}
	for i, name := range []string{"Graph", "List", "Timeline", "YAML"} {
		b.Views = append(b.Views, viewLink{name, p.URL + "&view=" + known[i], known[i] == b.View})
	}
	if text := strings.TrimRight(p.yaml, "\n"); b.View == "yaml" && text != "" {
		b.YAML = strings.Split(text, "\n")
	}
	if len(p.Blocks) == 0 {
		return
	}
	switch b.View {
	case "graph":
		b.Graph = layout(p.Blocks)
	case "timeline":
		b.Timeline = newTimeline(p.Blocks, p.began, p.ended, now)
	}
}
