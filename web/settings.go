package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
)

const settingsPath = "/settings"

// Fields of the settings that the first set-up does not have.
const (
	fieldMaxRunning = "max_running_jobs"
	fieldCommands   = "commands"
)

// settingsForm is what is written in the fields.
type settingsForm struct {
	Organization, PublicURL, MaxRunning string
}

func newSettingsForm(o *signalbox.Organization) settingsForm {
	f := settingsForm{Organization: o.Name, PublicURL: o.PublicURL}
	if o.MaxRunningJobs > 0 {
		f.MaxRunning = strconv.Itoa(o.MaxRunningJobs)
	}
	return f
}

// initializationForm is the same for pre-flight checks: one command and one name on a line.
type initializationForm struct {
	MachineType, OSImage, Commands, Secrets string
}

func newInitializationForm(i signalbox.Initialization) initializationForm {
	return initializationForm{i.MachineType, i.OSImage, strings.Join(i.Commands, "\n"), strings.Join(i.Secrets, "\n")}
}

func (f initializationForm) read() signalbox.Initialization {
	return signalbox.Initialization{MachineType: strings.TrimSpace(f.MachineType), OSImage: strings.TrimSpace(f.OSImage), Commands: linesOf(f.Commands), Secrets: linesOf(f.Secrets)}
}

// linesOf returns what stands on the lines of a field, without empty ones.
func linesOf(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		if l = strings.TrimRight(l, "\r\n"); strings.TrimSpace(l) != "" {
			out = append(out, l)
		}
	}
	return out
}

// change returns the organization with what somebody changed in a form that showed was, and what is wrong, by field. What somebody
// else has changed since then is not overwritten.
func (f settingsForm) change(was settingsForm, o signalbox.Organization, fixed bool) (signalbox.Organization, map[string]string) {
	now, problems := newSettingsForm(&o), map[string]string{}
	changed := func(field, value, was, now string) bool {
		if value == was || value == now {
			return false
		}
		if was != now {
			problems[field] = fmt.Sprintf("Somebody else has changed it to %q meanwhile. Saving again replaces that.", clip(now, 300))
			return false
		}
		return true
	}
	name := strings.TrimSpace(f.Organization)
	if changed(setup.FieldOrganization, name, was.Organization, now.Organization) {
		if p := setup.CheckOrganization(name); p != "" {
			problems[setup.FieldOrganization] = p
		}
		o.Name = name
	}
	if address := strings.TrimSpace(f.PublicURL); !fixed && changed(setup.FieldPublicURL, address, was.PublicURL, now.PublicURL) {
		clean, p := setup.CheckPublicURL(address)
		if p != "" {
			problems[setup.FieldPublicURL] = p
		}
		o.PublicURL, o.PublicURLProblem = clean, ""
		if setup.Loopback(clean) {
			o.PublicURLProblem = "Agents and webhooks on other machines cannot reach " + clean + "."
		}
	}
	if limit := strings.TrimSpace(f.MaxRunning); changed(fieldMaxRunning, limit, was.MaxRunning, now.MaxRunning) {
		n, err := strconv.Atoi(limit)
		if limit == "" {
			n, err = 0, nil
		}
		if err != nil || signalbox.ValidateJobLimit(n) != nil {
			problems[fieldMaxRunning] = "Give a number from 1 to 1,000,000, or nothing for no limit."
		}
		o.MaxRunningJobs = n
	}
	return o, problems
}

type permissionRow struct {
	Name                  auth.Permission
	Admin, Member, Viewer bool
}

type settingsBody struct {
	Form, Was      settingsForm
	Fixed          string // the public address that the server was started with
	AddressProblem string
	Asked          string // how agents reach the server when nothing is set
	Initialization initializationForm
	InitWas        string // versionOf what the form about initialization showed
	Permissions    []permissionRow
	Version        string
	OwnCA          bool
	Done           string
	Problems       map[string]string
}

func (w *Web) getSettings(rw http.ResponseWriter, r *http.Request) error {
	b := settingsBody{}
	if r.URL.Query().Get("done") != "" {
		b.Done = "Saved."
	}
	return w.showSettings(rw, r, http.StatusOK, b, nil, nil)
}

