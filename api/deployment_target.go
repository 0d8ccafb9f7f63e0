package api

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/secret"
	"github.com/signalbox-ci/signalbox/store"
)

func (a *API) deploymentTargetRoutes() []route.Route {
	if a.Secrets == nil {
		return nil
	}
	const base = "/api/v1alpha/deployment_targets"
	r := func(pattern string, p auth.Permission, h route.Handler) route.Route {
		return route.Route{Pattern: pattern, Access: route.Needs(string(p)), Style: route.JSON, Handler: h}
	}
	return []route.Route{
		r("GET "+base, auth.DeploymentTargetView, a.listDeploymentTargets),
		r("POST "+base, auth.DeploymentTargetManage, a.createDeploymentTarget),
		r("GET "+base+"/{target}", auth.DeploymentTargetView, a.showDeploymentTarget),
		r("PATCH "+base+"/{target}", auth.DeploymentTargetManage, a.updateDeploymentTarget),
		r("DELETE "+base+"/{target}", auth.DeploymentTargetManage, a.deleteDeploymentTarget),
		r("PATCH "+base+"/{target}/activate", auth.DeploymentTargetManage, a.cordonDeploymentTarget(false)),
		r("PATCH "+base+"/{target}/deactivate", auth.DeploymentTargetManage, a.cordonDeploymentTarget(true)),
		r("GET "+base+"/{target}/history", auth.DeploymentTargetView, a.listDeployments),
	}
}

// deploymentTargetBody is what clients send. What they send beside it (id, state, active, times) says nothing.
type deploymentTargetBody struct {
	Name        *string        `json:"name"`
	Description *string        `json:"description"`
	URL         *string        `json:"url"`
	ProjectID   string         `json:"project_id"`
	Bookmark1   *string        `json:"bookmark_parameter1"`
	Bookmark2   *string        `json:"bookmark_parameter2"`
	Bookmark3   *string        `json:"bookmark_parameter3"`
	Subjects    *[]subjectBody `json:"subject_rules"`
	Objects     *[]objectBody  `json:"object_rules"`
	EnvVars     *[]targetVar   `json:"env_vars"`
	Files       *[]targetFile  `json:"files"`
	Token       string         `json:"unique_token"`
}

type subjectBody struct {
	Type     string `json:"type"`
	ID       string `json:"subject_id"`
	GitLogin string `json:"git_login,omitempty"`
}

type objectBody struct {
	Type    string `json:"type"`
	Mode    string `json:"match_mode"`
	Pattern string `json:"pattern"`
}

type targetVar struct {
	Name  string `json:"name"`
	Value hidden `json:"value"`
}

type targetFile struct {
	Path    string `json:"path"`
	Content hidden `json:"content"`
}

// readDeploymentTarget reads a body. Errors of the decoder may quote what they stumbled over, so they are not passed on.
func readDeploymentTarget(w http.ResponseWriter, r *http.Request) (b deploymentTargetBody, err error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSecretBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return b, signalbox.Errorf(signalbox.CodeInvalid, "content is too big")
	case err != nil:
		return b, signalbox.Errorf(signalbox.CodeInvalid, "the request body could not be read")
	case len(raw) > 0 && json.Unmarshal(raw, &b) != nil:
		return b, signalbox.Errorf(signalbox.CodeInvalid, "the request body is not the JSON of a deployment target: texts name, description and url; "+
			"subject_rules with type and subject_id; object_rules with type, match_mode and pattern; env_vars with name and value; files with path and content")
	}
	clear(raw)
	if b.Token == "" {
		b.Token = r.URL.Query().Get("unique_token")
	}
	return b, nil
}

func needsToken(token string) error {
	if !signalbox.IsID(token) {
		return signalbox.Errorf(signalbox.CodeInvalid, "unique_token must be a valid UUID")
	}
	return nil
}

