package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// typesPath is where the pages of agent types are; old links know it.
const typesPath = "/agents/self_hosted/"

type agentTypeBody struct {
	Type     typeRow
	BaseURL  string
	Manage   bool
	Settings typeSettings
	Tokens   []tokenRow
	Refused  []refusedRow
	Jobs     []agentJobRow
	New      *newToken
	Problems []fleet.Outcome
	All      bool   // tokens that have ended are shown too
	Older    string // the next page of tokens
	Back     string
}

type typeSettings struct {
	Release, Lost  string // seconds, for the form
	ReleaseWords   string
	LostWords      string
	MaxRunning     int    // 0 is no limit
	Failures, Of   int    // of the quarantine, 0 of 0 is never
	Lease          string // seconds, for the form
	LeaseWords     string
	Ephemeral      bool
	AWS            bool
	Account, Roles string
	AllProjects    bool
	Projects       string // names, one per line
	ProjectWords   string
	Forks          bool
}

// newToken is a registration token that was just made: the only time that anybody sees it.
type newToken struct {
	Name, Text, Command, Old string
}

func (w *Web) getAgentType(rw http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Get("connect") == "1" && may(r, auth.AgentTypeManage) {
		return w.showConnect(rw, r, r.PathValue("type"))
	}
	return w.showAgentType(rw, r, r.PathValue("type"), nil, nil)
}

func (w *Web) showAgentType(rw http.ResponseWriter, r *http.Request, name string, made *newToken, problems []fleet.Outcome) error {
	var b agentTypeBody
	var s Shell
	manage := may(r, auth.AgentTypeManage)
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		b = agentTypeBody{BaseURL: typesPath + url.PathEscape(name), Manage: manage, New: made, Problems: problems, All: r.URL.Query().Get("all") == "1"}
		b.Back = b.BaseURL
		t, err := tx.AgentType(name)
		if err != nil {
			return orNotFound(err, "agent type")
		}
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		rows, err := w.types(tx, tx.Now)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(rows, func(row typeRow) bool { return row.Name == name }); i >= 0 {
			if err := listAgents(tx, rows[i:i+1]); err != nil {
				return err
			}
			b.Type = rows[i]
		}
		if b.Jobs, err = typeJobs(tx, t); err != nil {
			return err
		}
		if b.Settings, err = settingsOf(tx, t); err != nil || !manage {
			return err
		}
		if err := b.readTokens(tx, t, r.URL.Query().Get("after")); err != nil {
			return err
		}
		refused, err := tx.Refused(t.ID, 20)
		for _, f := range refused {
			b.Refused = append(b.Refused, newRefusedRow(f, tx.Now))
		}
		return err
	})
	if err != nil {
		return err
	}
	if !manage {
		types := []typeRow{b.Type}
		hideAddresses(types)
	}
	if made != nil {
		rw.Header().Set("Cache-Control", "no-store")
		w.keepToken(rw, r, name, made.Text)
	}
	s.Title, s.Section, s.Script, s.Crumbs = name, "agents", "page", []Link{{"Agents", "/agents"}}
	s.Topics = []string{"agents", "queue"}
	return w.render(rw, http.StatusOK, "agent-type", s, b)
}

// typeJobsShown is how many of the newest jobs of a type its page lists.
const typeJobsShown = 20

func typeJobs(tx *store.Tx, t *signalbox.AgentType) ([]agentJobRow, error) {
	jobs, err := tx.TypeJobs(t.Name, typeJobsShown)
	rows := agentJobRows(jobs, tx.Now)
	for i, j := range jobs {
		if j.Agent != "" {
			rows[i].Agent, rows[i].AgentURL = clip(j.Agent, 80), agentURL(&signalbox.Agent{AgentType: t.Name, Name: j.Agent})
		}
	}
	return rows, err
}

func settingsOf(tx *store.Tx, t *signalbox.AgentType) (typeSettings, error) {
	v := typeSettings{
		Release: strconv.Itoa(int(t.ReleaseAfter / time.Second)), Lost: strconv.Itoa(int(t.LostAfter / time.Second)), Forks: t.Forks, MaxRunning: t.MaxRunningJobs,
		Failures: t.Quarantine.Failures, Of: t.Quarantine.Of, Lease: strconv.Itoa(int(t.Lease / time.Second)), Ephemeral: t.Ephemeral, LeaseWords: "none",
		ReleaseWords: "free at once", LostWords: clock(signalbox.DefaultLostAfter) + " of silence (the default)", AllProjects: t.Projects != signalbox.ProjectsAllowed,
		AWS: t.Naming.Origin == signalbox.NamesFromAWS, Account: t.Naming.Account, Roles: strings.Join(t.Naming.Roles, ", "), ProjectWords: "all",
	}
	if t.ReleaseAfter > 0 {
		v.ReleaseWords = "kept for " + clock(t.ReleaseAfter)
	}
	if t.LostAfter > 0 {
		v.LostWords = clock(t.LostAfter) + " of silence"
	}
	if t.Lease > 0 {
		v.LeaseWords = "an agent that can ends its job after " + clock(t.Lease) + " without the server"
	}
	if v.AllProjects {
		return v, nil
	}
	all, err := tx.Projects()
	if err != nil {
		return v, err
	}
	known := map[string]string{}
	for _, p := range all {
		known[p.ID] = p.Name
	}
	var names []string
	for _, id := range t.ProjectIDs {
		if known[id] != "" {
			names = append(names, known[id])
		}
	}
	v.Projects, v.ProjectWords = strings.Join(names, "\n"), strings.Join(names, ", ")
	if len(names) == 0 {
		v.ProjectWords = "none that exists"
	}
	return v, nil
}

