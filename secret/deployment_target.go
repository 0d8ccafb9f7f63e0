package secret

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// CreateTarget stores a deployment target and what it hands to jobs. A token that made one before gives that one again.
func (x *Secrets) CreateTarget(ctx context.Context, d *signalbox.DeploymentTarget, vars []signalbox.SecretVar, files []signalbox.SecretFile, token, actor string) error {
	given := *d
	if err := given.Validate(); err != nil {
		return err
	}
	if slices.ContainsFunc(vars, func(v signalbox.SecretVar) bool { return v.Keep }) || slices.ContainsFunc(files, func(f signalbox.SecretFile) bool { return f.Keep }) {
		return signalbox.Errorf(signalbox.CodeInvalid, "a new deployment target has no values to keep")
	}
	return x.Store.Write(ctx, func(tx *store.Tx) error {
		*d = given
		switch old, err := tx.DeploymentTargetOf(d.ProjectID, token); {
		case err == nil:
			*d = *old
			return nil
		case signalbox.ErrorCode(err) != signalbox.CodeNotFound:
			return err
		}
		if err := knownSubjects(tx, d); err != nil {
			return err
		}
		d.ID, d.SecretID = signalbox.NewID(), signalbox.NewID()
		s := &signalbox.Secret{
			ID: d.SecretID, ProjectID: d.ProjectID, TargetID: d.ID, Name: signalbox.TargetSecretName(d.ID), EnvVars: vars, Files: files,
			Access: signalbox.SecretAccess{Projects: signalbox.ProjectsNone},
		}
		if err := s.Validate(); err != nil {
			return err
		}
		v, err := x.seal(s, 1)
		if err != nil {
			return err
		}
		if err := tx.CreateSecret(s, v, actor); err != nil {
			return err
		}
		return tx.CreateDeploymentTarget(d, token, actor)
	})
}

// TargetChange says what to change of a deployment target; nil leaves things as they are.
type TargetChange struct {
	Seen        *int // the version that was changed; where there is another one already, nothing is changed
	Name        *string
	Description *string
	URL         *string
	Bookmarks   [3]*string
	Subjects    []signalbox.SubjectRule
	Objects     []signalbox.ObjectRule
	Cordoned    *bool
	// EnvVars and Files, together, replace the content; Keep, or a value that is the fingerprint of the one that there is, keeps it.
	Content bool
	EnvVars []signalbox.SecretVar
	Files   []signalbox.SecretFile
}

// apply makes the change and says what differs, without values.
func (c *TargetChange) apply(d *signalbox.DeploymentTarget) (what []string) {
	text := func(name string, to, from *string) {
		if from != nil && *from != *to {
			what = append(what, name)
			*to = *from
		}
	}
	text("name", &d.Name, c.Name)
	text("description", &d.Description, c.Description)
	text("url", &d.URL, c.URL)
	for i := range c.Bookmarks {
		text("bookmarks", &d.Bookmarks[i], c.Bookmarks[i])
	}
	if c.Subjects != nil && !slices.Equal(c.Subjects, d.Subjects) {
		what = append(what, "subject rules")
		d.Subjects = c.Subjects
	}
	if c.Objects != nil && !slices.Equal(c.Objects, d.Objects) {
		what = append(what, "object rules")
		d.Objects = c.Objects
	}
	if c.Cordoned != nil && *c.Cordoned != d.Cordoned {
		d.Cordoned = *c.Cordoned
		what = append(what, map[bool]string{true: "cordoned", false: "uncordoned"}[d.Cordoned])
	}
	return what
}

// UpdateTarget changes a deployment target; by is the user's name.
func (x *Secrets) UpdateTarget(ctx context.Context, id string, c TargetChange, by, actor string) (d *signalbox.DeploymentTarget, err error) {
	err = x.Store.Write(ctx, func(tx *store.Tx) error {
		if d, err = tx.LockDeploymentTarget(id); err != nil {
			return err
		}
		if !d.DeletedAt.IsZero() {
			return signalbox.Errorf(signalbox.CodeNotFound, "there is no deployment target %s", id)
		}
		if c.Seen != nil && *c.Seen != d.Version {
			return signalbox.Errorf(signalbox.CodeConflict, "somebody has changed the deployment target meanwhile; look at what it is now, and change that")
		}
		what := c.apply(d)
		if err := d.Validate(); err != nil {
			return err
		}
		if slices.Contains(what, "subject rules") { // those that stay may name people who are gone
			if err := knownSubjects(tx, d); err != nil {
				return err
			}
		}
		if c.Content {
			changed, err := x.replace(tx, d, c, actor)
			if err != nil {
				return err
			}
			if changed {
				what = append(what, "content")
			}
		}
		if len(what) == 0 {
			return nil
		}
		d.UpdatedBy = by
		return tx.UpdateDeploymentTarget(d, actor, "changed", strings.Join(what, ", "))
	})
	return d, err
}