// subjects returns the rules of a body, nil when it has none.
func (b *deploymentTargetBody) subjects() []signalbox.SubjectRule {
	if b.Subjects == nil {
		return nil
	}
	out := []signalbox.SubjectRule{}
	for _, r := range *b.Subjects {
		rule := signalbox.SubjectRule{Type: signalbox.SubjectType(r.Type)}
		switch rule.Type {
		case signalbox.SubjectUser, signalbox.SubjectRole, signalbox.SubjectGroup:
			if rule.ID = r.ID; rule.ID == "" {
				rule.ID = r.GitLogin
			}
		case signalbox.SubjectAny, signalbox.SubjectAuto:
		}
		out = append(out, rule)
	}
	return out
}

func (b *deploymentTargetBody) objects() []signalbox.ObjectRule {
	if b.Objects == nil {
		return nil
	}
	out := []signalbox.ObjectRule{}
	for _, r := range *b.Objects {
		rule := signalbox.ObjectRule{Type: signalbox.ObjectType(r.Type), Match: signalbox.MatchMode(r.Mode), Pattern: r.Pattern}
		if rule.Match == signalbox.MatchAll {
			rule.Pattern = ""
		}
		out = append(out, rule)
	}
	return out
}

func (b *deploymentTargetBody) content() (vars []signalbox.SecretVar, files []signalbox.SecretFile, err error) {
	if b.EnvVars != nil {
		for _, v := range *b.EnvVars {
			vars = append(vars, signalbox.SecretVar{Name: v.Name, Value: v.Value.SecretValue})
		}
	}
	if b.Files != nil {
		for _, f := range *b.Files {
			raw, err := base64.StdEncoding.DecodeString(f.Content.Reveal())
			if err != nil {
				return nil, nil, signalbox.Errorf(signalbox.CodeInvalid, "the content of the file %.200q is not base64", f.Path)
			}
			files = append(files, signalbox.SecretFile{Path: f.Path, Content: signalbox.NewSecretValue(string(raw))})
		}
	}
	return vars, files, nil
}

// isoStamp is the time format of deployment targets, null for what has not happened.
func isoStamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// logins returns the names of the users that rules name, by id.
func logins(tx *store.Tx, all ...*signalbox.DeploymentTarget) (map[string]string, error) {
	named := false
	for _, d := range all {
		for _, r := range d.Subjects {
			named = named || r.Type == signalbox.SubjectUser
		}
	}
	out := map[string]string{}
	if !named {
		return out, nil
	}
	users, err := tx.Users()
	for _, u := range users {
		out[u.ID] = u.Name
	}
	return out, err
}

func (a *API) deploymentTarget(d *signalbox.DeploymentTarget, last *signalbox.Deployment, names map[string]string) map[string]any {
	subjects, objects := []subjectBody{}, []objectBody{}
	for _, r := range d.Subjects {
		s := subjectBody{Type: string(r.Type), ID: r.ID}
		if r.Type == signalbox.SubjectUser {
			s.GitLogin = names[r.ID]
		}
		subjects = append(subjects, s)
	}
	for _, r := range d.Objects {
		objects = append(objects, objectBody{string(r.Type), string(r.Match), r.Pattern})
	}
	out := map[string]any{
		"id": d.ID, "name": d.Name, "description": d.Description, "url": d.URL, "project_id": d.ProjectID, "organization_id": a.OrganizationID,
		"created_by": d.CreatedBy, "created_at": isoStamp(d.CreatedAt), "updated_by": d.UpdatedBy, "updated_at": isoStamp(d.UpdatedAt),
		"state": string(d.State()), "state_message": "", "active": !d.Cordoned, "subject_rules": subjects, "object_rules": objects,
		"last_deployment": nil, "bookmark_parameter1": d.Bookmarks[0], "bookmark_parameter2": d.Bookmarks[1], "bookmark_parameter3": d.Bookmarks[2],
	}
	if last != nil {
		out["last_deployment"] = deploymentJSON(last)
	}
	return out
}

