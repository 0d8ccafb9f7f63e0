package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed static
var staticFiles embed.FS

// assets are the static files. Their address holds a hash over all of them, so that browsers may keep them for ever and
// modules can import one another by relative names.
type assets struct {
	hash   string
	files  map[string][]byte
	packed map[string][]byte // the same compressed, where that pays
	icons  map[string]string // name without "i-" to the symbol element

	needs map[string][]string // addresses of the modules that a module imports, in turn and without itself
}

var symbol = regexp.MustCompile(`(?s)<symbol id="i-([a-z0-9-]+)".*?</symbol>`)

func newAssets() (*assets, error) {
	a := &assets{files: map[string][]byte{}, packed: map[string][]byte{}, icons: map[string]string{}}
	var css bytes.Buffer
	err := fs.WalkDir(staticFiles, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := staticFiles.ReadFile(name)
		if err != nil {
			return err
		}
		// One style sheet out of the parts, in the order of their names; WalkDir goes by name.
		if path.Ext(name) == ".css" {
			css.Write(text)
			return nil
		}
		a.files[strings.TrimPrefix(name, "static/")] = text
		return nil
	})
	if err != nil {
		return nil, err
	}
	css.WriteString(paletteCSS())
	a.files["app.css"] = css.Bytes()
	for _, m := range symbol.FindAllSubmatch(a.files["icons.svg"], -1) {
		a.icons[string(m[1])] = string(m[0])
	}
	if len(a.icons) == 0 {
		return nil, fmt.Errorf("web: no icons in static/icons.svg")
	}
	for _, class := range lampClasses {
		a.files["favicon/"+class+".svg"] = a.favicon(class)
	}
	a.files["favicon/none.svg"] = a.favicon("")

	sum := sha256.New()
	names := make([]string, 0, len(a.files))
	for name := range a.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(sum, "%s %d\n", name, len(a.files[name]))
		sum.Write(a.files[name])
	}
	for name, text := range a.files {
		if len(text) >= worthPacking {
			a.packed[name] = pack(text)
		}
	}
	a.hash = hex.EncodeToString(sum.Sum(nil))[:16]
	a.needs = map[string][]string{}
	for name := range a.files {
		if path.Ext(name) == ".js" {
			seen := map[string]bool{name: true}
			a.imports(name, seen)
			delete(seen, name)
			for _, n := range slices.Sorted(maps.Keys(seen)) {
				a.needs[name] = append(a.needs[name], a.url(n))
			}
		}
	}
	return a, nil
}

var importFrom = regexp.MustCompile(`(?m)^import .* from "\./([a-z-]+\.js)";$`)

// imports adds what a module needs before it can run.
func (a *assets) imports(name string, seen map[string]bool) {
	for _, m := range importFrom.FindAllSubmatch(a.files[name], -1) {
		if file := "js/" + string(m[1]); !seen[file] {
			seen[file] = true
			a.imports(file, seen)
		}
	}
}

// modules are the addresses of what scripts need, so that a browser asks for all of it at once and not for one after another.
func (a *assets) modules(scripts ...string) (out []string) {
	for i, script := range scripts {
		if script == "" {
			continue
		}
		file := "js/" + script + ".js"
		if i > 0 { // the first is asked for by the page itself
			out = append(out, a.url(file))
		}
		for _, url := range a.needs[file] {
			if !slices.Contains(out, url) {
				out = append(out, url)
			}
		}
	}
	return out
}

// url returns the address of a file.
func (a *assets) url(name string) string { return "/assets/" + a.hash + "/" + name }

var (
	iconUse = regexp.MustCompile(`href="#i-([a-z0-9-]+)"`)
	anyTag  = regexp.MustCompile(`class="(cut-[a-z]+)[^"]*"`)
)

// sprite returns the icons that a page mentions and, because scripts may bring them in later, those of all states.
func (a *assets) sprite(page []byte) string {
	want := map[string]bool{}
	for _, class := range lampClasses {
		want[class] = true
	}
	for _, name := range []string{"search", "branch", "pr", "tagi", "repo", "server", "term", "link"} {
		want[name] = true // of the jump-to box
	}
	for _, m := range iconUse.FindAllSubmatch(page, -1) {
		want[string(m[1])] = true
	}
	names := make([]string, 0, len(want))
	for name := range want {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(`<svg width="0" height="0" class="vh" aria-hidden="true">`)
	for _, name := range names {
		b.WriteString(a.icons[name])
	}
	b.WriteString(`</svg>`)
	return b.String()
}

// favicon draws the mark with the page's state in its lower right quarter.
func (a *assets) favicon(class string) []byte {
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 22 22"><rect x="1" y="1" width="20" height="20" rx="5.5" fill="#1b2129" stroke="#8f99a6" stroke-width=".6"/>` +
		`<path d="M3.5 15.5h15M7.5 15.5c4 0 3.4-7.5 8-7.5h3" fill="none" stroke="#fff" stroke-width="1.8" stroke-linecap="round"/><circle cx="6.4" cy="7.2" r="2.2" fill="#3fbf79"/>`)
	if icon := a.icons[class]; icon != "" {
		icon = strings.Replace(icon, "<symbol", `<svg x="10" y="10" width="12" height="12"`, 1)
		icon = strings.Replace(icon, "</symbol>", "</svg>", 1)
		icon = anyTag.ReplaceAllStringFunc(icon, func(s string) string {
			if strings.Contains(s, "cut-out") {
				return `stroke="#fff"`
			}
			return `fill="#fff"`
		})
		fmt.Fprintf(&b, `<circle cx="16" cy="16" r="6.6" fill="#fff"/><g color="%s">%s</g>`, faviconColours[class], icon)
	}
	b.WriteString(`</svg>`)
	return []byte(b.String())
}

func (w *Web) getAsset(rw http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("file")
	text, ok := w.assets.files[name]
	if !ok {
		return notFound("file")
	}
	h := rw.Header()
	h.Set("Content-Type", contentType(name))
	h.Set("Cache-Control", "no-cache")
	// A page of another version asks with another hash: it gets what there is, but must not keep it under that name.
	if r.PathValue("hash") == w.assets.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("ETag", `"`+w.assets.hash+`"`)
	}
	h.Add("Vary", "Accept-Encoding")
	if small, ok := w.assets.packed[name]; ok && takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		text = small
	}
	_, err := rw.Write(text)
	return err
}

func (w *Web) getFavicon(rw http.ResponseWriter, _ *http.Request) error {
	rw.Header().Set("Content-Type", "image/svg+xml")
	rw.Header().Set("Cache-Control", "public, max-age=86400")
	_, err := rw.Write(w.assets.files["favicon/none.svg"])
	return err
}

func contentType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}
