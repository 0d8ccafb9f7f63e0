package storybook

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

//go:embed index.html
var indexText string

var indexTemplate = template.Must(template.New("index").Parse(indexText))

// indexBody is what the list of stories shows.
type indexBody struct {
	Views   []indexView
	Stories int
	Themes  []indexTheme
	Display string
	Back    string
}

type indexView struct {
	Name    string
	Stories []indexStory
}

type indexStory struct {
	State, World, Who string
	Open              string
	Fields            [][2]string // of the form that is sent; none is a link
}

type indexTheme struct {
	Name, Value string
	Current     bool
}

func newIndexBody(stories []*story, theme string) indexBody {
	b := indexBody{Stories: len(stories), Display: displayPath, Back: Path}
	for _, t := range [][2]string{{"Light", "light"}, {"Dark", "dark"}, {"System", "system"}} {
		b.Themes = append(b.Themes, indexTheme{t[0], t[1], t[1] == theme})
	}
	at := map[string]int{}
	for _, s := range stories {
		i, ok := at[s.View]
		if !ok {
			i = len(b.Views)
			at[s.View] = i
			b.Views = append(b.Views, indexView{Name: s.View})
		}
		x := indexStory{State: s.State, World: s.World, Who: string(s.Role), Open: Path + "/open?story=" + s.id()}
		if s.Role == nobody {
			x.Who = "nobody"
		}
		for name, values := range s.Form {
			for _, v := range values {
				x.Fields = append(x.Fields, [2]string{name, v})
			}
		}
		b.Views[i].Stories = append(b.Views[i].Stories, x)
	}
	return b
}

func (b *Book) getIndex(rw http.ResponseWriter, r *http.Request) {
	theme := "system"
	if c, err := r.Cookie("signalbox_theme"); err == nil && (c.Value == "light" || c.Value == "dark") {
		theme = c.Value
	}
	w := b.worlds[worldNormal]
	var out strings.Builder
	err := indexTemplate.Execute(&out, newIndexBody(b.stories, theme))
	if err == nil {
		err = w.pages.Page(rw, r, "Storybook", template.HTML(out.String()))
	}
	if err != nil {
		w.pages.ErrorPage(rw, r, http.StatusInternalServerError, signalbox.Errorf(signalbox.CodeInternal, "storybook: show the list: %v", err), requestID)
	}
}
