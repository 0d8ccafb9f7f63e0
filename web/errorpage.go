package web

import (
	"net/http"
	"strings"

	"github.com/signalbox-ci/signalbox"
)

// ErrorPage writes err as a page with that status. The server calls it for routes of style Page, also for addresses that no route has.
// What has no code is shown as a fault of ours, without its text.
func (w *Web) ErrorPage(rw http.ResponseWriter, r *http.Request, status int, err error, requestID string) {
	setHeaders(rw.Header())
	v := errorView(err)
	v.Status = status
	v.RequestID = clip(requestID, 80)
	v.At = w.o.Now().UTC().Format("2 Jan 2006, 15:04:05") + " UTC"
	if v.Retry && r.Method == http.MethodGet {
		v.Again = relative(r.URL.RequestURI())
	}
	// The counts of the bar need the database, which may be what is broken.
	s, _ := w.shell(r, nil)
	s.Title, s.Narrow = v.Title, true
	if renderErr := w.render(rw, v.Status, "error", s, v); renderErr != nil {
		http.Error(rw, v.Title, v.Status)
	}
}

type errorBody struct {
	Status        int
	Title, Text   string
	Retry         bool
	Again         string
	RequestID, At string
}

func errorView(err error) errorBody {
	message := clip(signalbox.ErrorMessage(err), 500)
	switch signalbox.ErrorCode(err) {
	case signalbox.CodeNotFound:
		if !strings.HasPrefix(message, "There is no such ") {
			message = "There is no such page, or you may not see it"
		}
		return errorBody{Title: message, Text: "The address may be mistyped, or the thing was removed."}
	case signalbox.CodeForbidden:
		return errorBody{Title: "You may look but not do this", Text: message}
	case signalbox.CodeUnauthorized:
		return errorBody{Title: "Your session has ended", Text: "Sign in and go on."}
	case signalbox.CodeInvalid:
		return errorBody{Title: "This request is not right", Text: message}
	case signalbox.CodeConflict:
		return errorBody{Title: "Not done", Text: message}
	case signalbox.CodeUnavailable:
		return errorBody{Title: "This page cannot be shown just now", Text: message, Retry: true}
	}
	return errorBody{
		Title: "This page could not be put together",
		Text:  "The fault is ours, not yours. Running jobs and agents are not affected.", Retry: true,
	}
}
