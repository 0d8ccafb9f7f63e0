package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signalbox-ci/signalbox/people"
	"github.com/signalbox-ci/signalbox/setup"
)

type welcomeBody struct {
	Code     string
	Problems setup.Problems
	Min      int
	Version  string
	Host     string
}

// getWelcome is the same for everybody: what a link is worth shows when it is used.
func (w *Web) getWelcome(rw http.ResponseWriter, r *http.Request) error {
	return w.showWelcome(rw, r, http.StatusOK, welcomeBody{})
}

func (w *Web) showWelcome(rw http.ResponseWriter, r *http.Request, status int, b welcomeBody) error {
	b.Min, b.Version, b.Host = setup.MinPassword, w.o.Version, clip(r.Host, 100)
	return w.render(rw, status, "welcome", Shell{Title: "Choose a password", Favicon: "none", Script: "setup"}, b)
}

func (w *Web) postWelcome(rw http.ResponseWriter, r *http.Request) error {
	if err := parseForm(rw, r); err != nil {
		return err
	}
	b := welcomeBody{Code: clip(r.PostForm.Get(people.FieldCode), 200)}
	user, wait, err := w.o.People.Accept(r.Context(), w.o.ClientIP(r), b.Code, r.PostForm.Get(setup.FieldPassword))
	switch {
	case wait > 0:
		seconds := int((wait + time.Second - 1) / time.Second)
		rw.Header().Set("Retry-After", fmt.Sprint(seconds))
		b.Problems = setup.Problems{people.FieldCode: fmt.Sprintf("Too many links that do not count. You can try again in %d%ss.", seconds, nbsp)}
		return w.showWelcome(rw, r, http.StatusTooManyRequests, b)
	case errors.As(err, &b.Problems):
		return w.showWelcome(rw, r, http.StatusUnprocessableEntity, b)
	case err != nil:
		return err
	}
	if err := w.startSession(rw, r, user); err != nil {
		return err
	}
	http.Redirect(rw, r, "/", http.StatusSeeOther)
	return nil
}
