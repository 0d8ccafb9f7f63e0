package storybook

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/signalbox-ci/signalbox/web/browse"
)

// sample are the stories that are opened when no pictures are taken of all: those that package web's own browser test has nothing like. What
// all stories say is tested without a browser.
func sample(all []*story, whole bool) []*story {
	var out []*story
	for _, s := range all {
		if s.Form != nil || s.Status == 303 || s.View == "Plain log" || strings.HasSuffix(s.Path, ".txt") { // no page, or none that a link opens
			continue
		}
		tab := strings.Contains(s.Path, "tab=") || strings.Contains(s.Path, "view=") || strings.Contains(s.Path, "author=") // of a page that is looked at anyway
		if whole || s.World == worldExtreme && !tab || s.Status == 500 {
			out = append(out, s)
		}
	}
	return out
}

func TestBrowser(t *testing.T) {
	b := book(t)
	server := httptest.NewServer(b.Handler())
	t.Cleanup(server.Close)
	// Where pictures of the stories are put for looking at them; without it none are taken.
	folder := os.Getenv("SIGNALBOX_TEST_PICTURES")
	stories := sample(b.stories, folder != "")
	for _, shot := range []struct {
		width         int64
		theme, suffix string
	}{{1280, "light", ""}, {390, "dark", "-390-dark"}} {
		t.Run(shot.theme, func(t *testing.T) {
			ctx := browse.Start(t)
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: shot.theme}}}
			if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
				t.Fatal(err)
			}
			look := func(name, path string) {
				browse.Do(t, ctx, chromedp.EmulateViewport(shot.width, 844), chromedp.Navigate(server.URL+path), chromedp.WaitReady("h1"))
				if wide := browse.Run(t, ctx, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > shot.width {
					t.Errorf("%s at %d pixels is %d wide: it scrolls sideways", name, shot.width, wide)
				}
				browse.Axe(t, ctx, name+" in the "+shot.theme)
				if folder != "" {
					picture := browse.Run(t, ctx, chromedp.FullScreenshot(100))
					if err := os.WriteFile(filepath.Join(folder, name+shot.suffix+".png"), picture, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			look("storybook", Path)
			for _, s := range stories {
				look(s.id(), Path+"/open?story="+s.id())
			}
			t.Logf("%d of %d stories were looked at", len(stories), len(b.stories))
		})
	}
}

// A form of the list is sent on to the page that it belongs to.
func TestBrowserForm(t *testing.T) {
	b := book(t)
	server := httptest.NewServer(b.Handler())
	t.Cleanup(server.Close)
	ctx := browse.Start(t)
	browse.Do(t, ctx, chromedp.Navigate(server.URL+Path), chromedp.WaitReady("h1"), chromedp.Click(`form[action$="story=sign-in-failed"] button`), chromedp.WaitReady(".auth"))
	text := browse.Run(t, ctx, chromedp.TextContent("body"))
	address := browse.Run(t, ctx, chromedp.Evaluate[string](`location.pathname`))
	if address != "/login" || !strings.Contains(text, "do not match") {
		t.Errorf("at %s: %.300s", address, text)
	}
}
