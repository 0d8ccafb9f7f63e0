package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
)

// Builds tells what machines can fetch from the server.
type Builds interface {
	Available() []string // platforms such as linux-amd64
	CA() ([]byte, error) // certificate of the server's own authority, nil when it has none
}

// ownCA tells whether machines must be told to trust the server's certificate.
func (w *Web) ownCA() bool { return len(w.ca()) > 0 }

// ca is the certificate of the server's own authority, nil when there is none that can be read.
func (w *Web) ca() []byte {
	if w.o.Builds == nil {
		return nil
	}
	text, err := w.o.Builds.CA()
	if err != nil {
		return nil
	}
	return text
}

// checklistAfter is how long nothing may happen before the page says what to look at.
const checklistAfter = 45 * time.Second

// connectBody is the page on which one sees an agent connect.
type connectBody struct {
	Type       typeRow
	Naming     string
	Address    string // of the server, as agents reach it
	Local      bool   // which is good for this machine only
	Platforms  []platformTab
	Guess      string
	Install    installView
	Token      bool // it is known, so lines are whole
	TokenSince *Moment
	Steps      *stepsView
	Status     connectStatus
	First      bool // nobody has connected yet
	Again      string
	Project    string // where to go with an agent
	ServerTime string
	OwnCA      bool
}

type platformTab struct {
	Name, URL string
	Current   bool
}

type connectStatus struct {
	State   string // waiting, registered, connected
	Since   int64  // Unix milliseconds, for the clock
	Waited  string
	OpenAt  int64 // when the checklist opens by itself
	Open    bool
	Agent   agentRow
	Refused []refusedRow
	Advice  string
}

func (w *Web) showConnect(rw http.ResponseWriter, r *http.Request, name string) error {
	var b connectBody
	var s Shell
	q := r.URL.Query()
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b = connectBody{Address: w.o.PublicURL(r), OwnCA: w.ownCA(), ServerTime: tx.Now.UTC().Format("15:04:05") + " UTC"}
		t, err := tx.AgentType(name)
		if err != nil {
			return orNotFound(err, "agent type")
		}
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		b.Type = typeRow{Name: t.Name, URL: typesPath + url.PathEscape(t.Name), Known: true}
		b.Naming = "Each agent chooses its name."
		if t.Naming.Origin == signalbox.NamesFromAWS {
			b.Naming = "AWS says who an agent is."
		}
		token, since, err := w.connectToken(tx, r, t)
		if err != nil {
			return err
		}
		b.Token = token != ""
		b.Install = w.installLines(r, token)
		if after, err := strconv.ParseInt(q.Get("after"), 10, 64); err == nil && after > 0 {
			since = time.UnixMilli(after)
		}
		if b.Status, err = w.connectStatus(tx, t, since, q.Get("after") != ""); err != nil {
			return err
		}
		progress, err := tx.Progress()
		b.Steps = newSteps(progress, 2)
		b.First = !progress.Agent && q.Get("after") == ""
		b.Project = "/"
		if !progress.Project {
			b.Project = "/new_project"
		}
		b.Again = b.Type.URL + "?connect=1&after=" + strconv.FormatInt(tx.Now.UnixMilli(), 10)
		return err
	})
	if err != nil {
		return err
	}
	b.Local = setup.Loopback(b.Address)
	key := b.Install.Key
	for _, p := range platforms {
		v := url.Values{"connect": {"1"}, "platform": {p.key}}
		if after := q.Get("after"); after != "" {
			v.Set("after", after)
		}
		b.Platforms = append(b.Platforms, platformTab{Name: p.name, URL: b.Type.URL + "?" + v.Encode(), Current: p.key == key})
	}
	if !isPlatform(q.Get("platform")) {
		b.Guess = b.Install.Name
	}
	s.Title, s.Section, s.Script, s.Topics = "Connect an agent", "agents", "page", []string{"agents"}
	s.Crumbs = []Link{{"Agents", "/agents"}, {name, b.Type.URL}}
	return w.render(rw, http.StatusOK, "connect", s, b)
}