// findDeploymentTarget returns the target of the path.
func findDeploymentTarget(tx *store.Tx, r *http.Request) (*signalbox.DeploymentTarget, error) {
	id := r.PathValue("target")
	if !signalbox.IsID(id) {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "deployment target ID must be a valid UUID")
	}
	d, err := tx.DeploymentTarget(id)
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound || err == nil && !d.DeletedAt.IsZero() {
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "Deployment target not found")
	}
	return d, err
}

func (a *API) listDeploymentTargets(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	name := q.Get("target_name")
	if q.Has("target_name") && (name == "" || len(name) > 255) {
		return signalbox.Errorf(signalbox.CodeInvalid, "target_name must have from 1 to 255 characters")
	}
	out := []map[string]any{}
	if err := a.read(r, func(tx *store.Tx) error {
		if q.Get("project_id") == "" {
			return signalbox.Errorf(signalbox.CodeNotFound, "Project not found")
		}
		p, err := tx.FindProject(q.Get("project_id"))
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
			return signalbox.Errorf(signalbox.CodeNotFound, "Project not found")
		}
		if err != nil {
			return err
		}
		all, err := tx.DeploymentTargets(p.ID)
		if err != nil {
			return err
		}
		last, err := tx.LastDeployments(p.ID)
		if err != nil {
			return err
		}
		names, err := logins(tx, all...)
		for _, d := range all {
			if name == "" || d.Name == name {
				out = append(out, a.deploymentTarget(d, last[d.ID], names))
			}
		}
		return err
	}); err != nil {
		return err
	}
	return write(w, out)
}

// answerDeploymentTarget writes a target as it stands, with the fingerprints of what it hands out if they are asked for.
func (a *API) answerDeploymentTarget(w http.ResponseWriter, r *http.Request, find func(*store.Tx) (*signalbox.DeploymentTarget, error), secrets bool) error {
	var out map[string]any
	if err := a.read(r, func(tx *store.Tx) error {
		d, err := find(tx)
		if err != nil {
			return err
		}
		last, err := tx.LastDeployments(d.ProjectID)
		if err != nil {
			return err
		}
		names, err := logins(tx, d)
		if err != nil {
			return err
		}
		out = a.deploymentTarget(d, last[d.ID], names)
		if !secrets {
			return nil
		}
		vars, files, err := a.Secrets.Fingerprints(tx, d)
		env, paths := []map[string]string{}, []map[string]string{}
		for _, v := range vars {
			env = append(env, map[string]string{"name": v.Name, "value": v.Value})
		}
		for _, f := range files {
			paths = append(paths, map[string]string{"path": f.Name, "content": f.Value})
		}
		out["env_vars"], out["files"] = env, paths
		return err
	}); err != nil {
		return err
	}
	return write(w, out)
}

func (a *API) showDeploymentTarget(w http.ResponseWriter, r *http.Request) error {
	secrets := r.URL.Query().Get("include_secrets") == "true"
	if u := route.ActorFrom(r.Context()).User; secrets && (u == nil || !auth.Can(u.Role, auth.DeploymentTargetManage)) {
		return signalbox.Errorf(signalbox.CodeForbidden, "Permission denied")
	}
	return a.answerDeploymentTarget(w, r, func(tx *store.Tx) (*signalbox.DeploymentTarget, error) { return findDeploymentTarget(tx, r) }, secrets)
}

