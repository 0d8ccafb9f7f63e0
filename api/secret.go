package api

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/secret"
	"github.com/signalbox-ci/signalbox/store"
)

// secretRoutes are the same for the organization and for a project.
func (a *API) secretRoutes() []route.Route {
	if a.Secrets == nil {
		return nil
	}
	var out []route.Route
	for _, base := range []string{"/api/v1beta/secrets", "/api/v1/projects/{project}/secrets"} {
		add := func(method, rest string, p auth.Permission, h route.Handler) {
			out = append(out, route.Route{Pattern: method + " " + base + rest, Access: route.Needs(string(p)), Style: route.JSON, Handler: h})
		}
		add("GET", "", auth.SecretView, a.listSecrets)
		add("POST", "", auth.SecretManage, a.createSecret)
		add("GET", "/{secret}", auth.SecretView, a.showSecret)
		add("PATCH", "/{secret}", auth.SecretManage, a.updateSecret)
		add("DELETE", "/{secret}", auth.SecretManage, a.deleteSecret)
	}
	return append(out, route.Route{
		Pattern: "POST /api/v1alpha/master_key", Access: route.Needs(string(auth.SettingsManage)), Style: route.JSON, Handler: a.changeMasterKey,
	})
}

func secretNames(names []string) []map[string]string {
	out := []map[string]string{}
	for _, n := range names {
		out = append(out, map[string]string{"name": n})
	}
	return out
}

// secretBody is what clients send. Values are read into fields of their own kind at once, so nothing prints them by mistake.
type secretBody struct {
	Metadata struct {
		Name        *string `json:"name"`
		Description *string `json:"description"`
	} `json:"metadata"`
	Data *struct {
		EnvVars []struct {
			Name  string `json:"name"`
			Value hidden `json:"value"`
		} `json:"env_vars"`
		Files []struct {
			Path    string `json:"path"`
			Content hidden `json:"content"`
		} `json:"files"`
	} `json:"data"`
	OrgConfig *orgConfig `json:"org_config"`
}

type orgConfig struct {
	ProjectsAccess string   `json:"projects_access"`
	ProjectIDs     []string `json:"project_ids"`
	DebugAccess    string   `json:"debug_access"`
	AttachAccess   string   `json:"attach_access"`
}

type hidden struct{ signalbox.SecretValue }

func (h *hidden) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		return errors.New("a value is not a text")
	}
	h.SecretValue = signalbox.NewSecretValue(s)
	return nil
}

// maxSecretBody is enough for the largest secret in base64 with every byte escaped once.
const maxSecretBody = 3 * signalbox.MaxSecretSize

// readSecret reads a body. Errors of the decoder may quote what they stumbled over, so they are not passed on.
func readSecret(w http.ResponseWriter, r *http.Request) (b secretBody, err error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSecretBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return b, signalbox.Errorf(signalbox.CodeInvalid, "content is too big")
	case err != nil:
		return b, signalbox.Errorf(signalbox.CodeInvalid, "the request body could not be read")
	case len(raw) > 0 && json.Unmarshal(raw, &b) != nil:
		return b, signalbox.Errorf(signalbox.CodeInvalid, "the request body is not the JSON of a secret: metadata.name, data.env_vars with name and value, "+
			"data.files with path and content, all of them texts")
	}
	clear(raw)
	return b, nil
}

// content returns the data of a body; lists that are null are empty.
func (b *secretBody) content() (vars []signalbox.SecretVar, files []signalbox.SecretFile, err error) {
	if b.Data == nil {
		return nil, nil, nil
	}
	for _, v := range b.Data.EnvVars {
		vars = append(vars, signalbox.SecretVar{Name: v.Name, Value: v.Value.SecretValue})
	}
	for _, f := range b.Data.Files {
		raw, err := base64.StdEncoding.DecodeString(f.Content.Reveal())
		if err != nil {
			return nil, nil, signalbox.Errorf(signalbox.CodeInvalid, "the content of the file %.200q is not base64", f.Path)
		}
		files = append(files, signalbox.SecretFile{Path: f.Path, Content: signalbox.NewSecretValue(string(raw))})
	}
	return vars, files, nil
}

// access returns the rules of a body over those that there are.
func (c *orgConfig) access(was signalbox.SecretAccess) (signalbox.SecretAccess, error) {
	if c.ProjectsAccess != "" {
		was.Projects = signalbox.ProjectsAccess(c.ProjectsAccess)
		was.ProjectIDs = nil
	}
	if c.ProjectIDs != nil {
		was.ProjectIDs = c.ProjectIDs
	}
	for _, f := range []struct {
		what, given, yes, no string
		forbid               *bool
	}{
		{"debug_access", c.DebugAccess, "JOB_DEBUG_YES", "JOB_DEBUG_NO", &was.NoDebug},
		{"attach_access", c.AttachAccess, "JOB_ATTACH_YES", "JOB_ATTACH_NO", &was.NoAttach},
	} {
		switch f.given {
		case "":
		case f.yes, f.no:
			*f.forbid = f.given == f.no
		default:
			return was, signalbox.Errorf(signalbox.CodeInvalid, "%s %.40q is not known; use %s or %s", f.what, f.given, f.yes, f.no)
		}
	}
	return was, nil
}