// replace stores what a target hands out as its next version, unless it is what it hands out already.
func (x *Secrets) replace(tx *store.Tx, d *signalbox.DeploymentTarget, c TargetChange, actor string) (bool, error) {
	s, err := tx.LockSecret(d.SecretID)
	if err != nil {
		return false, err
	}
	v, err := tx.SecretVersion(s.ID, s.Version)
	if err != nil {
		return false, err
	}
	vars, files, err := x.open(scopeOf(s), v)
	if err != nil {
		return false, err
	}
	s.EnvVars, s.Files = slices.Clone(c.EnvVars), slices.Clone(c.Files)
	same := len(vars) == len(s.EnvVars) && len(files) == len(s.Files)
	for i, e := range s.EnvVars {
		j := slices.IndexFunc(vars, func(o signalbox.SecretVar) bool { return o.Name == e.Name })
		if e.Keep && j < 0 {
			return false, nothingToKeep(e.Name)
		}
		if e.Keep || j >= 0 && e.Value.Reveal() == fingerprint(vars[j].Value.Reveal()) {
			s.EnvVars[i] = vars[j]
		}
		same = same && j == i && s.EnvVars[i].Value.Reveal() == vars[j].Value.Reveal()
	}
	for i, f := range s.Files {
		j := slices.IndexFunc(files, func(o signalbox.SecretFile) bool { return o.Path == f.Path })
		if f.Keep && j < 0 {
			return false, nothingToKeep(f.Path)
		}
		if f.Keep || j >= 0 && base64.StdEncoding.EncodeToString([]byte(f.Content.Reveal())) == fingerprint(encoded(files[j])) {
			s.Files[i] = files[j]
		}
		same = same && j == i && s.Files[i].Content.Reveal() == files[j].Content.Reveal()
	}
	if err := s.Validate(); err != nil || same {
		return false, err
	}
	next, err := x.seal(s, s.Version+1)
	if err != nil {
		return false, err
	}
	return true, tx.UpdateSecret(s, next, actor, "content")
}

func nothingToKeep(name string) error {
	return signalbox.Errorf(signalbox.CodeConflict, "there is no %.100q any more whose value could be kept; give its value", name)
}

// ChangeTarget makes a deployment target what d says, whose version is the one that was seen, with this content.
func (x *Secrets) ChangeTarget(ctx context.Context, d *signalbox.DeploymentTarget, vars []signalbox.SecretVar, files []signalbox.SecretFile, by, actor string) error {
	c := TargetChange{
		Seen: &d.Version, Name: &d.Name, Description: &d.Description, URL: &d.URL, Bookmarks: [3]*string{&d.Bookmarks[0], &d.Bookmarks[1], &d.Bookmarks[2]},
		Subjects: append([]signalbox.SubjectRule{}, d.Subjects...), Objects: append([]signalbox.ObjectRule{}, d.Objects...), Content: true, EnvVars: vars, Files: files,
	}
	_, err := x.UpdateTarget(ctx, d.ID, c, by, actor)
	return err
}

// CordonTarget lets nobody deploy to a target, or lets them again. Doing it twice is doing it once.
func (x *Secrets) CordonTarget(ctx context.Context, id string, cordoned bool, by, actor string) error {
	_, err := x.UpdateTarget(ctx, id, TargetChange{Cordoned: &cordoned}, by, actor)
	return err
}

func encoded(f signalbox.SecretFile) string {
	return base64.StdEncoding.EncodeToString([]byte(f.Content.Reveal()))
}

// fingerprint stands for a value in answers to those who may change it, so that they can send it back. It is what existing
// clients expect, and protects nothing.
func fingerprint(value string) string {
	sum := md5.Sum([]byte(value))
	return hex.EncodeToString(sum[:])
}

// Fingerprints returns what a target hands out, each value and file as its fingerprint.
func (x *Secrets) Fingerprints(tx *store.Tx, d *signalbox.DeploymentTarget) (vars []signalbox.EnvVar, files []signalbox.EnvVar, err error) {
	s, err := tx.Secret(d.SecretID)
	if err != nil {
		return nil, nil, err
	}
	v, err := tx.SecretVersion(s.ID, s.Version)
	if err != nil {
		return nil, nil, err
	}
	held, kept, err := x.open(scopeOf(s), v)
	for _, e := range held {
		vars = append(vars, signalbox.EnvVar{Name: e.Name, Value: fingerprint(e.Value.Reveal())})
	}
	for _, f := range kept {
		files = append(files, signalbox.EnvVar{Name: f.Path, Value: fingerprint(encoded(f))})
	}
	return vars, files, err
}

// knownSubjects turns the users and roles of rules into ids, and refuses those that there are not.
func knownSubjects(tx *store.Tx, d *signalbox.DeploymentTarget) error {
	d.Subjects = slices.Clone(d.Subjects)
	for i, r := range d.Subjects {
		switch r.Type {
		case signalbox.SubjectRole:
			role, err := auth.ParseRole(strings.ToLower(r.ID))
			if err != nil {
				return signalbox.Errorf(signalbox.CodeInvalid, "role \"%.100s\" is not valid", r.ID)
			}
			d.Subjects[i].ID = string(role)
		case signalbox.SubjectUser:
			find := tx.UserByName
			if signalbox.IsID(r.ID) {
				find = tx.User
			}
			u, err := find(r.ID)
			if signalbox.ErrorCode(err) == signalbox.CodeNotFound || err == nil && !u.DisabledAt.IsZero() {
				return signalbox.Errorf(signalbox.CodeInvalid, "user \"%.100s\" is not a member of the project", r.ID)
			}
			if err != nil {
				return err
			}
			d.Subjects[i].ID = u.ID
		case signalbox.SubjectAny, signalbox.SubjectAuto, signalbox.SubjectGroup:
		}
	}
	return nil
}
