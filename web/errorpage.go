package web

import (
	"net/http"

	"github.com/signalbox-ci/signalbox"
)

// ErrorPage writes err as a page. The server calls it for routes of style Page, also for addresses that no route has.
// What has no code is shown as a fault of ours, without its text.
func (w *Web) ErrorPage(rw http.ResponseWriter, r *http.Request, err error, requestID string) {
	setHeaders(rw.Header())
	v := errorView(err)
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
	Status         int
	Title, Text    string
	Retry          bool
	Again          string
	RequestID, At  string
	SearchProjects bool
}

func errorView(err error) errorBody {
	message := clip(signalbox.ErrorMessage(err), 500)
	switch signalbox.ErrorCode(err) {
	case signalbox.CodeNotFound:
		return errorBody{Status: http.StatusNotFound, Title: message, Text: "The address may be mistyped, or the thing was removed.", SearchProjects: true}
	case signalbox.CodeForbidden:
		return errorBody{Status: http.StatusForbidden, Title: "You may look but not do this", Text: message}
	case signalbox.CodeUnauthorized:
		return errorBody{Status: http.StatusUnauthorized, Title: "Your session has ended", Text: "Sign in and go on."}
	case signalbox.CodeInvalid:
		return errorBody{Status: http.StatusBadRequest, Title: "This request is not right", Text: message}
	case signalbox.CodeConflict:
		return errorBody{Status: http.StatusConflict, Title: "Not done", Text: message, SearchProjects: true}
	case signalbox.CodeUnavailable:
		return errorBody{Status: http.StatusServiceUnavailable, Title: "This page cannot be shown just now", Text: message, Retry: true}
	}
	return errorBody{
		Status: http.StatusInternalServerError, Title: "This page could not be put together",
		Text: "The fault is ours, not yours. Running jobs and agents are not affected.", Retry: true,
	}
}