// connectStatus says what has been seen of agents of a type since a time; with fresh, only those count that came after it.
func (w *Web) connectStatus(tx *store.Tx, t *signalbox.AgentType, since time.Time, fresh bool) (connectStatus, error) {
	v := connectStatus{
		State: "waiting", Since: since.UnixMilli(), Waited: clock(tx.Now.Sub(since)), OpenAt: since.Add(checklistAfter).UnixMilli(),
		Open: tx.Now.Sub(since) >= checklistAfter,
	}
	agents, err := tx.Agents(t.ID)
	if err != nil {
		return v, err
	}
	agents = slices.DeleteFunc(agents, func(a *signalbox.Agent) bool {
		return a.State != signalbox.AgentRegistered || fresh && a.CreatedAt.Before(since)
	})
	if len(agents) > 0 {
		a := slices.MaxFunc(agents, func(a, b *signalbox.Agent) int {
			return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
		})
		seen, err := tx.SeenOf(a.ID)
		if err != nil {
			return v, err
		}
		v.State, v.Open = "connected", false
		if seen.State == "" {
			v.State = "registered"
		}
		v.Agent = agentRow{
			Name: clip(a.Name, 80), Host: clip(a.Hostname, 80), System: clip(join(a.OS, a.Arch), 60), Version: clip(a.Version, 30), IP: clip(a.IP, 50),
			Since: moment(a.CreatedAt, tx.Now), Seen: moment(seen.At, tx.Now),
		}
	}
	for _, id := range []string{t.ID, ""} {
		rows, err := tx.Refused(id, 20)
		if err != nil {
			return v, err
		}
		for _, f := range rows {
			if f.LastAt.Before(since) {
				continue
			}
			row := newRefusedRow(f, tx.Now)
			row.Advice = refusalAdvice(f.Reason)
			v.Refused = append(v.Refused, row)
		}
	}
	slices.SortStableFunc(v.Refused, func(a, b refusedRow) int { return cmp.Compare(b.Last.Unix, a.Last.Unix) })
	v.Refused = v.Refused[:min(len(v.Refused), 20)]
	return v, nil
}

// refusalAdvice says what to do about a registration that was turned away.
func refusalAdvice(r signalbox.Refusal) string {
	switch r {
	case signalbox.RefusedUnknown, signalbox.RefusedNoToken:
		return "Copy the whole command again: the token must not lose a character."
	case signalbox.RefusedRevoked, signalbox.RefusedExpired, signalbox.RefusedSpent:
		return "Make a new token and use the command that comes with it."
	case signalbox.RefusedAddress:
		return "The token is for other networks only. Make one for this one."
	case signalbox.RefusedName, signalbox.RefusedNameTaken:
		return "Give the agent another name, or leave the name out."
	case signalbox.RefusedIdentity:
		return "Look at the type's settings: which AWS account and roles may register?"
	}
	return "Look at the agent's own output."
}

// getNewAgentType asks what a new type is called and how it names its agents.
func (w *Web) getNewAgentType(rw http.ResponseWriter, r *http.Request) error {
	return w.showNewAgentType(rw, r, http.StatusOK, newTypeBody{Name: "linux", Names: "agent", Release: "0"})
}

type newTypeBody struct {
	Name, Names, Account, Roles, Release string
	Later                                bool
	Problem                              string
	Steps                                *stepsView
}

func (w *Web) showNewAgentType(rw http.ResponseWriter, r *http.Request, status int, b newTypeBody) error {
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		var err error
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		progress, err := tx.Progress()
		b.Steps = newSteps(progress, 2)
		return err
	})
	if err != nil {
		return err
	}
	b.Later = b.Release != "0" && b.Release != ""
	s.Title, s.Section, s.Script, s.Crumbs = "Create an agent type", "agents", "page", []Link{{"Agents", "/agents"}}
	return w.render(rw, status, "new-agent-type", s, b)
}

