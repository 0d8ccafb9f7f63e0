package web

import (
	"slices"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// environmentView is what a job gets, by names: no value is on the page, whoever looks.
type environmentView struct {
	Vars, Secrets, Files []string
	Containers           []string // images
	Target               *Link    // whose variables and files it gets
	Count                int
}

// mostNames bounds how many names of one kind are listed.
const mostNames = 200

// newEnvironmentView lists the names of what a job gets. Names of secrets are for those who may see them: secrets tells.
func newEnvironmentView(spec *signalbox.JobSpec, secrets bool) *environmentView {
	v := &environmentView{}
	add := func(to *[]string, name string) {
		if name = clip(name, 120); name != "" && !slices.Contains(*to, name) && len(*to) < mostNames {
			*to = append(*to, name)
			v.Count++
		}
	}
	for _, e := range spec.EnvVars {
		add(&v.Vars, e.Name)
	}
	for _, c := range spec.Containers {
		add(&v.Containers, c.Image)
		for _, e := range c.EnvVars {
			add(&v.Vars, e.Name)
		}
	}
	slices.Sort(v.Vars)
	for _, f := range spec.Files {
		add(&v.Files, f.Path)
	}
	if secrets {
		for _, name := range spec.SecretNames() {
			add(&v.Secrets, name)
		}
	}
	return v
}

// readEnvironment fills in what a job gets. A target that was deleted meanwhile is left out.
func (b *jobBody) readEnvironment(tx *store.Tx) error {
	v := newEnvironmentView(&b.Job.Spec, b.MaySecrets)
	if b.Job.TargetID != "" {
		d, err := tx.DeploymentTarget(b.Job.TargetID)
		if err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return err
		}
		if err == nil && d.DeletedAt.IsZero() {
			v.Target = &Link{clip(d.Name, 80), targetURL(b.Project, d)}
			v.Count++
		}
	}
	b.Environment = v
	return nil
}
