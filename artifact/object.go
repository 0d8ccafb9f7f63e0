package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// idleLimit is how long a transfer may stand still. The server's own limits are for short requests.
const idleLimit = time.Minute

func (a *Artifacts) serveObject(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	// Whatever a job pushed, a browser must neither run nor show it.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Cache-Control", "private, no-cache")
	g, err := parseGrant(a.Keys, r.PathValue("project"), r.PathValue("path"), r.URL.Query(), a.Now())
	if err != nil {
		return err
	}
	if !g.allows(r.Method) {
		h.Set("Allow", g.method)
		return reply(w, http.StatusMethodNotAllowed, "this URL is for "+g.method)
	}
	p, err := parsePath(g.path)
	if err != nil {
		return err
	}
	var b bearer
	var f *signalbox.Artifact
	if err := a.Store.Read(r.Context(), func(tx *store.Tx) error {
		if b, err = a.bearer(tx, g.attempt); err != nil {
			return err
		}
		if err := b.may(p); err != nil {
			return err
		}
		f, err = tx.Artifact(p.scope, p.scopeID, p.path)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
			f, err = nil, nil
		}
		return err
	}); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodPut:
		return a.put(w, r, g, p, b, f)
	case http.MethodDelete:
		return a.delete(w, r, p, b)
	}
	return a.get(w, r, p, f)
}

func (a *Artifacts) get(w http.ResponseWriter, r *http.Request, p place, f *signalbox.Artifact) error {
	if f == nil {
		return signalbox.Errorf(signalbox.CodeNotFound, "there is no artifact %s", p)
	}
	content, err := a.Blobs.Open(r.Context(), name(f.SHA256, f.BlobID))
	if err != nil {
		return err
	}
	defer content.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", disposition(path.Base(f.Path)))
	h.Set("ETag", `"`+f.SHA256+`"`)
	// No Content-Encoding, whatever the content is: clients would unpack what was pushed packed.
	http.ServeContent(w, r, "", f.CreatedAt, &patient{ReadSeeker: content, extend: writeDeadline(w)})
	return nil
}

func disposition(name string) string {
	if v := mime.FormatMediaType("attachment", map[string]string{"filename": name}); v != "" {
		return v
	}
	return "attachment"
}

func (a *Artifacts) delete(w http.ResponseWriter, r *http.Request, p place, b bearer) error {
	err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		if _, err := a.bearer(tx, b.attempt.ID); err != nil {
			return err
		}
		return tx.DeleteArtifact(p.scope, p.scopeID, p.path, actor(b))
	})
	// Not there any more is what was wanted, perhaps by this very request whose answer was lost.
	if err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func actor(b bearer) string { return "job:" + b.job.ID }

func (a *Artifacts) put(w http.ResponseWriter, r *http.Request, g grant, p place, b bearer, old *signalbox.Artifact) error {
	if r.ContentLength < 0 {
		return reply(w, http.StatusLengthRequired, "a file must come with its Content-Length")
	}
	if a.MaxSize > 0 && r.ContentLength > a.MaxSize {
		return reply(w, http.StatusRequestEntityTooLarge, "a file may have at most "+strconv.FormatInt(a.MaxSize, 10)+" bytes, not "+strconv.FormatInt(r.ContentLength, 10))
	}
	exists := func() error {
		return reply(w, http.StatusPreconditionFailed, p.String()+" exists already; push with --force to replace it")
	}
	if g.createOnly && old != nil && (old.AttemptID != b.attempt.ID || old.Size != r.ContentLength) {
		return exists()
	}
	f := &signalbox.Artifact{
		ProjectID: g.project, Scope: p.scope, ScopeID: p.scopeID, Path: p.path, JobID: b.job.ID, AttemptID: b.attempt.ID,
	}
	err := a.receive(r.Context(), &patient{reader: r.Body, extend: readDeadline(w)}, r.ContentLength, f, g.createOnly, actor(b))
	switch {
	case signalbox.ErrorCode(err) == signalbox.CodeConflict && g.createOnly:
		return exists()
	case errors.Is(err, errCut):
		return reply(w, http.StatusBadRequest, "the body ended before its Content-Length")
	case err != nil:
		return err
	}
	w.Header().Set("ETag", `"`+f.SHA256+`"`)
	w.WriteHeader(http.StatusOK)
	return nil
}

