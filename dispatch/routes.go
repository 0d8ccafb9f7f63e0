package dispatch

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
)

// Routes returns the agent protocol's routes. All of them check a token of their own kind.
func (h *Hub) Routes() []route.Route {
	own := func(pattern string, fn route.Handler) route.Route {
		return route.Route{Pattern: pattern, Access: route.OwnToken, Style: route.Agent, Handler: h.agentOnly(fn)}
	}
	return []route.Route{
		own("POST "+agentapi.Base+agentapi.PathRegister, h.serveRegister),
		own("POST "+agentapi.Base+agentapi.PathSync, h.serveSync),
		own("GET "+agentapi.Base+agentapi.PathJobs+"/{job_id}", h.serveJob),
		own("POST "+agentapi.Base+agentapi.PathRefresh, h.serveRefresh),
		own("POST "+agentapi.Base+agentapi.PathDisconnect, h.serveDisconnect),
		own("GET "+agentapi.Base+agentapi.PathMetrics, h.serveMetrics),
		own("GET "+agentapi.Base+agentapi.PathOccupancy, h.serveOccupancy),
		{Pattern: "GET " + agentapi.Base + agentapi.PathJobs, Access: route.OwnToken, Style: route.JSON, Handler: h.serveJobs},
		own("POST "+agentapi.LogsBase+"/{job_id}", h.servePush),
		own("GET "+agentapi.LogsBase+"/{job_id}", h.servePull),
	}
}

// agentOnly asks for TLS 1.3: whoever talks TLS to these routes is a program of recent years.
func (h *Hub) agentOnly(fn route.Handler) route.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.TLS != nil && r.TLS.Version < tls.VersionTLS13 {
			return reply(w, http.StatusUpgradeRequired, "agents need TLS 1.3")
		}
		return h.render(w, fn(w, r))
	}
}

// render gives errors the statuses that agents know. Whatever is not listed is left to the server.
func (h *Hub) render(w http.ResponseWriter, err error) error {
	switch signalbox.ErrorCode(err) {
	case signalbox.CodeUnauthorized:
		return reply(w, http.StatusUnauthorized, signalbox.ErrorMessage(err))
	case signalbox.CodeNotFound:
		return reply(w, http.StatusNotFound, signalbox.ErrorMessage(err))
	case signalbox.CodeInvalid, signalbox.CodeConflict:
		return reply(w, http.StatusUnprocessableEntity, signalbox.ErrorMessage(err))
	}
	return err
}

func reply(w http.ResponseWriter, status int, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, err := io.WriteString(w, text+"\n")
	return ignoreHangUp(err)
}

func replyJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err = w.Write(b)
	return ignoreHangUp(err)
}

// ignoreHangUp drops the error of writing to somebody who is gone; the agent asks again.
func ignoreHangUp(error) error { return nil }

// token returns the hash of the token in "Authorization: Token <token>".
func token(r *http.Request) (string, error) {
	parts := strings.Split(r.Header.Get("Authorization"), "Token ")
	if len(parts) != 2 || parts[0] != "" || parts[1] == "" || len(parts[1]) > 500 {
		return "", signalbox.Errorf(signalbox.CodeUnauthorized, "Unauthorized: send the header \"Authorization: Token <token>\"")
	}
	return auth.HashToken(parts[1]), nil
}

// maxBody bounds the small requests of agents.
const maxBody = 64 << 10

func decode(w http.ResponseWriter, r *http.Request, v any) error {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "the request body could not be read: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "the request body is not the JSON object that was expected: %w", err)
	}
	return nil
}

func (h *Hub) serveRegister(w http.ResponseWriter, r *http.Request) error {
	who := Registrant{IP: limit(h.ClientIP(r), 60), UserAgent: limit(r.UserAgent(), 200)}
	var typ *signalbox.AgentType
	var req agentapi.RegisterRequest
	refused := func(err error) error {
		h.turnedAway(err, typ, who, req)
		return err
	}
	var err error
	if who.TokenHash, err = token(r); err != nil {
		return refused(refuse(signalbox.RefusedNoToken, err))
	}
	// The token is checked before the body is looked at: a stranger learns nothing about bodies.
	if typ, err = h.pass(r.Context(), who); err != nil {
		_ = decode(w, r, &req) // whoever looks for their agent among those that were refused knows it by its name
		return refused(err)
	}
	if err := decode(w, r, &req); err != nil {
		return refused(refuse(signalbox.RefusedRequest, err))
	}
	res, err := h.Register(r.Context(), who, typ, req)
	if err != nil {
		h.turnedAway(err, typ, who, req)
	} else {
		h.OnRegistered(typ.Name)
	}
	switch signalbox.ErrorCode(err) {
	case "":
		return replyJSON(w, http.StatusCreated, res)
	case signalbox.CodeInvalid, signalbox.CodeConflict:
		return reply(w, http.StatusBadRequest, signalbox.ErrorMessage(err))
	}
	return err
}

// requestIP returns the address at the other end of the connection.
func requestIP(r *http.Request) string {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return ip
}

