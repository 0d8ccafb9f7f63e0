package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

type agentTypeBody struct {
	Metadata struct {
		Name       string `json:"name"`
		CreateTime int64  `json:"create_time"`
		UpdateTime int64  `json:"update_time"`
	} `json:"metadata"`
	Spec struct {
		AgentNameSettings *agentNames `json:"agent_name_settings"`
		LostAfter         *int64      `json:"lost_after"` // seconds, 0 is the default
		ProjectsAccess    *string     `json:"projects_access"`
		Projects          []string    `json:"projects"` // names or ids in requests, names in answers
		Forks             *bool       `json:"forks"`
		MaxRunningJobs    *int        `json:"max_running_jobs"` // 0 is no limit
		Quarantine        *quarantine `json:"quarantine"`
		Lease             *int64      `json:"lease"` // seconds, 0 is none
		Ephemeral         *bool       `json:"ephemeral"`
	} `json:"spec"`
	Status struct {
		TotalAgentCount   int    `json:"total_agent_count"`
		RegistrationToken string `json:"registration_token,omitempty"`
	} `json:"status"`
}

// quarantine says after how many failures of how many jobs an agent is set aside; 0 of 0 is never.
type quarantine struct {
	Failures int `json:"failures"`
	Of       int `json:"of"`
}

type agentNames struct {
	AssignmentOrigin string    `json:"assignment_origin"`
	ReleaseAfter     int64     `json:"release_after"`
	AWS              *awsNames `json:"aws"`
}

type awsNames struct {
	AccountID        string `json:"account_id"`
	RoleNamePatterns string `json:"role_name_patterns"`
}

const (
	originAgent = "assignment_origin_agent"
	originAWS   = "assignment_origin_aws_sts"
)

func agentType(t *signalbox.AgentType, agents int, projects map[string]string) agentTypeBody {
	var b agentTypeBody
	b.Metadata.Name, b.Metadata.CreateTime, b.Metadata.UpdateTime = t.Name, unix(t.CreatedAt), unix(t.UpdatedAt)
	names := &agentNames{AssignmentOrigin: originAgent, ReleaseAfter: int64(t.ReleaseAfter / time.Second)}
	if t.Naming.Origin == signalbox.NamesFromAWS {
		names.AssignmentOrigin = originAWS
		names.AWS = &awsNames{AccountID: t.Naming.Account, RoleNamePatterns: strings.Join(t.Naming.Roles, ",")}
	}
	lost, access, forks, most := int64(t.LostAfter/time.Second), string(t.Projects), t.Forks, t.MaxRunningJobs
	b.Spec.AgentNameSettings, b.Spec.LostAfter, b.Spec.ProjectsAccess, b.Spec.Forks = names, &lost, &access, &forks
	b.Spec.MaxRunningJobs = &most
	lease, ephemeral := int64(t.Lease/time.Second), t.Ephemeral
	b.Spec.Quarantine, b.Spec.Lease, b.Spec.Ephemeral = &quarantine{t.Quarantine.Failures, t.Quarantine.Of}, &lease, &ephemeral
	b.Spec.Projects = []string{}
	for _, id := range t.ProjectIDs {
		name := projects[id]
		if name == "" {
			name = id // a project that is gone
		}
		b.Spec.Projects = append(b.Spec.Projects, name)
	}
	b.Status.TotalAgentCount = agents
	return b
}

// projectNames returns the names of all projects by id.
func projectNames(tx *store.Tx) (map[string]string, error) {
	all, err := tx.Projects()
	out := make(map[string]string, len(all))
	for _, p := range all {
		out[p.ID] = p.Name
	}
	return out, err
}

// agentTypeBodies reads what answers say of some types.
func agentTypeBodies(tx *store.Tx, types ...*signalbox.AgentType) ([]agentTypeBody, error) {
	counts, err := tx.AgentCounts()
	if err != nil {
		return nil, err
	}
	projects, err := projectNames(tx)
	if err != nil {
		return nil, err
	}
	out := make([]agentTypeBody, 0, len(types))
	for _, t := range types {
		out = append(out, agentType(t, counts[t.ID], projects))
	}
	return out, nil
}

// writeAgentType answers with a type as it is stored now, and with a token that is shown this once.
func (a *API) writeAgentType(w http.ResponseWriter, r *http.Request, name, token string) error {
	var out []agentTypeBody
	if err := a.read(r, func(tx *store.Tx) error {
		t, err := tx.AgentType(name)
		if err != nil {
			return err
		}
		out, err = agentTypeBodies(tx, t)
		return err
	}); err != nil {
		return err
	}
	out[0].Status.RegistrationToken = token
	return write(w, out[0])
}

func (a *API) listAgentTypes(w http.ResponseWriter, r *http.Request) error {
	var out []agentTypeBody
	if err := a.read(r, func(tx *store.Tx) error {
		all, err := tx.AgentTypes()
		if err != nil {
			return err
		}
		out, err = agentTypeBodies(tx, all...)
		return err
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"agent_types": out})
}

// secondsOf refuses what does not fit a duration.
func secondsOf(what string, n int64) (time.Duration, error) {
	const most = 100 * 365 * 24 * 3600
	if n < 0 || n > most {
		return 0, signalbox.Errorf(signalbox.CodeInvalid, "%s must be a number of seconds of 0 or more, not %d", what, n)
	}
	return time.Duration(n) * time.Second, nil
}