// secretJSON describes a secret: names and paths, never values.
func secretJSON(tx *store.Tx, s *signalbox.Secret) (map[string]any, error) {
	v, err := tx.SecretVersion(s.ID, s.Version)
	if err != nil {
		return nil, err
	}
	vars, files := []map[string]string{}, []map[string]string{}
	for _, n := range v.EnvVars {
		vars = append(vars, map[string]string{"name": n, "value": ""})
	}
	for _, p := range v.Files {
		files = append(files, map[string]string{"path": p, "content": ""})
	}
	meta := map[string]any{
		"id": s.ID, "name": s.Name, "description": s.Description, "create_time": unixText(s.CreatedAt), "update_time": unixText(s.UpdatedAt),
		"checkout_at": unixText(s.UsedAt), "content_included": false,
	}
	out := map[string]any{"metadata": meta, "data": map[string]any{"env_vars": vars, "files": files}}
	if s.ProjectID != "" {
		meta["project_id_or_name"] = s.ProjectID
		return out, nil
	}
	word := map[bool]string{false: "YES", true: "NO"}
	out["org_config"] = map[string]any{
		"projects_access": string(s.Access.Projects), "project_ids": list(s.Access.ProjectIDs),
		"debug_access": "JOB_DEBUG_" + word[s.Access.NoDebug], "attach_access": "JOB_ATTACH_" + word[s.Access.NoAttach],
	}
	return out, nil
}

// secretScope returns the project of the path, "" for the organization.
func secretScope(tx *store.Tx, r *http.Request) (string, error) {
	name := r.PathValue("project")
	if name == "" {
		return "", nil
	}
	p, err := tx.FindProject(name)
	if err != nil {
		return "", err
	}
	return p.ID, nil
}

// findSecret returns the secret of the path, or the error that existing clients know.
func findSecret(tx *store.Tx, r *http.Request) (*signalbox.Secret, error) {
	scope, err := secretScope(tx, r)
	if err != nil {
		return nil, err
	}
	s, err := tx.FindSecret(scope, r.PathValue("secret"))
	if signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		return s, err
	}
	if scope != "" {
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "secret not found")
	}
	return nil, signalbox.Errorf(signalbox.CodeNotFound, "Secret %.100s not found", r.PathValue("secret"))
}

// maxSecrets is the page size of lists of secrets.
const maxSecrets = 100

func (a *API) listSecrets(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	byTime := false
	switch o := q.Get("order"); o {
	case "", "BY_NAME_ASC":
	case "BY_CREATE_TIME_ASC":
		byTime = true
	default:
		return signalbox.Errorf(signalbox.CodeInvalid, "order %.40q is not known; use BY_NAME_ASC or BY_CREATE_TIME_ASC", o)
	}
	limit, offset := maxSecrets, 0
	if n, _ := strconv.Atoi(q.Get("page_size")); n > maxSecrets {
		return signalbox.Errorf(signalbox.CodeInvalid, "Page size can't exceed %d", maxSecrets)
	} else if n > 0 {
		limit = n
	} else if official(r) {
		limit = maxPage // it never asks for a second page
	}
	if t := q.Get("page_token"); t != "" {
		n, err := strconv.Atoi(t)
		if err != nil || n < 0 {
			return signalbox.Errorf(signalbox.CodeInvalid, "page_token is not one that this server gave")
		}
		offset = n
	}
	out := []map[string]any{}
	if err := a.read(r, func(tx *store.Tx) error {
		scope, err := secretScope(tx, r)
		if err != nil {
			return err
		}
		all, err := tx.Secrets(scope, byTime, limit+1, offset)
		if err != nil {
			return err
		}
		for _, s := range all {
			b, err := secretJSON(tx, s)
			if err != nil {
				return err
			}
			out = append(out, b)
		}
		return nil
	}); err != nil {
		return err
	}
	next := ""
	if len(out) > limit {
		out, next = out[:limit], strconv.Itoa(offset+limit)
	}
	return write(w, map[string]any{"secrets": out, "next_page_token": next})
}

func (a *API) showSecret(w http.ResponseWriter, r *http.Request) error {
	var out map[string]any
	if err := a.read(r, func(tx *store.Tx) error {
		s, err := findSecret(tx, r)
		if err != nil {
			return err
		}
		out, err = secretJSON(tx, s)
		return err
	}); err != nil {
		return err
	}
	return write(w, out)
}

