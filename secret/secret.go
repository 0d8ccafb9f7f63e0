// Package secret keeps the values of secrets: it encrypts each version of a secret, decides which secrets a job gets,
// opens them for the attempt that fetches the job, and tells the log what must not be in it. Values leave it in payloads
// only; a name, a rule or a version is all that histories and errors hold. The store never sees a value and the master key
// is never in the store.
package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// Options for New; both are required.
type Options struct {
	Store *store.Store
	Keys  *auth.Keyring
}

// Secrets seals and opens secrets. It may be used by many goroutines.
type Secrets struct{ Options }

// New returns the secrets in a store.
func New(o Options) (*Secrets, error) {
	if o.Store == nil || o.Keys == nil {
		return nil, errors.New("secret: a store and a key ring are needed")
	}
	return &Secrets{o}, nil
}

// content is what a version encrypts.
type content struct {
	EnvVars []signalbox.EnvVar `json:"env_vars,omitempty"`
	Files   []file             `json:"files,omitempty"`
}

type file struct {
	Path    string `json:"path"`
	Content []byte `json:"content"`
}

// place is the additional data of a version: what is moved to another row does not open.
func place(scope, id string, version int) string {
	where := "organization"
	if scope != "" {
		where = "project/" + scope
	}
	return fmt.Sprintf("secret/%s/%s/%d", where, id, version)
}

// scopeOf is where a secret belongs: a project, one of its deployment targets or, with "", the organization.
func scopeOf(s *signalbox.Secret) string {
	if s.TargetID != "" {
		return s.ProjectID + "/deployment-target/" + s.TargetID
	}
	return s.ProjectID
}

// seal encrypts what a secret holds as its next version.
func (x *Secrets) seal(s *signalbox.Secret, version int) (*signalbox.SecretVersion, error) {
	v := &signalbox.SecretVersion{SecretID: s.ID, Version: version}
	var c content
	for _, e := range s.EnvVars {
		v.EnvVars = append(v.EnvVars, e.Name)
		c.EnvVars = append(c.EnvVars, signalbox.EnvVar{Name: e.Name, Value: e.Value.Reveal()})
	}
	for _, f := range s.Files {
		v.Files = append(v.Files, f.Path)
		c.Files = append(c.Files, file{f.Path, []byte(f.Content.Reveal())})
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	v.Key, v.Data = x.Keys.SealEnvelope(plain, place(scopeOf(s), s.ID, version))
	return v, nil
}

// open decrypts a version.
func (x *Secrets) open(scope string, v *signalbox.SecretVersion) ([]signalbox.SecretVar, []signalbox.SecretFile, error) {
	plain, err := x.Keys.OpenEnvelope(v.Key, v.Data, place(scope, v.SecretID, v.Version))
	if err != nil {
		return nil, nil, fmt.Errorf("open version %d of secret %s: %w", v.Version, v.SecretID, err)
	}
	defer clear(plain)
	var c content
	if json.Unmarshal(plain, &c) != nil {
		return nil, nil, fmt.Errorf("version %d of secret %s is not what was sealed", v.Version, v.SecretID) // the cause may quote
	}
	var vars []signalbox.SecretVar
	for _, e := range c.EnvVars {
		vars = append(vars, signalbox.SecretVar{Name: e.Name, Value: signalbox.NewSecretValue(e.Value)})
	}
	var files []signalbox.SecretFile
	for _, f := range c.Files {
		files = append(files, signalbox.SecretFile{Path: f.Path, Content: signalbox.NewSecretValue(string(f.Content))})
	}
	return vars, files, nil
}

// Create stores a new secret. Somebody who deleted one of this name within the last minute gets it back instead, with its id
// and with the values and rules that s leaves empty: existing clients change a secret by deleting and creating it. A new
// secret without rules is for all projects.
func (x *Secrets) Create(ctx context.Context, s *signalbox.Secret, actor string) error {
	given, inherit := *s, s.Access.Projects == ""
	if inherit {
		given.Access.Projects = signalbox.ProjectsAll
	}
	if err := given.Validate(); err != nil {
		return err
	}
	return x.Store.Write(ctx, func(tx *store.Tx) error {
		*s = given
		old, err := tx.DeletedSecret(s.ProjectID, s.Name, actor, tx.Now.Add(-store.SecretKept))
		if err == nil {
			_, err = tx.FindSecret(s.ProjectID, s.Name) // taken meanwhile: creating says so
			if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
				return x.restore(tx, old, s, inherit, actor)
			}
		}
		if err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return err
		}
		s.ID = signalbox.NewID()
		v, err := x.seal(s, 1)
		if err != nil {
			return err
		}
		return tx.CreateSecret(s, v, actor)
	})
}

