package artifact

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

const (
	maxRequest = 16 << 20 // bytes of a request: a folder is pushed with all its paths at once
	maxPulled  = 100_000  // files that one pull or yank may be about
)

// kind is what a job wants to do with the files it names.
type kind int

const (
	push kind = iota
	pushForce
	pull
	yank
)

var kinds = map[string]kind{"PUSH": push, "PUSHFORCE": pushForce, "PULL": pull, "YANK": yank}

func (k *kind) UnmarshalJSON(b []byte) error {
	text := string(b)
	if n, err := strconv.Atoi(text); err == nil && n >= int(push) && n <= int(yank) {
		*k = kind(n)
		return nil
	}
	var word string
	if json.Unmarshal(b, &word) == nil {
		if n, ok := kinds[word]; ok {
			*k = n
			return nil
		}
	}
	if text == "null" {
		return nil
	}
	return signalbox.Errorf(signalbox.CodeInvalid, "type must be 0 PUSH, 1 PUSHFORCE, 2 PULL or 3 YANK, not %.40s", text)
}

type signRequest struct {
	Paths []string `json:"paths"`
	Type  kind     `json:"type"`
}

// signedURL is one line of the answer.
type signedURL struct {
	URL    string `json:"url"`
	Method string `json:"method"`
}

// bearer is the attempt that a request speaks for.
type bearer struct {
	attempt *signalbox.Attempt
	job     *signalbox.Job
}

// may tells whether a path belongs to the bearer's own job, workflow or project.
func (b bearer) may(p place) error {
	own := map[signalbox.ArtifactScope]string{
		signalbox.ArtifactsOfJob: b.job.ID, signalbox.ArtifactsOfWorkflow: b.job.WorkflowID, signalbox.ArtifactsOfProject: b.job.ProjectID,
	}
	if id, ok := own[p.scope]; !ok || id != p.scopeID {
		return signalbox.Errorf(signalbox.CodeForbidden, "this job may use artifacts of its own job, workflow and project only, not those of %s/%s", p.scope, p.scopeID)
	}
	return nil
}

// bearer returns the attempt with an id as long as it is open: with it end all its rights.
func (a *Artifacts) bearer(tx *store.Tx, attemptID string) (b bearer, err error) {
	b.attempt, err = tx.Attempt(attemptID)
	if err == nil {
		b.job, err = tx.Job(b.attempt.JobID)
	}
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return b, signalbox.Errorf(signalbox.CodeForbidden, "the job of this artifact token is not known")
	}
	if err == nil && b.attempt.State == signalbox.AttemptEnded {
		return b, signalbox.Errorf(signalbox.CodeForbidden, "the job has ended, and its artifact token with it")
	}
	return b, err
}

func (a *Artifacts) serveSign(w http.ResponseWriter, r *http.Request) error {
	token := r.Header.Get("Authorization") // as it is, without a word before it
	if token == "" {
		return signalbox.Errorf(signalbox.CodeUnauthorized, "Unauthorized: send the job's SEMAPHORE_ARTIFACT_TOKEN in the header Authorization")
	}
	kind, attemptID, _, err := a.Keys.ParseAttemptToken(token)
	if err != nil || kind != auth.AttemptArtifact {
		return signalbox.Errorf(signalbox.CodeUnauthorized, "Unauthorized: this is no artifact token")
	}
	// Before the body is read, so that whoever may nothing cannot make us read.
	if err := a.Store.Read(r.Context(), func(tx *store.Tx) error { _, err := a.bearer(tx, attemptID); return err }); err != nil {
		return err
	}
	in, err := readSign(w, r)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return reply(w, http.StatusRequestEntityTooLarge, "a request may have at most "+strconv.Itoa(maxRequest)+" bytes: push fewer files at once")
	}
	if err != nil {
		return err
	}
	places, err := parsePaths(in.Paths)
	if err != nil {
		return err
	}
	base := a.PublicURL(r)
	var grants []answer
	if err := a.Store.Read(r.Context(), func(tx *store.Tx) error {
		b, err := a.bearer(tx, attemptID)
		if err != nil {
			return err
		}
		if len(places) > 0 {
			if err := b.may(places[0]); err != nil {
				return err
			}
		}
		grants, err = a.decide(tx, in.Type, places)
		return err
	}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return writeURLs(w, len(grants), func(i int) signedURL {
		g := grants[i]
		g.attempt, g.expires = attemptID, a.Now().Add(urlLife).Unix()
		if g.method != http.MethodGet {
			return signedURL{g.sign(a.Keys, base), g.method}
		}
		return signedURL{named(g.sign(a.Keys, byName(base)), g.asked, g.path), g.method}
	})
}