// showSettings shows what is stored, or what somebody has written that was not.
func (w *Web) showSettings(rw http.ResponseWriter, r *http.Request, status int, b settingsBody, form *settingsForm, init *initializationForm) error {
	var s Shell
	var o *signalbox.Organization
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		var err error
		if s, err = w.shell(r, tx); err != nil {
			return err
		}
		o, err = tx.Organization()
		return err
	})
	if err != nil {
		return err
	}
	b.Was = newSettingsForm(o)
	b.Form, b.Initialization, b.InitWas = b.Was, newInitializationForm(o.Initialization), versionOf(o.Initialization)
	if form != nil {
		b.Form = *form
	}
	if init != nil {
		b.Initialization = *init
	}
	b.Fixed, b.AddressProblem, b.Asked, b.Version, b.OwnCA = w.o.FixedURL, o.PublicURLProblem, w.o.PublicURL(r), w.o.Version, w.ownCA()
	for _, p := range auth.Permissions() {
		b.Permissions = append(b.Permissions, permissionRow{p, auth.Can(signalbox.RoleAdmin, p), auth.Can(signalbox.RoleMember, p), auth.Can(signalbox.RoleViewer, p)})
	}
	s.Title, s.Section, s.Script, s.Narrow = "Settings", "settings", "page", true
	return w.render(rw, status, "settings", s, b)
}

// versionOf is the same for the same settings and for no others.
func versionOf(settings any) string {
	text, _ := json.Marshal(settings) // texts and lists of them
	return auth.HashToken(string(text))
}

func (w *Web) postSettings(rw http.ResponseWriter, r *http.Request) error {
	if err := parseForm(rw, r); err != nil {
		return err
	}
	form := settingsForm{r.PostForm.Get(setup.FieldOrganization), r.PostForm.Get(setup.FieldPublicURL), r.PostForm.Get(fieldMaxRunning)}
	was := settingsForm{r.PostForm.Get("was_" + setup.FieldOrganization), r.PostForm.Get("was_" + setup.FieldPublicURL), r.PostForm.Get("was_" + fieldMaxRunning)}
	var problems map[string]string
	err := w.o.Store.Write(r.Context(), func(tx *store.Tx) error {
		o, err := tx.LockOrganization()
		if err != nil {
			return err
		}
		var after signalbox.Organization
		if after, problems = form.change(was, *o, w.o.FixedURL != ""); len(problems) > 0 || newSettingsForm(&after) == newSettingsForm(o) {
			return nil
		}
		return tx.UpdateOrganization(&after, route.ActorFrom(r.Context()).Name(), changedSettings(o, &after))
	})
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return w.showSettings(rw, r, http.StatusUnprocessableEntity, settingsBody{Problems: problems}, &form, nil)
	}
	http.Redirect(rw, r, settingsPath+"?done=1", http.StatusSeeOther)
	return nil
}

// changedSettings names what a change is about, for the history.
func changedSettings(before, after *signalbox.Organization) string {
	var out []string
	if before.Name != after.Name {
		out = append(out, "name "+after.Name)
	}
	if before.PublicURL != after.PublicURL {
		out = append(out, "public_url "+after.PublicURL)
	}
	if before.MaxRunningJobs != after.MaxRunningJobs {
		out = append(out, "max_running_jobs "+strconv.Itoa(after.MaxRunningJobs))
	}
	return strings.Join(out, ", ")
}

func (w *Web) postInitialization(rw http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(rw, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read; go back and try again")
	}
	form := initializationForm{r.PostForm.Get("machine_type"), r.PostForm.Get("os_image"), r.PostForm.Get(fieldCommands), r.PostForm.Get("secrets")}
	i := form.read()
	if err := signalbox.ValidateInitialization(&i); err != nil {
		return w.showSettings(rw, r, http.StatusUnprocessableEntity, settingsBody{Problems: map[string]string{fieldCommands: signalbox.ErrorMessage(err)}}, nil, &form)
	}
	stale := false
	err := w.o.Store.Write(r.Context(), func(tx *store.Tx) error {
		o, err := tx.LockOrganization()
		if err != nil {
			return err
		}
		if stale = versionOf(o.Initialization) != r.PostForm.Get("was"); stale {
			return nil
		}
		o.Initialization = i
		return tx.UpdateOrganization(o, route.ActorFrom(r.Context()).Name(), "initialization")
	})
	if err != nil {
		return err
	}
	if stale {
		return w.showSettings(rw, r, http.StatusConflict, settingsBody{Problems: map[string]string{fieldCommands: "Somebody else has changed this meanwhile. Nothing was saved; below is what you wrote, and saving it again replaces what they did."}}, nil, &form)
	}
	http.Redirect(rw, r, settingsPath+"?done=1", http.StatusSeeOther)
	return nil
}