func (a *API) createDeploymentTarget(w http.ResponseWriter, r *http.Request) error {
	b, err := readDeploymentTarget(w, r)
	switch {
	case err != nil:
		return err
	case b.Token == "" || b.Name == nil || *b.Name == "" || b.ProjectID == "":
		return signalbox.Errorf(signalbox.CodeInvalid, "unique_token, name and project_id are required to create a deployment target")
	}
	if err := needsToken(b.Token); err != nil {
		return err
	}
	who := route.ActorFrom(r.Context())
	d := &signalbox.DeploymentTarget{Subjects: b.subjects(), Objects: b.objects(), CreatedBy: who.User.Name, UpdatedBy: who.User.Name}
	if d.Subjects == nil {
		d.Subjects = signalbox.AnySubject()
	}
	if d.Objects == nil {
		d.Objects = signalbox.AnyObject()
	}
	for to, from := range map[*string]*string{
		&d.Name: b.Name, &d.Description: b.Description, &d.URL: b.URL, &d.Bookmarks[0]: b.Bookmark1, &d.Bookmarks[1]: b.Bookmark2, &d.Bookmarks[2]: b.Bookmark3,
	} {
		if from != nil {
			*to = *from
		}
	}
	if err := a.read(r, func(tx *store.Tx) error {
		p, err := tx.FindProject(b.ProjectID)
		if err == nil {
			d.ProjectID = p.ID
		}
		return err
	}); err != nil {
		return err
	}
	vars, files, err := b.content()
	if err != nil {
		return err
	}
	if err := a.Secrets.CreateTarget(r.Context(), d, vars, files, b.Token, who.Name()); err != nil {
		return takenIsInvalid(err)
	}
	return a.answerDeploymentTarget(w, r, func(tx *store.Tx) (*signalbox.DeploymentTarget, error) { return tx.DeploymentTarget(d.ID) }, false)
}

// takenIsInvalid is for a taken name, which existing clients know as a bad request.
func takenIsInvalid(err error) error {
	if signalbox.ErrorCode(err) == signalbox.CodeConflict {
		return signalbox.Errorf(signalbox.CodeInvalid, "%s", signalbox.ErrorMessage(err))
	}
	return err
}

func (a *API) updateDeploymentTarget(w http.ResponseWriter, r *http.Request) error {
	b, err := readDeploymentTarget(w, r)
	if err != nil {
		return err
	}
	if err := needsToken(b.Token); err != nil {
		return err
	}
	var d *signalbox.DeploymentTarget
	if err := a.read(r, func(tx *store.Tx) (err error) { d, err = findDeploymentTarget(tx, r); return err }); err != nil {
		return err
	}
	c := secret.TargetChange{
		Name: b.Name, Description: b.Description, URL: b.URL, Bookmarks: [3]*string{b.Bookmark1, b.Bookmark2, b.Bookmark3},
		Subjects: b.subjects(), Objects: b.objects(), Content: b.EnvVars != nil || b.Files != nil,
	}
	if c.EnvVars, c.Files, err = b.content(); err != nil {
		return err
	}
	who := route.ActorFrom(r.Context())
	if _, err := a.Secrets.UpdateTarget(r.Context(), d.ID, c, who.User.Name, who.Name()); err != nil {
		return takenIsInvalid(err)
	}
	return a.answerDeploymentTarget(w, r, func(tx *store.Tx) (*signalbox.DeploymentTarget, error) { return tx.DeploymentTarget(d.ID) }, false)
}

func (a *API) deleteDeploymentTarget(w http.ResponseWriter, r *http.Request) error {
	token, id := r.URL.Query().Get("unique_token"), r.PathValue("target")
	if err := needsToken(token); err != nil {
		return err
	}
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		if again, err := tx.DeletedDeploymentTarget(id, token); err != nil || again {
			return err
		}
		d, err := findDeploymentTarget(tx, r)
		if err != nil {
			return err
		}
		return tx.DeleteDeploymentTarget(d, token, actor(r))
	}); err != nil {
		return err
	}
	return write(w, map[string]string{"target_id": id})
}

// cordonDeploymentTarget lets nobody promote to a target, or lets them again. Doing it twice is doing it once.
func (a *API) cordonDeploymentTarget(cordoned bool) route.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var d *signalbox.DeploymentTarget
		if err := a.read(r, func(tx *store.Tx) (err error) { d, err = findDeploymentTarget(tx, r); return err }); err != nil {
			return err
		}
		who := route.ActorFrom(r.Context())
		d, err := a.Secrets.UpdateTarget(r.Context(), d.ID, secret.TargetChange{Cordoned: &cordoned}, who.User.Name, who.Name())
		if err != nil {
			return err
		}
		return write(w, map[string]any{"target_id": d.ID, "cordoned": d.Cordoned})
	}
}
