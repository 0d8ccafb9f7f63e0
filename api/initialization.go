package api

import (
	"net/http"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/project"
	"github.com/signalbox-ci/signalbox/store"
)

// initialization is the form of signalbox.Initialization; a project's own, not joined with the organization's.
type initialization struct {
	MachineType string   `json:"machine_type"`
	OSImage     string   `json:"os_image"`
	Commands    []string `json:"commands"`
	Secrets     []string `json:"secrets"`
}

func initializationBody(i signalbox.Initialization) initialization {
	b := initialization{i.MachineType, i.OSImage, []string{}, []string{}}
	b.Commands, b.Secrets = append(b.Commands, i.Commands...), append(b.Secrets, i.Secrets...)
	return b
}

func readInitialization(w http.ResponseWriter, r *http.Request) (i signalbox.Initialization, err error) {
	var b initialization
	if err := read(w, r, &b); err != nil {
		return i, err
	}
	i = signalbox.Initialization{MachineType: b.MachineType, OSImage: b.OSImage, Commands: b.Commands, Secrets: b.Secrets}
	return i, signalbox.ValidateInitialization(&i)
}

func (a *API) showInitialization(w http.ResponseWriter, r *http.Request) error {
	var i signalbox.Initialization
	if err := a.read(r, func(tx *store.Tx) error {
		o, err := tx.Organization()
		if err == nil {
			i = o.Initialization
		}
		return err
	}); err != nil {
		return err
	}
	return write(w, initializationBody(i))
}

func (a *API) setInitialization(w http.ResponseWriter, r *http.Request) error {
	i, err := readInitialization(w, r)
	if err != nil {
		return err
	}
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		o, err := tx.LockOrganization()
		if err != nil {
			return err
		}
		o.Initialization = i
		return tx.UpdateOrganization(o, actor(r), "initialization")
	}); err != nil {
		return err
	}
	return write(w, initializationBody(i))
}

func (a *API) showProjectInitialization(w http.ResponseWriter, r *http.Request) error {
	var p *signalbox.Project
	if err := a.read(r, func(tx *store.Tx) (err error) {
		p, err = tx.FindProject(r.PathValue("project"))
		return err
	}); err != nil {
		return err
	}
	return write(w, initializationBody(p.Initialization))
}

func (a *API) setProjectInitialization(w http.ResponseWriter, r *http.Request) error {
	i, err := readInitialization(w, r)
	if err != nil {
		return err
	}
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		_, err := project.Update(tx, r.PathValue("project"), actor(r), func(p *signalbox.Project) error {
			p.Initialization = i
			return nil
		})
		return err
	}); err != nil {
		return err
	}
	return write(w, initializationBody(i))
}