var errCut = errors.New("the body ended early")

// receive reads the content of a file, stores it and makes f that file.
func (a *Artifacts) receive(ctx context.Context, body io.Reader, size int64, f *signalbox.Artifact, createOnly bool, actor string) error {
	up, err := a.Blobs.Create(ctx)
	if err != nil {
		return unavailable(err)
	}
	done := false
	defer func() {
		if !done {
			up.Abort()
		}
	}()
	h := sha256.New()
	n, err := copyBody(io.MultiWriter(up, h), body)
	if err != nil {
		return err
	}
	if n != size {
		return errCut
	}
	f.Size, f.SHA256 = n, sum(h)
	known, err := a.record(ctx, f, createOnly, actor)
	if err != nil || known {
		return err
	}
	mine := signalbox.NewID()
	done = true
	if err := up.Commit(name(f.SHA256, mine)); err != nil {
		return unavailable(err)
	}
	f.BlobID = mine
	if _, err = a.record(ctx, f, createOnly, actor); signalbox.ErrorCode(err) == signalbox.CodeInternal || signalbox.ErrorCode(err) == signalbox.CodeUnavailable {
		return err // perhaps it was recorded, perhaps not: the content stays until removeStrays has looked
	}
	if err != nil || f.BlobID != mine {
		if rerr := a.Blobs.Remove(ctx, name(f.SHA256, mine)); rerr != nil {
			a.Logger.Warn("content that is stored already could not be removed; it is tried again", "error", rerr)
		}
	}
	return err
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// record makes f the file at its path, if its attempt is still open.
func (a *Artifacts) record(ctx context.Context, f *signalbox.Artifact, createOnly bool, actor string) (known bool, err error) {
	blob := f.BlobID
	err = a.Store.Write(ctx, func(tx *store.Tx) error {
		f.BlobID = blob // a second run begins as the first one
		if _, err := a.bearer(tx, f.AttemptID); err != nil {
			return err
		}
		known, err = tx.PutArtifact(f, createOnly, actor)
		return err
	})
	return known, err
}

// copyBody tells a sender that failed from a disk that failed.
func copyBody(to io.Writer, from io.Reader) (n int64, err error) {
	buf := make([]byte, 64<<10)
	for {
		k, rerr := from.Read(buf)
		if k > 0 {
			if _, err := to.Write(buf[:k]); err != nil {
				return n, unavailable(err)
			}
			n += int64(k)
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, errCut
		}
	}
}

func unavailable(err error) error {
	return &signalbox.Error{Code: signalbox.CodeUnavailable, Message: "artifacts cannot be stored now (disk full or folder away); try again", Err: err}
}

// patient lets a transfer take as long as it needs, as long as something moves.
type patient struct {
	io.ReadSeeker
	reader io.Reader
	extend func(time.Time) error
	last   time.Time
}

func (p *patient) Read(b []byte) (int, error) {
	if now := time.Now(); now.Sub(p.last) > idleLimit/10 {
		p.last = now
		_ = p.extend(now.Add(idleLimit)) // without deadlines there is none to move
	}
	if p.reader != nil {
		return p.reader.Read(b)
	}
	return p.ReadSeeker.Read(b)
}

func readDeadline(w http.ResponseWriter) func(time.Time) error {
	c := http.NewResponseController(w)
	return func(t time.Time) error {
		return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t.Add(idleLimit)))
	}
}

func writeDeadline(w http.ResponseWriter) func(time.Time) error {
	return http.NewResponseController(w).SetWriteDeadline
}

// reply writes a short text: the official client prints it into the job's log.
func reply(w http.ResponseWriter, status int, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
	return nil
}