func (x *Secrets) restore(tx *store.Tx, old, s *signalbox.Secret, inherit bool, actor string) error {
	old, err := tx.LockSecret(old.ID)
	if err != nil {
		return err
	}
	s.ID, s.Version, s.CreatedAt, s.UsedAt, s.DeletedAt = old.ID, old.Version, old.CreatedAt, old.UsedAt, old.DeletedAt
	if inherit {
		s.Access = old.Access
	}
	if s.Description == "" {
		s.Description = old.Description
	}
	return x.write(tx, s, actor, "created again")
}

// write stores what a secret holds as its next version. Empty values are kept as they are where there are any.
func (x *Secrets) write(tx *store.Tx, s *signalbox.Secret, actor, detail string) error {
	now, err := tx.SecretVersion(s.ID, s.Version)
	if err != nil {
		return err
	}
	vars, files, err := x.open(scopeOf(s), now)
	if err != nil {
		return err
	}
	s.EnvVars, s.Files = slices.Clone(s.EnvVars), slices.Clone(s.Files)
	for i, e := range s.EnvVars {
		if j := slices.IndexFunc(vars, func(o signalbox.SecretVar) bool { return o.Name == e.Name }); j >= 0 && e.Value.Reveal() == "" {
			s.EnvVars[i].Value = vars[j].Value
		}
	}
	for i, f := range s.Files {
		if j := slices.IndexFunc(files, func(o signalbox.SecretFile) bool { return o.Path == f.Path }); j >= 0 && f.Content.Reveal() == "" {
			s.Files[i].Content = files[j].Content
		}
	}
	if err := s.Validate(); err != nil { // kept values count too
		return err
	}
	next, err := x.seal(s, s.Version+1)
	if err != nil {
		return err
	}
	return tx.UpdateSecret(s, next, actor, detail)
}

// Change says what to change of a secret; nil leaves things as they are.
type Change struct {
	Name        *string
	Description *string
	Access      *signalbox.SecretAccess
	// EnvVars and Files, together, replace the content; an empty value of a name that there is keeps that value.
	Content bool
	EnvVars []signalbox.SecretVar
	Files   []signalbox.SecretFile
}

// Update changes a secret of a project, or with "" of the organization.
func (x *Secrets) Update(ctx context.Context, projectID, idOrName string, c Change, actor string) (s *signalbox.Secret, err error) {
	err = x.Store.Write(ctx, func(tx *store.Tx) error {
		found, err := tx.FindSecret(projectID, idOrName)
		if err != nil {
			return err
		}
		if s, err = tx.LockSecret(found.ID); err != nil {
			return err
		}
		var what []string
		if c.Name != nil && *c.Name != s.Name {
			what = append(what, "name "+s.Name+" to "+*c.Name)
			s.Name = *c.Name
		}
		if c.Description != nil && *c.Description != s.Description {
			what = append(what, "description")
			s.Description = *c.Description
		}
		if c.Access != nil {
			what = append(what, accessChanges(s.Access, *c.Access)...)
			s.Access = *c.Access
		}
		if c.Content {
			what = append(what, "content")
			s.EnvVars, s.Files = c.EnvVars, c.Files
		}
		if err := s.Validate(); err != nil {
			return err
		}
		switch {
		case len(what) == 0:
			return nil
		case c.Content:
			return x.write(tx, s, actor, strings.Join(what, ", "))
		}
		return tx.UpdateSecret(s, nil, actor, strings.Join(what, ", "))
	})
	return s, err
}

// accessChanges says what differs between two rules.
func accessChanges(was, is signalbox.SecretAccess) (what []string) {
	flag := map[bool]string{false: "allowed", true: "forbidden"}
	if was.Projects != is.Projects || !slices.Equal(was.ProjectIDs, is.ProjectIDs) {
		what = append(what, fmt.Sprintf("projects %s %v to %s %v", was.Projects, was.ProjectIDs, is.Projects, is.ProjectIDs))
	}
	if was.NoDebug != is.NoDebug {
		what = append(what, "debug "+flag[was.NoDebug]+" to "+flag[is.NoDebug])
	}
	if was.NoAttach != is.NoAttach {
		what = append(what, "attach "+flag[was.NoAttach]+" to "+flag[is.NoAttach])
	}
	return what
}