func (w *Web) postAgentType(rw http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read")
	}
	b := newTypeBody{
		Name: strings.TrimSpace(r.PostForm.Get("name")), Names: r.PostForm.Get("names"), Account: strings.TrimSpace(r.PostForm.Get("account")),
		Roles: r.PostForm.Get("roles"), Release: r.PostForm.Get("release_after"),
	}
	if r.PostForm.Get("release") == "now" {
		b.Release = "0"
	}
	name := b.Name
	if !strings.HasPrefix(name, "s1-") {
		name = "s1-" + name // the field shows this much already
	}
	t := &signalbox.AgentType{Name: name, Quarantine: signalbox.DefaultQuarantine}
	if b.Names == "aws" {
		t.Naming = signalbox.AgentNaming{Origin: signalbox.NamesFromAWS, Account: b.Account, Roles: signalbox.ParseRoles(b.Roles)}
	}
	var err error
	if t.ReleaseAfter, err = seconds(b.Release, "How long names are kept"); err == nil {
		var text string
		if text, err = w.o.Fleet.CreateType(r.Context(), t, route.ActorFrom(r.Context()).Name()); err == nil {
			w.keepToken(rw, r, name, text)
			http.Redirect(rw, r, typesPath+url.PathEscape(name)+"?connect=1", http.StatusSeeOther)
			return nil
		}
	}
	switch signalbox.ErrorCode(err) {
	case signalbox.CodeInvalid:
		b.Problem = signalbox.ErrorMessage(err)
		return w.showNewAgentType(rw, r, http.StatusUnprocessableEntity, b)
	case signalbox.CodeConflict:
		b.Problem = signalbox.ErrorMessage(err)
		return w.showNewAgentType(rw, r, http.StatusConflict, b)
	}
	return err
}

// postConnectToken makes one more token, for the lines of this page.
func (w *Web) postConnectToken(rw http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("type")
	t := &signalbox.RegistrationToken{Name: "connect-" + w.o.Now().UTC().Format("20060102-150405")}
	text, err := w.o.Fleet.CreateToken(r.Context(), name, t, 0, route.ActorFrom(r.Context()).Name())
	if err != nil {
		return orNotFound(err, "agent type")
	}
	w.keepToken(rw, r, name, text)
	http.Redirect(rw, r, typesPath+url.PathEscape(name)+"?connect=1", http.StatusSeeOther)
	return nil
}

// tokenCookie lets the browser to which a registration token was shown show it again for a while. The server keeps hashes only,
// and no script can read it.
const (
	tokenCookie = "signalbox-registration"
	tokenShown  = time.Hour
)

func (w *Web) keepToken(rw http.ResponseWriter, r *http.Request, typeName, text string) {
	http.SetCookie(rw, &http.Cookie{
		Name: tokenCookie, Value: text, Path: typesPath + url.PathEscape(typeName), MaxAge: int(tokenShown / time.Second),
		HttpOnly: true, Secure: w.o.Secure(r), SameSite: http.SameSiteStrictMode,
	})
}

// connectToken is the token that this browser was shown, "" when that was none of this type that still counts. since is when the
// page began to wait.
func (w *Web) connectToken(tx *store.Tx, r *http.Request, t *signalbox.AgentType) (text string, since time.Time, err error) {
	since = t.CreatedAt
	if tx.Now.Sub(since) > time.Hour {
		since = tx.Now.Add(-time.Hour)
	}
	c, err := r.Cookie(tokenCookie)
	if err != nil || len(c.Value) > 200 {
		return "", since, nil //nolint:nilerr // no cookie is no token
	}
	row, err := tx.RegistrationToken(auth.HashToken(c.Value))
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return "", since, nil
	}
	if err != nil {
		return "", since, err
	}
	if row.AgentTypeID != t.ID || !row.Live(tx.Now) {
		return "", since, nil
	}
	return c.Value, row.CreatedAt, nil
}