// formSeconds reads a field that holds a number of seconds.
func formSeconds(r *http.Request, field, what string) (time.Duration, error) {
	return seconds(r.PostForm.Get(field), what)
}

func seconds(text, what string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, signalbox.Errorf(signalbox.CodeInvalid, "%s must be a number of seconds, not %.40q", what, text)
	}
	return time.Duration(n) * time.Second, nil
}

// formLimit reads a field that holds how many jobs may hold agents at once; nothing is no limit.
func formLimit(r *http.Request, field string) (int, error) {
	text := strings.TrimSpace(r.PostForm.Get(field))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, signalbox.Errorf(signalbox.CodeInvalid, "The number of jobs at once must be a number, not %.40q", text)
	}
	return n, nil
}

// formCount reads a field that holds a number of jobs; nothing is 0.
func formCount(r *http.Request, field string) (int, error) {
	text := strings.TrimSpace(r.PostForm.Get(field))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, signalbox.Errorf(signalbox.CodeInvalid, "The numbers of jobs of a quarantine must be numbers, not %.40q", text)
	}
	return n, nil
}

func (w *Web) postAgentTypeSettings(rw http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read")
	}
	release, err := formSeconds(r, "release_after", "How long names are kept")
	if err != nil {
		return err
	}
	lost, err := formSeconds(r, "lost_after", "The silence after which an agent is lost")
	if err != nil {
		return err
	}
	most, err := formLimit(r, "max_running_jobs")
	if err != nil {
		return err
	}
	lease, err := formSeconds(r, "lease", "The lease")
	if err != nil {
		return err
	}
	var rule signalbox.QuarantineRule
	if rule.Failures, err = formCount(r, "quarantine_failures"); err != nil {
		return err
	}
	if rule.Of, err = formCount(r, "quarantine_of"); err != nil {
		return err
	}
	var projects []string
	if r.PostForm.Get("projects_access") == "allowed" {
		if projects, err = w.projectsNamed(r, r.PostForm.Get("projects")); err != nil {
			return err
		}
	}
	name := r.PathValue("type")
	_, err = w.o.Fleet.ChangeType(r.Context(), name, func(t *signalbox.AgentType) error {
		t.ReleaseAfter, t.LostAfter, t.Forks = release, lost, r.PostForm.Get("forks") == "true"
		t.MaxRunningJobs = most
		t.Lease, t.Quarantine, t.Ephemeral = lease, rule, r.PostForm.Get("ephemeral") == "true"
		t.Projects, t.ProjectIDs, t.Naming = signalbox.ProjectsAll, nil, signalbox.AgentNaming{}
		if r.PostForm.Get("projects_access") == "allowed" {
			t.Projects, t.ProjectIDs = signalbox.ProjectsAllowed, projects
		}
		if r.PostForm.Get("names") == "aws" {
			t.Naming = signalbox.AgentNaming{
				Origin: signalbox.NamesFromAWS, Account: strings.TrimSpace(r.PostForm.Get("account")), Roles: signalbox.ParseRoles(r.PostForm.Get("roles")),
			}
		}
		return nil
	}, route.ActorFrom(r.Context()).Name())
	if err != nil {
		return orNotFound(err, "agent type")
	}
	http.Redirect(rw, r, typesPath+url.PathEscape(name), http.StatusSeeOther)
	return nil
}

// projectsNamed finds projects by their names, with spaces, commas or line ends between them.
func (w *Web) projectsNamed(r *http.Request, text string) (ids []string, err error) {
	names := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
	err = w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		ids = nil
		all, err := tx.Projects()
		if err != nil {
			return err
		}
		known := map[string]string{}
		for _, p := range all {
			known[p.Name] = p.ID
		}
		for _, n := range names {
			if known[n] == "" {
				return signalbox.Errorf(signalbox.CodeInvalid, "There is no project %.100q", n)
			}
			ids = append(ids, known[n])
		}
		return nil
	})
	return ids, err
}

func (w *Web) postAgentTypeDelete(rw http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read")
	}
	if err := w.o.Fleet.DeleteType(r.Context(), r.PathValue("type"), r.PostForm.Get("force") == "true", route.ActorFrom(r.Context()).Name()); err != nil {
		return orNotFound(err, "agent type")
	}
	http.Redirect(rw, r, "/agents", http.StatusSeeOther)
	return nil
}