// apply writes what a request names into an agent type. The settings of names are replaced as a whole.
func (in *agentTypeBody) apply(t *signalbox.AgentType, projects []string) error {
	if s := in.Spec.AgentNameSettings; s != nil {
		if s.ReleaseAfter < 0 || s.ReleaseAfter > int64(signalbox.MaxReleaseAfter/time.Second) {
			s.ReleaseAfter = 1 // which is refused with the limits
		}
		t.ReleaseAfter = time.Duration(s.ReleaseAfter) * time.Second
		if err := s.naming(&t.Naming); err != nil {
			return err
		}
	}
	if in.Spec.LostAfter != nil {
		d, err := secondsOf("lost_after", *in.Spec.LostAfter)
		if err != nil {
			return err
		}
		t.LostAfter = d
	}
	if in.Spec.Projects != nil {
		t.ProjectIDs = projects
	}
	if in.Spec.ProjectsAccess != nil {
		t.Projects = signalbox.ProjectsAccess(strings.ToUpper(*in.Spec.ProjectsAccess))
		if t.Projects == signalbox.ProjectsAll && len(in.Spec.Projects) == 0 {
			t.ProjectIDs = nil
		}
	}
	if in.Spec.Forks != nil {
		t.Forks = *in.Spec.Forks
	}
	if q := in.Spec.Quarantine; q != nil {
		t.Quarantine = signalbox.QuarantineRule{Failures: q.Failures, Of: q.Of}
	}
	if in.Spec.Lease != nil {
		d, err := secondsOf("lease", *in.Spec.Lease)
		if err != nil {
			return err
		}
		t.Lease = d
	}
	if in.Spec.Ephemeral != nil {
		t.Ephemeral = *in.Spec.Ephemeral
	}
	return setLimit(&t.MaxRunningJobs, in.Spec.MaxRunningJobs)
}

func (s *agentNames) naming(n *signalbox.AgentNaming) error {
	aws := awsNames{}
	if s.AWS != nil {
		aws = *s.AWS
	}
	*n = signalbox.AgentNaming{Account: strings.TrimSpace(aws.AccountID), Roles: signalbox.ParseRoles(aws.RoleNamePatterns)}
	switch strings.ToLower(s.AssignmentOrigin) {
	case "", originAgent:
	case originAWS:
		n.Origin = signalbox.NamesFromAWS
	default:
		return signalbox.Errorf(signalbox.CodeInvalid, "assignment_origin %.60q is not known; use %s or %s", s.AssignmentOrigin, originAgent, originAWS)
	}
	return nil
}

// projectIDs finds the projects that a request names, by id or name.
func (a *API) projectIDs(r *http.Request, names []string) (ids []string, err error) {
	err = a.read(r, func(tx *store.Tx) error {
		ids = nil
		if len(names) == 0 {
			return nil
		}
		byID, err := projectNames(tx)
		if err != nil {
			return err
		}
		byName := map[string]string{}
		for id, name := range byID {
			byName[name] = id
		}
		for _, n := range names {
			id := byName[n]
			if byID[n] != "" {
				id = n
			}
			if id == "" {
				return signalbox.Errorf(signalbox.CodeInvalid, "there is no project %.100q", n)
			}
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

func (a *API) createAgentType(w http.ResponseWriter, r *http.Request) error {
	var in agentTypeBody
	if err := read(w, r, &in); err != nil {
		return err
	}
	t := &signalbox.AgentType{Name: strings.TrimSpace(in.Metadata.Name), Quarantine: signalbox.DefaultQuarantine}
	projects, err := a.projectIDs(r, in.Spec.Projects)
	if err != nil {
		return err
	}
	if err := in.apply(t, projects); err != nil {
		return err
	}
	token, err := a.Fleet.CreateType(r.Context(), t, actor(r))
	if err != nil {
		return err
	}
	return a.writeAgentType(w, r, t.Name, token)
}

func (a *API) showAgentType(w http.ResponseWriter, r *http.Request) error {
	return a.writeAgentType(w, r, r.PathValue("type"), "")
}

func (a *API) updateAgentType(w http.ResponseWriter, r *http.Request) error {
	var in agentTypeBody
	if err := read(w, r, &in); err != nil {
		return err
	}
	name := r.PathValue("type")
	if n := strings.TrimSpace(in.Metadata.Name); n != "" && n != name {
		return signalbox.Errorf(signalbox.CodeInvalid, "an agent type cannot be renamed: the path says %.100s, metadata.name says %.100s", name, n)
	}
	projects, err := a.projectIDs(r, in.Spec.Projects)
	if err != nil {
		return err
	}
	if _, err := a.Fleet.ChangeType(r.Context(), name, func(t *signalbox.AgentType) error { return in.apply(t, projects) }, actor(r)); err != nil {
		return err
	}
	return a.writeAgentType(w, r, name, "")
}

func (a *API) deleteAgentType(w http.ResponseWriter, r *http.Request) error {
	force, err := boolean(r.URL.Query().Get("force"), "force", false)
	if err != nil {
		return err
	}
	if err := a.Fleet.DeleteType(r.Context(), r.PathValue("type"), force, actor(r)); err != nil {
		return err
	}
	return write(w, struct{}{})
}

// boolean reads a parameter that may be missing.
func boolean(text, name string, otherwise bool) (bool, error) {
	switch text {
	case "":
		return otherwise, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, signalbox.Errorf(signalbox.CodeInvalid, "Invalid '%s': '%.40s' is not a boolean.", name, text)
}

// booleanJSON is boolean for a value that may be true, "true" and the like.
func booleanJSON(v json.RawMessage, name string, otherwise bool) (bool, error) {
	text := string(v)
	if unquoted, err := strconv.Unquote(text); err == nil {
		text = unquoted
	}
	if text == "null" {
		text = ""
	}
	return boolean(text, name, otherwise)
}