func unknownToken(err error, what string) error {
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return signalbox.Errorf(signalbox.CodeNotFound, "Not Found: this %s is unknown, revoked or expired", what)
	}
	return err
}

func limit(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "")
	}
	return s
}

func (h *Hub) serveSync(w http.ResponseWriter, r *http.Request) error {
	hash, err := token(r)
	if err != nil {
		return err
	}
	var req agentapi.SyncRequest
	if _, err := h.find(r.Context(), hash); err != nil {
		return unknownToken(h.lateReport(r.Context(), hash, err, func() error { return decode(w, r, &req) }, &req), "agent token")
	}
	if err := decode(w, r, &req); err != nil {
		return err
	}
	// Nothing else bounds a held answer: the server's write timeout counts from the request.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.Timing.HoldLimit + 30*time.Second))
	wait := preferredWait(r.Header.Values("Prefer"))
	parked := false
	err = h.answerSync(r.Context(), w, hash, req, wait, func() bool {
		if h.Park != nil {
			parked = h.Park(w, r, func(ctx context.Context, w http.ResponseWriter) error {
				return h.render(w, h.answerSync(ctx, w, hash, req, wait, nil))
			})
		}
		return parked
	})
	if parked {
		return nil
	}
	if err != nil && r.Context().Err() != nil {
		return nil // the agent hung up
	}
	return err
}

// answerSync syncs and writes the answer. park, if any, is asked once when there is something to wait for; when it returns
// true, somebody else goes on.
func (h *Hub) answerSync(ctx context.Context, w http.ResponseWriter, hash string, req agentapi.SyncRequest, wait time.Duration, park func() bool) error {
	res, err := h.sync(ctx, hash, req, wait, park)
	if err != nil {
		return unknownToken(err, "agent token")
	}
	if res.Held > 0 {
		// Whoever measures can tell the wait that was meant from the one that was not.
		w.Header().Set("Server-Timing", "hold;dur="+strconv.FormatFloat(float64(res.Held.Microseconds())/1000, 'f', -1, 64))
	}
	gone := res.Action == agentapi.ActionRunJob && hungUp(ctx, w)
	if err := replyJSON(w, http.StatusOK, res); err != nil {
		return err
	}
	return h.delivered(ctx, w, gone, hash, res)
}

// hungUp tells whether nobody will read an answer.
func hungUp(ctx context.Context, w http.ResponseWriter) bool {
	if g, ok := w.(interface{ Gone() bool }); ok {
		return g.Gone()
	}
	return ctx.Err() != nil
}

// delivered takes an offer back at once when its answer could not be written. That a connection ends after its answer says
// nothing: an agent or a proxy that keeps none closes it when it has read the answer.
func (h *Hub) delivered(ctx context.Context, w http.ResponseWriter, gone bool, hash string, res agentapi.SyncResponse) error {
	if res.Action != agentapi.ActionRunJob {
		return nil
	}
	err := http.NewResponseController(w).Flush()
	if !gone && (err == nil || errors.Is(err, http.ErrNotSupported)) {
		return nil
	}
	p, err := h.find(context.WithoutCancel(ctx), hash)
	if err != nil {
		return nil //nolint:nilerr // the agent is gone, and with it the offer
	}
	if _, a := p.rows(); a != nil && a.JobID == res.JobID {
		return h.withdraw(context.WithoutCancel(ctx), a.ID, "the answer could not be written")
	}
	return nil
}

// preferredWait reads "Prefer: wait=N" (RFC 7240): how many seconds an agent allows its sync to be held.
func preferredWait(values []string) time.Duration {
	for _, v := range values {
		for _, part := range strings.Split(v, ",") {
			name, n, ok := strings.Cut(strings.TrimSpace(part), "=")
			if !ok || !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			if s, err := strconv.Atoi(strings.TrimSpace(n)); err == nil && s > 0 && s < 3600 {
				return time.Duration(s) * time.Second
			}
		}
	}
	return 0
}

func (h *Hub) serveJob(w http.ResponseWriter, r *http.Request) error {
	hash, err := token(r)
	if err != nil {
		return err
	}
	p, err := h.Fetch(r.Context(), hash, r.PathValue("job_id"), r.URL.Query().Get("attempt"), h.PublicURL(r))
	if err != nil {
		return err
	}
	return replyJSON(w, http.StatusOK, p)
}

func (h *Hub) serveRefresh(w http.ResponseWriter, r *http.Request) error {
	hash, err := token(r)
	if err != nil {
		return err
	}
	t, err := h.LogToken(r.Context(), hash)
	if err != nil {
		return unknownToken(err, "agent token")
	}
	return replyJSON(w, http.StatusOK, agentapi.RefreshResponse{Token: t})
}

func (h *Hub) serveDisconnect(w http.ResponseWriter, r *http.Request) error {
	hash, err := token(r)
	if err != nil {
		return err
	}
	if err := h.Disconnect(r.Context(), hash); err != nil {
		return unknownToken(err, "agent token")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = io.WriteString(w, "disconnected")
	return ignoreHangUp(err)
}
