package api

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// maxBody bounds request bodies.
const maxBody = 4 << 20

// read decodes a JSON body; an empty one leaves v as it is, because official clients send that with every method.
func read(w http.ResponseWriter, r *http.Request, v any) error {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "the request body could not be read: %w", err)
	}
	if len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "the request body is not the JSON that was expected: %w", err)
	}
	return nil
}

// readForm is read for the endpoints that take their parameters from the query, and from the body as JSON or as a form.
func readForm(w http.ResponseWriter, r *http.Request, v any) error {
	if err := fill(v, r.URL.Query()); err != nil {
		return err
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "application/x-www-form-urlencoded":
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := r.ParseForm(); err != nil {
			return signalbox.Errorf(signalbox.CodeInvalid, "the form could not be read: %w", err)
		}
		return fill(v, r.PostForm)
	case "multipart/form-data":
		return signalbox.Errorf(signalbox.CodeInvalid, "uploading a snapshot is not possible yet; push a branch and start a workflow on it, "+
			"or try the files you have with `signalbox run`")
	}
	return read(w, r, v)
}

// fill sets the fields of v that are texts from parameters of their names.
func fill(v any, params url.Values) error {
	m := map[string]string{}
	for k := range params {
		m[k] = params.Get(k)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "a parameter is not of the kind that was expected: %w", err)
	}
	return nil
}

// write answers 200: the official command line takes any other success for an error.
func write(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // whoever hung up does not need it
	return nil
}

// official tells whether the official command line asks. It reads one page of most lists and shows each output event on
// lines of its own.
func official(r *http.Request) bool { return strings.HasPrefix(r.UserAgent(), "SemaphoreCLI/") }

func (a *API) read(r *http.Request, fn func(*store.Tx) error) error {
	return a.Store.Read(r.Context(), fn)
}

func actor(r *http.Request) string { return route.ActorFrom(r.Context()).Name() }
