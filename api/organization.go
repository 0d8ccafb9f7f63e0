package api

import (
	"fmt"
	"net/http"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

type organizationBody struct {
	MaxRunningJobs int `json:"max_running_jobs"`
}

func (a *API) showOrganization(w http.ResponseWriter, r *http.Request) error {
	var out organizationBody
	if err := a.read(r, func(tx *store.Tx) error {
		o, err := tx.Organization()
		if err == nil {
			out.MaxRunningJobs = o.MaxRunningJobs
		}
		return err
	}); err != nil {
		return err
	}
	return write(w, out)
}

// updateOrganization changes what the body names.
func (a *API) updateOrganization(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		MaxRunningJobs *int `json:"max_running_jobs"`
	}
	if err := read(w, r, &in); err != nil {
		return err
	}
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		o, err := tx.LockOrganization()
		if err != nil {
			return err
		}
		if err := setLimit(&o.MaxRunningJobs, in.MaxRunningJobs); err != nil {
			return err
		}
		return tx.UpdateOrganization(o, actor(r), fmt.Sprintf("max_running_jobs %d", o.MaxRunningJobs))
	}); err != nil {
		return err
	}
	return a.showOrganization(w, r)
}

// setLimit changes a limit of running jobs to a value that a request names, if it does.
func setLimit(limit, to *int) error {
	if to == nil {
		return nil
	}
	if err := signalbox.ValidateJobLimit(*to); err != nil {
		return err
	}
	*limit = *to
	return nil
}