func readSign(w http.ResponseWriter, r *http.Request) (in signRequest, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return in, &signalbox.Error{Code: signalbox.CodeInvalid, Message: "the request body could not be read", Err: err}
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return in, signalbox.Errorf(signalbox.CodeInvalid, `the request body is empty; send {"paths": [...], "type": N}`)
	}
	err = json.Unmarshal(body, &in)
	var own *signalbox.Error
	if err != nil && !errors.As(err, &own) {
		err = signalbox.Errorf(signalbox.CodeInvalid, "the request body is not the JSON object that was expected: %w", err)
	}
	return in, err
}

// answer is a grant and the path that was asked for to get it.
type answer struct {
	grant
	asked string
}

// decide returns what a request is granted: URLs to look and to write for each path of a push, URLs for what there is
// for a pull or yank. A path that is a file and a folder is the file.
func (a *Artifacts) decide(tx *store.Tx, k kind, places []place) ([]answer, error) {
	var out []answer
	add := func(method, project string, p place, asked string, createOnly bool) {
		out = append(out, answer{grant{method: method, project: project, path: p.String(), createOnly: createOnly}, asked})
	}
	if len(places) == 0 {
		if k == pull || k == yank {
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "paths must name what is to be pulled or yanked")
		}
		return nil, nil
	}
	project, err := projectOf(tx, places[0])
	if err != nil {
		return nil, err
	}
	method := http.MethodGet
	switch k {
	case push:
		for _, p := range places {
			add(http.MethodHead, project, p, "", false)
			add(http.MethodPut, project, p, "", true)
		}
		return out, nil
	case pushForce:
		for _, p := range places {
			add(http.MethodPut, project, p, "", false)
		}
		return out, nil
	case yank:
		method = http.MethodDelete
	}
	for _, p := range places {
		found, err := objects(tx, p, maxPulled-len(out))
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			add(method, project, place{p.scope, p.scopeID, path}, p.String(), false)
		}
	}
	return out, nil
}

// projectOf returns the project that a scope belongs to.
func projectOf(tx *store.Tx, p place) (string, error) {
	switch p.scope {
	case signalbox.ArtifactsOfJob:
		j, err := tx.Job(p.scopeID)
		if err != nil {
			return "", err
		}
		return j.ProjectID, nil
	case signalbox.ArtifactsOfWorkflow:
		w, err := tx.Workflow(p.scopeID)
		if err != nil {
			return "", err
		}
		return w.ProjectID, nil
	}
	return p.scopeID, nil
}

// objects returns the paths of the files that a path means, in order: itself, or what lies below it.
func objects(tx *store.Tx, p place, limit int) ([]string, error) {
	f, err := tx.Artifact(p.scope, p.scopeID, p.path)
	if err == nil {
		return []string{f.Path}, nil
	}
	if signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		return nil, err
	}
	below, err := tx.ArtifactsBelow(p.scope, p.scopeID, p.path, limit+1)
	if err != nil {
		return nil, err
	}
	if len(below) == 0 {
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "there is no artifact %s", p)
	}
	if len(below) > limit {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "%s holds more than %d files, which is too much for one request: name folders below it", p, maxPulled)
	}
	out := make([]string, len(below))
	for i, f := range below {
		out[i] = f.Path
	}
	slices.SortFunc(out, strings.Compare)
	return out, nil
}

// writeURLs writes the answer line by line: a large one must not be in memory as a whole.
func writeURLs(w io.Writer, n int, url func(i int) signedURL) error {
	b := bufio.NewWriterSize(w, 64<<10)
	_, _ = b.WriteString(`{"urls":[`)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	for i := range n {
		if i > 0 {
			_ = b.WriteByte(',')
		}
		if err := e.Encode(url(i)); err != nil {
			return nil //nolint:nilerr // whoever asked is gone
		}
	}
	_, _ = b.WriteString("]}")
	_ = b.Flush()
	return nil
}
