package web

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

type tokenRow struct {
	ID, Name, By string
	State        string // "" when it is good
	Limits       string
	Ends, Used   *Moment
	UsedBy       string
	OneTime      bool
}

type refusedRow struct {
	Type, TypeURL, Name, IP, Host, Reason, Detail, Token string
	Advice                                               string
	Count                                                int
	Last                                                 *Moment
}

func newRefusedRow(f *signalbox.RefusedRegistration, now time.Time) refusedRow {
	row := refusedRow{
		Type: f.AgentType, Name: clip(f.Name, 80), IP: f.IP, Host: clip(f.Host, 80), Reason: string(f.Reason), Detail: clip(f.Detail, 200), Token: f.Token,
		Count: f.Count, Last: moment(f.LastAt, now),
	}
	if f.AgentType != "" {
		row.TypeURL = typesPath + url.PathEscape(f.AgentType)
	}
	return row
}

// tokenPage is how many tokens stand on one page.
const tokenPage = 50

func (b *agentTypeBody) readTokens(tx *store.Tx, t *signalbox.AgentType, after string) error {
	if !signalbox.IsID(after) {
		after = ""
	}
	rows, err := tx.RegistrationTokens(t.ID, after, b.All, tokenPage+1)
	if err != nil {
		return err
	}
	for i, r := range rows {
		if i == tokenPage {
			b.Older = b.BaseURL + "?after=" + rows[i-1].ID
			if b.All {
				b.Older += "&all=1"
			}
			break
		}
		row := tokenRow{
			ID: r.ID, Name: clip(r.Name, 80), By: actorName(r.CreatedBy), OneTime: r.OneTime, Ends: moment(r.ExpiresAt, tx.Now), Used: moment(r.LastUsedAt, tx.Now),
			UsedBy: clip(r.LastUsedBy, 80),
		}
		if state := r.State(tx.Now); state != "live" {
			row.State = state
		}
		var limits []string
		for _, n := range r.Networks {
			limits = append(limits, n.String())
		}
		if r.OneTime {
			limits = append(limits, "one agent")
		}
		row.Limits = strings.Join(limits, ", ")
		b.Tokens = append(b.Tokens, row)
	}
	return nil
}

// newToken is what to show of a token that was just made. old says what becomes of the others.
func (w *Web) newToken(r *http.Request, name, text, old string) *newToken {
	address := strings.TrimPrefix(strings.TrimPrefix(w.o.PublicURL(r), "https://"), "http://")
	return &newToken{Name: name, Text: text, Old: old, Command: "SEMAPHORE_AGENT_TOKEN=" + text + " signalbox agent start --endpoint " + address}
}

// lifetimes and overlaps are what the page offers; the API takes any.
var (
	lifetimes = map[string]time.Duration{"0": 0, "3600": time.Hour, "86400": 24 * time.Hour, "2592000": 30 * 24 * time.Hour, "31536000": 365 * 24 * time.Hour}
	overlaps  = map[string]time.Duration{"0": 0, "3600": time.Hour, "86400": 24 * time.Hour, "604800": 7 * 24 * time.Hour}
)

// offered reads a field whose values the page offers.
func offered(r *http.Request, field string, values map[string]time.Duration) (time.Duration, error) {
	text := r.PostForm.Get(field)
	d, ok := values[text]
	if !ok && text != "" {
		return 0, signalbox.Errorf(signalbox.CodeInvalid, "%.40q is none of the times that the page offers", text)
	}
	return d, nil
}

func (w *Web) postToken(rw http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read")
	}
	life, err := offered(r, "expires_in", lifetimes)
	if err != nil {
		return err
	}
	networks, err := signalbox.ParseNetworks(strings.FieldsFunc(r.PostForm.Get("networks"), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' }))
	if err != nil {
		return err
	}
	t := &signalbox.RegistrationToken{Name: strings.TrimSpace(r.PostForm.Get("name")), Networks: networks, OneTime: r.PostForm.Get("one_time") == "true"}
	text, err := w.o.Fleet.CreateToken(r.Context(), r.PathValue("type"), t, life, route.ActorFrom(r.Context()).Name())
	if err != nil {
		return err
	}
	return w.showAgentType(rw, r, r.PathValue("type"), w.newToken(r, t.Name, text, ""), nil)
}

func (w *Web) postTokenRotate(rw http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read")
	}
	overlap, err := offered(r, "overlap", overlaps)
	if err != nil {
		return err
	}
	t, text, err := w.o.Fleet.RotateToken(r.Context(), r.PathValue("type"), r.PathValue("token"), overlap, route.ActorFrom(r.Context()).Name())
	if err != nil {
		return err
	}
	return w.showAgentType(rw, r, r.PathValue("type"), w.newToken(r, t.Name, text, until("The old one no longer lets agents register.", "The old one ends in ", overlap)), nil)
}

// until says what becomes of a token that was replaced.
func until(now, later string, overlap time.Duration) string {
	if overlap == 0 {
		return now
	}
	return later + plural(int(overlap/time.Hour), "hour", "hours") + "."
}

func (w *Web) postTokenRevoke(rw http.ResponseWriter, r *http.Request) error {
	if err := w.o.Fleet.RevokeToken(r.Context(), r.PathValue("type"), r.PathValue("token"), route.ActorFrom(r.Context()).Name()); err != nil {
		return err
	}
	http.Redirect(rw, r, typesPath+url.PathEscape(r.PathValue("type")), http.StatusSeeOther)
	return nil
}

func (w *Web) postTokenReset(rw http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read")
	}
	overlap, err := offered(r, "overlap", overlaps)
	if err != nil {
		return err
	}
	text, err := w.o.Fleet.ResetTokens(r.Context(), r.PathValue("type"), overlap, r.PostForm.Get("disconnect_running_agents") == "true", route.ActorFrom(r.Context()).Name())
	if err != nil {
		return orNotFound(err, "agent type")
	}
	return w.showAgentType(rw, r, r.PathValue("type"), w.newToken(r, "reset", text, until("All others no longer let agents register.", "All others end in ", overlap)), nil)
}

type refusedBody struct {
	Tabs agentTabs
	Rows []refusedRow
}

func (w *Web) getRefused(rw http.ResponseWriter, r *http.Request) error {
	var b refusedBody
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b = refusedBody{}
		var err error
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		rows, err := b.Tabs.read(tx, r)
		for _, f := range rows {
			b.Rows = append(b.Rows, newRefusedRow(f, tx.Now))
		}
		return err
	})
	if err != nil {
		return err
	}
	s.Title, s.Section, s.Script, s.Crumbs = "Refused registrations", "agents", "page", []Link{{"Agents", "/agents"}}
	s.Topics = []string{"agents"}
	return w.render(rw, http.StatusOK, "refused", s, b)
}
