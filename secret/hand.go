package secret

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Find decides which secrets a job gets, in the order of its names, and which of the names are not there or not permitted.
// It is all of the policy and needs no key. A workflow that counts as a forked pull request gets nothing and misses nothing.
func Find(tx *store.Tx, p *signalbox.Project, w *signalbox.Workflow, names []string) (found []*signalbox.Secret, missing []string, err error) {
	if len(names) == 0 || signalbox.RefKindOf(p, w) == signalbox.RefForkedPullRequest {
		return nil, nil, nil
	}
	seen := map[string]bool{}
	for _, name := range lastOfEach(names) {
		s, err := visible(tx, p.ID, name)
		switch {
		case signalbox.ErrorCode(err) == signalbox.CodeNotFound:
			missing = append(missing, name)
		case err != nil:
			return nil, nil, err
		case !seen[s.ID]:
			seen[s.ID] = true
			found = append(found, s)
		}
	}
	return found, missing, nil
}

// lastOfEach drops all but the last mention of a name.
func lastOfEach(names []string) []string {
	var out []string
	for i, n := range names {
		again := false
		for _, later := range names[i+1:] {
			again = again || later == n
		}
		if !again {
			out = append(out, n)
		}
	}
	return out
}

// visible returns the secret that a name means in a project: the project's own before the organization's.
func visible(tx *store.Tx, projectID, name string) (*signalbox.Secret, error) {
	if signalbox.IsID(name) { // a pipeline names secrets by name only
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "there is no secret %s", name)
	}
	s, err := tx.FindSecret(projectID, name)
	if signalbox.ErrorCode(err) != signalbox.CodeNotFound {
		return s, err
	}
	if s, err = tx.FindSecret("", name); err != nil {
		return nil, err
	}
	if !s.Permits(projectID) {
		return nil, signalbox.Errorf(signalbox.CodeNotFound, "there is no secret %s", name)
	}
	return s, nil
}

// NotFound is why a job with these missing secrets fails.
func NotFound(missing []string) string {
	parts := make([]string, len(missing))
	for i, name := range missing {
		parts[i] = "Secret " + name + " not found"
	}
	return strings.Join(parts, ", ")
}

// Blocked is why a job may not be debugged or attached to.
const Blocked = "Some secrets used in this job are blocking this operation"

// Refusal tells why a job may not be handed out, "" when it may.
func Refusal(tx *store.Tx, p *signalbox.Project, w *signalbox.Workflow, j *signalbox.Job) (string, error) {
	if j.TargetID != "" {
		d, err := tx.DeploymentTarget(j.TargetID)
		if err != nil {
			return "", err
		}
		if !d.DeletedAt.IsZero() {
			return "Deployment target " + d.Name + " was deleted", nil
		}
	}
	found, missing, err := Find(tx, p, w, j.Spec.SecretNames())
	if err != nil {
		return "", err
	}
	if len(missing) > 0 {
		return NotFound(missing), nil
	}
	for _, s := range found {
		if j.DebugOf != "" && s.Access.NoDebug {
			return Blocked, nil
		}
	}
	return "", nil
}

// Bundle is what a job gets of its secrets: later entries win.
type Bundle struct {
	EnvVars []signalbox.SecretVar
	Files   []signalbox.SecretFile
	Used    []string // ids of the secrets whose time of use should be noted

	parts map[string]part // by name
}

type part struct {
	vars  []signalbox.SecretVar
	files []signalbox.SecretFile
}

// Of returns what the secrets of these names hold, in their order. A job and each of its containers get only their own.
func (b Bundle) Of(names []string) (vars []signalbox.SecretVar, files []signalbox.SecretFile) {
	for _, n := range lastOfEach(names) {
		vars, files = append(vars, b.parts[n].vars...), append(files, b.parts[n].files...)
	}
	return vars, files
}

// OfJob returns what a job itself gets: what its deployment target holds, and then its own secrets, which win.
func (b Bundle) OfJob(j *signalbox.Job) (vars []signalbox.SecretVar, files []signalbox.SecretFile) {
	names := j.Spec.Secrets
	if j.TargetID != "" {
		names = append([]string{signalbox.TargetSecretName(j.TargetID)}, names...)
	}
	return b.Of(names)
}

// ofTarget returns the secret of a job's deployment target, nil when it gets none: a forked pull request gets nothing.
func ofTarget(tx *store.Tx, p *signalbox.Project, w *signalbox.Workflow, j *signalbox.Job) (*signalbox.Secret, error) {
	if j.TargetID == "" || signalbox.RefKindOf(p, w) == signalbox.RefForkedPullRequest {
		return nil, nil
	}
	d, err := tx.DeploymentTarget(j.TargetID)
	if err != nil {
		return nil, err
	}
	return tx.Secret(d.SecretID)
}

