package fleet

import (
	"context"
	"fmt"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// CreateType stores an agent type with its first registration token, whose text is returned and kept nowhere.
func (f *Fleet) CreateType(ctx context.Context, t *signalbox.AgentType, actor string) (token string, err error) {
	if err := t.Validate(); err != nil {
		return "", err
	}
	token, hash := auth.NewToken(auth.TokenRegistration)
	return token, f.o.Store.Write(ctx, func(tx *store.Tx) error {
		if err := knownProjects(tx, t.ProjectIDs); err != nil {
			return err
		}
		if err := tx.CreateAgentType(t, actor); err != nil {
			return err
		}
		return tx.CreateRegistrationToken(&signalbox.RegistrationToken{AgentTypeID: t.ID, Name: "first"}, hash, actor)
	})
}

// ChangeType lets change set what is to be different about an agent type.
func (f *Fleet) ChangeType(ctx context.Context, name string, change func(*signalbox.AgentType) error, actor string) (t *signalbox.AgentType, err error) {
	err = f.o.Store.Write(ctx, func(tx *store.Tx) error {
		if t, err = tx.LockAgentType(name); err != nil {
			return err
		}
		was := *t
		if err := change(t); err != nil {
			return err
		}
		if err := t.Validate(); err != nil {
			return err
		}
		if err := knownProjects(tx, t.ProjectIDs); err != nil {
			return err
		}
		return tx.UpdateAgentType(t, actor, changes(&was, t))
	})
	return t, err
}

// knownProjects refuses ids of projects that are not there: a list that permits nobody looks like one that permits somebody.
func knownProjects(tx *store.Tx, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	all, err := tx.Projects()
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(all))
	for _, p := range all {
		known[p.ID] = true
	}
	for _, id := range ids {
		if !known[id] {
			return signalbox.Errorf(signalbox.CodeInvalid, "there is no project %.60s: name projects that exist, or allow all", id)
		}
	}
	return nil
}

// changes says for the history what became different.
func changes(a, b *signalbox.AgentType) string {
	var out []string
	note := func(different bool, what string) {
		if different {
			out = append(out, what)
		}
	}
	note(a.ReleaseAfter != b.ReleaseAfter, "names are kept for "+b.ReleaseAfter.String())
	note(a.LostAfter != b.LostAfter, "lost after "+b.LostAfter.String())
	note(a.Lease != b.Lease, "lease "+b.Lease.String())
	note(a.Ephemeral != b.Ephemeral, map[bool]string{true: "machines serve for one job", false: "machines serve for many jobs"}[b.Ephemeral])
	note(a.Quarantine != b.Quarantine, "quarantine: "+b.Quarantine.String())
	note(a.Naming.Origin != b.Naming.Origin || a.Naming.Account != b.Naming.Account || strings.Join(a.Naming.Roles, ",") != strings.Join(b.Naming.Roles, ","), "names")
	note(a.Projects != b.Projects || strings.Join(a.ProjectIDs, ",") != strings.Join(b.ProjectIDs, ","), "projects: "+strings.TrimSpace(string(b.Projects)+" "+strings.Join(b.ProjectIDs, " ")))
	note(a.Forks != b.Forks, map[bool]string{true: "forked code may run", false: "forked code may not run"}[b.Forks])
	note(a.MaxRunningJobs != b.MaxRunningJobs, fmt.Sprintf("max_running_jobs %d", b.MaxRunningJobs))
	return strings.Join(out, "; ")
}

// DeleteType deletes an agent type and ends its tokens. While agents are connected it refuses, unless force lets them
// finish their jobs and leave.
func (f *Fleet) DeleteType(ctx context.Context, name string, force bool, actor string) error {
	return f.o.Store.Write(ctx, func(tx *store.Tx) error {
		t, err := tx.LockAgentType(name)
		if err != nil {
			return err
		}
		all, err := tx.Agents(t.ID)
		if err != nil {
			return err
		}
		var connected []string
		for _, a := range all {
			if a.State == signalbox.AgentRegistered {
				connected = append(connected, a.ID)
			}
		}
		if len(connected) > 0 && !force {
			return signalbox.Errorf(signalbox.CodeInvalid, "can't delete agent type with existing agents: %d are registered. "+
				"Drain them with \"signalbox agent drain --type %s\" first, or force it", len(connected), name)
		}
		if err := tx.DeleteAgentType(t.ID, actor); err != nil {
			return err
		}
		locked, err := tx.LockAgents(ids(all))
		if err != nil {
			return err
		}
		for _, a := range locked {
			why := "drained"
			if a.State == signalbox.AgentRegistered {
				if !a.DrainAt.IsZero() {
					continue
				}
				a.DrainAt = tx.Now
			} else {
				why, a.GoneAt = "gone", tx.Now
			}
			if err := tx.UpdateAgent(a, a.AttemptID, actor, why, "agent type "+name+" was deleted"); err != nil {
				return err
			}
		}
		return nil
	})
}

func ids(agents []*signalbox.Agent) []string {
	out := make([]string, 0, len(agents))
	for _, a := range agents {
		out = append(out, a.ID)
	}
	return out
}
