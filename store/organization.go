package store

import (
	"github.com/signalbox-ci/signalbox"
)

// organizationID is the one row of its table, and its name in histories.
const organizationID = "organization"

func scanOrganization(s scanner, o *signalbox.Organization) error {
	return s.Scan(doc{&o.Initialization}, &o.MaxRunningJobs, &o.Name, &o.PublicURL, &o.PublicURLProblem)
}

const organizationColumns = `initialization, max_running_jobs, name, public_url, public_url_problem`

// Organization returns what holds for all projects.
func (t *Tx) Organization() (*signalbox.Organization, error) {
	return one(t, "organization", organizationID, scanOrganization, `SELECT `+organizationColumns+` FROM organization WHERE id = 1`)
}

// LockOrganization is Organization for whoever writes it in the same transaction.
func (t *Tx) LockOrganization() (*signalbox.Organization, error) {
	return one(t, "organization", organizationID, scanOrganization, `SELECT `+organizationColumns+` FROM organization WHERE id = 1`+t.forUpdate())
}

// UpdateOrganization writes the settings; detail says what changed.
func (t *Tx) UpdateOrganization(o *signalbox.Organization, actor, detail string) error {
	text, err := initializationText(o.Initialization)
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE organization SET initialization = $1, max_running_jobs = $2, name = $3, public_url = $4, public_url_problem = $5 WHERE id = 1`,
		text, o.MaxRunningJobs, o.Name, o.PublicURL, o.PublicURLProblem)
	if err != nil {
		return err
	}
	if err := changed(n, "organization", organizationID); err != nil {
		return err
	}
	t.Wake(KeyRoom, KeyOrganization)
	return t.Record("organization", organizationID, actor, "changed", detail)
}

func initializationText(i signalbox.Initialization) (string, error) {
	if i.MachineType == "" && len(i.Commands) == 0 {
		return "", nil
	}
	return toJSON(i)
}
