package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// maxFound is how many results the jump-to box and the search page show.
const maxFound = 20

// found is one result of a search.
type found struct {
	Icon, Kind, Name, Detail, URL string
}

type searchBody struct {
	Query string
	Found []found
}

func (w *Web) getSearch(rw http.ResponseWriter, r *http.Request) error {
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	if len(query) > 200 {
		return signalbox.Errorf(signalbox.CodeInvalid, "A search has at most 200 characters")
	}
	b := searchBody{Query: query}
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) (err error) {
		if b.Found, err = search(r, tx, query); err != nil {
			return err
		}
		s, err = w.shell(r, tx)
		return err
	})
	if err != nil {
		return err
	}
	if r.URL.Query().Get("part") == "list" {
		return w.part(rw, "found", b.Found)
	}
	s.Title, s.Script, s.Jump = "Search", "page", query
	return w.render(rw, http.StatusOK, "search", s, b)
}

// places are pages that have a name of their own.
var places = []struct {
	name, url string
	needs     auth.Permission
}{
	{"Home", "/", auth.ProjectView},
	{"Projects", "/projects", auth.ProjectView},
	{"Needs attention", "/?dashboard=needs-attention", auth.ProjectView},
	{"Activity", "/activity", auth.JobView},
	{"Queue", "/activity?tab=queue", auth.JobView},
	{"Agents", "/agents", auth.AgentView},
	{"Usage of agents", usagesPath, auth.AgentView},
	{"Refused registrations", "/agents/refused", auth.AgentTypeManage},
	{"People", peoplePath, auth.UserManage},
	{"Your account", accountPath, auth.ProjectView},
	{"Settings", settingsPath, auth.SettingsManage},
}

// search finds what somebody may want to go to: the exact first, then what begins with the words, then what holds them.
func search(r *http.Request, tx *store.Tx, query string) ([]found, error) {
	if query == "" {
		return nil, nil
	}
	var out []found
	words := strings.ToLower(query)
	holds := func(name string) bool { return strings.Contains(strings.ToLower(name), words) }
	if may(r, auth.ProjectView) {
		// The project of just that name is found whatever else holds it.
		projects, err := tx.FindProjects(store.ProjectFilter{Words: words, Limit: 5 * maxFound})
		if err != nil {
			return nil, err
		}
		exact, err := tx.FindProject(query)
		if err == nil && !slices.ContainsFunc(projects, func(p *signalbox.Project) bool { return p.ID == exact.ID }) {
			projects = append(projects, exact)
		}
		if err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return nil, err
		}
		for _, p := range projects {
			if holds(p.Name) || p == exact {
				out = append(out, found{"repo", "Project", p.Name, clip(signalbox.WithoutPassword(p.GitURL), 80), "/projects/" + p.Name})
			}
		}
	}
	if may(r, auth.WorkflowView) {
		workflows, err := tx.FindWorkflows(query, maxFound)
		if err != nil {
			return nil, err
		}
		for _, wf := range workflows {
			out = append(out, found{refIcon(&wf.Workflow), "Workflow", titleOf(wf.CommitMessage), wf.Project + " · " + clip(wf.Label, 60) + " · " + shortSHA(wf.CommitSHA), "/workflows/" + wf.ID})
		}
	}
	if may(r, auth.JobView) && len(query) == 36 {
		j, err := tx.Job(query)
		if err == nil {
			out = append(out, found{"term", "Job", clip(j.Name, 80), j.ID, "/jobs/" + j.ID})
		} else if signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return nil, err
		}
	}
	if may(r, auth.AgentView) {
		types, err := tx.AgentTypes()
		if err != nil {
			return nil, err
		}
		for _, t := range types {
			if holds(t.Name) {
				out = append(out, found{"server", "Agent type", t.Name, "", typesPath + t.Name})
			}
		}
		agents, err := tx.FindAgents(words, maxFound)
		if err != nil {
			return nil, err
		}
		for _, a := range agents {
			out = append(out, found{"server", "Agent", clip(a.Name, 80), a.AgentType, typesPath + a.AgentType + "?q=" + a.Name})
		}
	}
	for _, p := range places {
		if holds(p.name) && may(r, p.needs) {
			out = append(out, found{"link", "Page", p.name, "", p.url})
		}
	}
	return rankFound(out, words), nil
}

// rankFound puts what is called so first, then what begins so, and keeps the rest in the order in which it was found.
func rankFound(all []found, words string) []found {
	var parts [3][]found
	for _, f := range all {
		name := strings.ToLower(f.Name)
		switch {
		case name == words:
			parts[0] = append(parts[0], f)
		case strings.HasPrefix(name, words):
			parts[1] = append(parts[1], f)
		default:
			parts[2] = append(parts[2], f)
		}
	}
	out := append(append(parts[0], parts[1]...), parts[2]...)
	return out[:min(len(out), maxFound)]
}