// resolve opens the secrets that a job of a project and workflow gets, and says which of its names are missing. The
// versions are those that were opened, held until the transaction ends.
func (x *Secrets) resolve(tx *store.Tx, p *signalbox.Project, w *signalbox.Workflow, j *signalbox.Job) (b Bundle, versions []*signalbox.SecretVersion, missing []string, err error) {
	found, missing, err := Find(tx, p, w, j.Spec.SecretNames())
	if err != nil || len(missing) > 0 {
		return b, nil, missing, err
	}
	if s, err := ofTarget(tx, p, w, j); err != nil {
		return b, nil, nil, err
	} else if s != nil {
		found = append([]*signalbox.Secret{s}, found...)
	}
	for _, s := range found {
		if s, err = tx.HoldSecret(s.ID); err != nil {
			return b, nil, nil, err
		}
		v, err := tx.SecretVersion(s.ID, s.Version)
		if err != nil {
			return b, nil, nil, err
		}
		if err := x.add(&b, s, v); err != nil {
			return b, nil, nil, err
		}
		if tx.Now.Sub(s.UsedAt) > time.Minute {
			b.Used = append(b.Used, s.ID)
		}
		versions = append(versions, v)
	}
	return b, versions, nil, nil
}

func (x *Secrets) add(b *Bundle, s *signalbox.Secret, v *signalbox.SecretVersion) error {
	vars, files, err := x.open(scopeOf(s), v)
	b.EnvVars, b.Files = append(b.EnvVars, vars...), append(b.Files, files...)
	if b.parts == nil {
		b.parts = map[string]part{}
	}
	b.parts[s.Name] = part{vars, files}
	return err
}

// Hand opens what an attempt gets, and notes the versions, so that asking again gives the same and the log knows what must
// not be in it. refused is why the job must not be handed out at all, "" otherwise.
func (x *Secrets) Hand(tx *store.Tx, a *signalbox.Attempt, j *signalbox.Job, p *signalbox.Project, w *signalbox.Workflow) (b Bundle, refused string, err error) {
	if !j.NeedsSecrets() {
		return b, "", nil
	}
	noted, err := tx.AttemptSecrets(a.ID)
	if err != nil {
		return b, "", err
	}
	for _, v := range noted {
		s, err := tx.Secret(v.SecretID)
		if err != nil {
			return b, "", err
		}
		if err := x.add(&b, s, v); err != nil {
			return b, "", err
		}
	}
	if len(noted) > 0 {
		return b, "", nil
	}
	if refused, err = Refusal(tx, p, w, j); err != nil || refused != "" {
		return b, refused, err
	}
	b, versions, missing, err := x.resolve(tx, p, w, j)
	if err != nil || len(missing) > 0 {
		return b, NotFound(missing), err
	}
	if err := tx.RecordAttemptSecrets(a.ID, versions); err != nil || len(versions) == 0 {
		return b, "", err
	}
	var detail []string
	for _, v := range versions {
		detail = append(detail, v.SecretID+" version "+strconv.Itoa(v.Version))
	}
	return b, "", tx.Record("attempt", a.ID, "dispatch", "secrets handed out", strings.Join(detail, ", "))
}

// NoteUse stores when secrets were used. It is no part of the transaction that hands them out, which would make jobs wait
// for one another.
func (x *Secrets) NoteUse(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return x.Store.Write(ctx, func(tx *store.Tx) error {
		for _, id := range ids {
			if err := tx.SecretUsed(id); err != nil {
				return err
			}
		}
		return nil
	})
}

// Handed returns the values that an attempt was given. final is false as long as it may still be given some.
func (x *Secrets) Handed(ctx context.Context, attemptID string) (values []signalbox.SecretValue, final bool, err error) {
	var b Bundle
	err = x.Store.Read(ctx, func(tx *store.Tx) error {
		b, final = Bundle{}, true
		a, err := tx.Attempt(attemptID)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
			return nil
		}
		if err != nil {
			return err
		}
		j, err := tx.Job(a.JobID)
		if err != nil || !j.NeedsSecrets() {
			return err
		}
		noted, err := tx.AttemptSecrets(attemptID)
		if err != nil {
			return err
		}
		final = len(noted) > 0
		for _, v := range noted {
			s, err := tx.Secret(v.SecretID)
			if err != nil {
				return err
			}
			if err := x.add(&b, s, v); err != nil {
				return err
			}
		}
		return nil
	})
	for _, v := range b.EnvVars {
		values = append(values, v.Value)
	}
	for _, f := range b.Files {
		values = append(values, f.Content)
	}
	return values, final, err
}
