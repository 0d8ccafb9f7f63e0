package web

import (
	"net/http"

	"github.com/signalbox-ci/signalbox"
)

// How pages look and whether single keys do something is a matter of one browser: cookies hold it.
const (
	themeCookie = "signalbox_theme"
	keysCookie  = "signalbox_keys"
)

// themeOf returns light, dark, or "" for what the system has.
func themeOf(r *http.Request) string {
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

func keysOf(r *http.Request) bool {
	c, err := r.Cookie(keysCookie)
	return err != nil || c.Value != "off"
}

func (w *Web) postDisplay(rw http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read")
	}
	const year = 365 * 24 * 3600
	set := func(name, value string, age int) {
		http.SetCookie(rw, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: w.o.Secure(r)})
	}
	switch theme := r.PostForm.Get("theme"); theme {
	case "":
	case "light", "dark":
		set(themeCookie, theme, year)
	case "system":
		set(themeCookie, "", -1)
	default:
		return signalbox.Errorf(signalbox.CodeInvalid, "The theme is light, dark or system")
	}
	switch keys := r.PostForm.Get("keys"); keys {
	case "":
	case "on":
		set(keysCookie, "", -1)
	case "off":
		set(keysCookie, "off", year)
	default:
		return signalbox.Errorf(signalbox.CodeInvalid, "Keys are on or off")
	}
	http.Redirect(rw, r, relative(r.PostForm.Get("back")), http.StatusSeeOther)
	return nil
}