func (a *API) createSecret(w http.ResponseWriter, r *http.Request) error {
	b, err := readSecret(w, r)
	if err != nil {
		return err
	}
	s := &signalbox.Secret{}
	if b.Metadata.Name != nil {
		s.Name = *b.Metadata.Name
	}
	if b.Metadata.Description != nil {
		s.Description = *b.Metadata.Description
	}
	if s.EnvVars, s.Files, err = b.content(); err != nil {
		return err
	}
	if err := a.read(r, func(tx *store.Tx) (err error) { s.ProjectID, err = secretScope(tx, r); return err }); err != nil {
		return err
	}
	if s.ProjectID == "" && b.OrgConfig != nil {
		if s.Access, err = b.OrgConfig.access(signalbox.SecretAccess{Projects: signalbox.ProjectsAll}); err != nil {
			return err
		}
	}
	if err := a.Secrets.Create(r.Context(), s, actor(r)); err != nil {
		return badRequest(err)
	}
	return a.answerSecret(w, r, s.ID)
}

// badRequest is for a taken name, which existing clients know as a bad request.
func badRequest(err error) error {
	var e *signalbox.Error
	if errors.As(err, &e) && e.Code == signalbox.CodeConflict && e.Message == "name has already been taken" {
		return signalbox.Errorf(signalbox.CodeInvalid, "%s", e.Message)
	}
	return err
}

func (a *API) answerSecret(w http.ResponseWriter, r *http.Request, id string) error {
	var out map[string]any
	if err := a.read(r, func(tx *store.Tx) error {
		s, err := tx.Secret(id)
		if err != nil {
			return err
		}
		out, err = secretJSON(tx, s)
		return err
	}); err != nil {
		return err
	}
	return write(w, out)
}

// updateSecret changes what the body names. Data replaces the content as a whole, and an empty value keeps the one that
// there is, because answers hold no values that could be sent back.
func (a *API) updateSecret(w http.ResponseWriter, r *http.Request) error {
	b, err := readSecret(w, r)
	if err != nil {
		return err
	}
	var s *signalbox.Secret
	if err := a.read(r, func(tx *store.Tx) (err error) { s, err = findSecret(tx, r); return err }); err != nil {
		return err
	}
	c := secret.Change{Name: b.Metadata.Name, Description: b.Metadata.Description, Content: b.Data != nil}
	if c.EnvVars, c.Files, err = b.content(); err != nil {
		return err
	}
	if b.OrgConfig != nil && s.ProjectID == "" {
		access, err := b.OrgConfig.access(s.Access)
		if err != nil {
			return err
		}
		c.Access = &access
	}
	if _, err := a.Secrets.Update(r.Context(), s.ProjectID, s.ID, c, actor(r)); err != nil {
		return badRequest(err)
	}
	return a.answerSecret(w, r, s.ID)
}

func (a *API) deleteSecret(w http.ResponseWriter, r *http.Request) error {
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		s, err := findSecret(tx, r)
		if err != nil {
			return err
		}
		return tx.DeleteSecret(s.ID, actor(r))
	}); err != nil {
		return err
	}
	return write(w, struct{}{})
}

// changeMasterKey carries out one step of changing the master key.
func (a *API) changeMasterKey(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Step string `json:"step"`
	}
	if err := read(w, r, &in); err != nil {
		return err
	}
	var done secret.Rekeyed
	var err error
	switch in.Step {
	case "prepare":
		err = a.Secrets.Prepare()
	case "rekey":
		if done, err = a.Secrets.Rekey(r.Context()); err == nil {
			err = a.renewHooks(r)
		}
	case "forget":
		err = a.Secrets.Forget(r.Context())
	default:
		return signalbox.Errorf(signalbox.CodeInvalid, "step %.40q is not known; use prepare, rekey or forget", in.Step)
	}
	if err != nil {
		return err
	}
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		return tx.Record("server", "master-key", actor(r), in.Step, "")
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"keys": a.Secrets.Keys.Keys(), "sealed": done})
}

// renewHooks gives the hooks of local repositories tokens of the new master key.
func (a *API) renewHooks(r *http.Request) error {
	if !a.Projects.Hooks() {
		return nil
	}
	var all []*signalbox.Project
	if err := a.read(r, func(tx *store.Tx) (err error) { all, err = tx.Projects(); return err }); err != nil {
		return err
	}
	for _, p := range all {
		if p.GitDir == "" {
			continue
		}
		if err := a.Projects.InstallHook(r.Context(), p); err != nil {
			return signalbox.Errorf(signalbox.CodeInvalid, "everything is sealed with the new key, but the hook of project %s still has a token of the older one: %w", p.Name, err)
		}
	}
	return nil
}
