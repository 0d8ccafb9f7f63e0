package project

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Update changes the settings of a project within a transaction and returns it; a taken name is CodeConflict. The project is held
// while change sees it. What is as it was is not written.
func Update(tx *store.Tx, idOrName, actor string, change func(p *signalbox.Project) error) (*signalbox.Project, error) {
	found, err := tx.FindProject(idOrName)
	if err != nil {
		return nil, err
	}
	if err := tx.LockProject(found.ID); err != nil {
		return nil, err
	}
	p, err := tx.FindProject(found.ID)
	if err != nil {
		return nil, err
	}
	was := *p
	if err := change(p); err != nil {
		return nil, err
	}
	if p.Name != was.Name {
		if err := signalbox.ValidateProjectName(p.Name); err != nil {
			return nil, err
		}
	}
	if err := signalbox.ValidateJobLimit(p.MaxRunningJobs); err != nil {
		return nil, err
	}
	if err := signalbox.ValidateInitialization(&p.Initialization); err != nil {
		return nil, err
	}
	detail := changes(&was, p)
	if detail == "" {
		return p, nil
	}
	return p, tx.UpdateProject(p, actor, detail)
}

// changes says in one line what differs between two versions of a project.
func changes(was, is *signalbox.Project) string {
	var out []string
	add := func(what, from, to string) {
		if from != to {
			out = append(out, what+" "+from+" to "+to)
		}
	}
	rule := func(on bool, kinds []signalbox.RefKind) string {
		if !on {
			return "by the default rule"
		}
		var names []string
		for _, k := range kinds {
			names = append(names, string(k))
		}
		return "[" + strings.Join(names, " ") + "]"
	}
	add("name", was.Name, is.Name)
	add("repository", signalbox.WithoutPassword(was.GitURL), signalbox.WithoutPassword(is.GitURL))
	if was.GitURL != is.GitURL && len(out) == 0 {
		out = append(out, "password of the repository")
	}
	add("default branch", cmp.Or(was.DefaultBranch, "none"), cmp.Or(is.DefaultBranch, "none"))
	add("pipeline file", was.PipelineFile, is.PipelineFile)
	add("max_running_jobs", strconv.Itoa(was.MaxRunningJobs), strconv.Itoa(is.MaxRunningJobs))
	add("debug", rule(was.CustomPermissions, was.DebugPermissions), rule(is.CustomPermissions, is.DebugPermissions))
	add("attach", rule(was.CustomPermissions, was.AttachPermissions), rule(is.CustomPermissions, is.AttachPermissions))
	if !was.Initialization.Equal(is.Initialization) {
		out = append(out, "initialization")
	}
	if len(out) == 0 && (!slices.Equal(was.DebugPermissions, is.DebugPermissions) || !slices.Equal(was.AttachPermissions, is.AttachPermissions)) {
		out = append(out, "lists of permissions that are not in force")
	}
	return strings.Join(out, ", ")
}
