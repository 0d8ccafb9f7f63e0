package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

// targetForm is the form in which a deployment target is made or changed, with what was typed. No value of a variable or file is ever
// put back into it.
type targetForm struct {
	Project                *signalbox.Project
	Target                 *targetView // nil for a new one
	Action, Back           string
	Name, Description, URL string
	Bookmarks              [3]string
	Vars, Files            []heldRow
	Who                    targetWho
	People                 []string // some of those who may be named
	Groups                 bool     // rules that let nobody through, and go away with a change
	All                    []targetKind
	Refs                   []refRow
	Token                  string // the same form sent twice makes one target
	Seen                   string // version of the target that is changed
	Problem                string // that belongs to no field
	Problems               map[string]string
	Focus                  string // the row that was added
}

// heldRow is a variable or a file in that form.
type heldRow struct {
	N       int
	Name    string
	Held    bool // the target has it; without a new value it stays
	Remove  bool
	Lost    bool // a value was typed, and is not in the form any more
	Problem string
	Focus   bool
	value   signalbox.SecretValue
	typed   bool
}

// targetWho says who may deploy: "anybody", "nobody" or "these".
type targetWho struct {
	Mode                        string
	Admin, Member, Viewer, Auto bool
	Names                       string // of users, one a line
}

// targetKind is a kind of ref of which all may be let through.
type targetKind struct {
	Type signalbox.ObjectType
	Word string
	All  bool
}

// refRow is a branch, tag or pull request that is let through.
type refRow struct {
	N       int
	Type    signalbox.ObjectType
	Match   signalbox.MatchMode
	Pattern string
	Problem string
	Focus   bool
}

func targetKinds(rules []signalbox.ObjectRule) []targetKind {
	out := []targetKind{{Type: signalbox.ObjectBranch, Word: "All branches"}, {Type: signalbox.ObjectTag, Word: "All tags"}, {Type: signalbox.ObjectPR, Word: "All pull requests"}}
	for i, k := range out {
		out[i].All = slices.Contains(rules, signalbox.ObjectRule{Type: k.Type, Match: signalbox.MatchAll})
	}
	return out
}

// whoOf is what the rules of a target say, with the names of users.
func whoOf(rules []signalbox.SubjectRule, names map[string]string) (w targetWho, groups bool) {
	w.Mode = "nobody"
	var people []string
	for _, r := range rules {
		if r.Type != signalbox.SubjectAny && r.Type != signalbox.SubjectGroup && w.Mode == "nobody" {
			w.Mode = "these"
		}
		switch r.Type {
		case signalbox.SubjectAny:
			w.Mode = "anybody"
		case signalbox.SubjectAuto:
			w.Auto = true
		case signalbox.SubjectRole:
			w.Admin, w.Member, w.Viewer = w.Admin || r.ID == string(signalbox.RoleAdmin), w.Member || r.ID == string(signalbox.RoleMember), w.Viewer || r.ID == string(signalbox.RoleViewer)
		case signalbox.SubjectUser:
			name := names[r.ID]
			if name == "" {
				name = r.ID
			}
			people = append(people, name)
		case signalbox.SubjectGroup:
			groups = true
		}
	}
	w.Names = strings.Join(people, "\n")
	return w, groups
}

// rules are the other way round; users are named as they were typed.
func (w targetWho) rules() []signalbox.SubjectRule {
	out := []signalbox.SubjectRule{}
	switch w.Mode {
	case "anybody":
		return signalbox.AnySubject()
	case "these":
		for role, ticked := range map[signalbox.Role]bool{signalbox.RoleAdmin: w.Admin, signalbox.RoleMember: w.Member, signalbox.RoleViewer: w.Viewer} {
			if ticked {
				out = append(out, signalbox.SubjectRule{Type: signalbox.SubjectRole, ID: string(role)})
			}
		}
		slices.SortFunc(out, func(a, b signalbox.SubjectRule) int { return strings.Compare(a.ID, b.ID) })
		for _, name := range w.people() {
			out = append(out, signalbox.SubjectRule{Type: signalbox.SubjectUser, ID: name})
		}
		if w.Auto {
			out = append(out, signalbox.SubjectRule{Type: signalbox.SubjectAuto})
		}
	}
	return out
}

func (w targetWho) people() (out []string) {
	for _, name := range linesOf(w.Names) {
		if name = strings.TrimSpace(name); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// targetFormOf is the form with what a target has, or the narrowest useful one for a new target.
func targetFormOf(tx *store.Tx, p *signalbox.Project, d *signalbox.DeploymentTarget) (targetForm, error) {
	if d == nil {
		f := targetForm{Token: signalbox.NewID(), Who: targetWho{Mode: "these", Admin: true}, All: targetKinds(nil), Vars: make([]heldRow, 2), Files: make([]heldRow, 1)}
		f.Refs = []refRow{{Type: signalbox.ObjectBranch, Match: signalbox.MatchExact, Pattern: p.DefaultBranch}, {Type: signalbox.ObjectTag, Match: signalbox.MatchRegex}}
		return f, nil
	}
	names, err := userNames(tx, []*signalbox.DeploymentTarget{d})
	f := targetForm{Name: d.Name, Description: d.Description, URL: d.URL, Bookmarks: d.Bookmarks, All: targetKinds(d.Objects), Seen: strconv.Itoa(d.Version)}
	f.Who, f.Groups = whoOf(d.Subjects, names)
	for _, r := range d.Objects {
		if r.Match != signalbox.MatchAll {
			f.Refs = append(f.Refs, refRow{Type: r.Type, Match: r.Match, Pattern: r.Pattern})
		}
	}
	f.Refs = append(f.Refs, refRow{Type: signalbox.ObjectBranch, Match: signalbox.MatchExact})
	return f, err
}

// heldNames are the variables and files of a target. Their values cannot be read here.
func heldNames(tx *store.Tx, d *signalbox.DeploymentTarget) (vars, files []string, err error) {
	if d == nil || d.SecretID == "" {
		return nil, nil, nil
	}
	s, err := tx.Secret(d.SecretID)
	if err != nil {
		return nil, nil, err
	}
	v, err := tx.SecretVersion(s.ID, s.Version)
	if err != nil {
		return nil, nil, err
	}
	return v.EnvVars, v.Files, nil
}

// settle makes rows those of what a target has now, with what was typed about it, and behind them what is new. blank is how many empty
// rows there are at least.
func settle(rows []heldRow, held []string, blank int) (out []heldRow) {
	for _, name := range held {
		row := heldRow{Name: name, Held: true}
		if i := slices.IndexFunc(rows, func(r heldRow) bool { return r.Held && r.Name == name }); i >= 0 {
			row = rows[i]
		}
		out = append(out, row)
	}
	for _, row := range rows {
		if row.Held && (slices.Contains(held, row.Name) || !row.typed) {
			continue
		}
		row.Held, row.Remove = false, false
		if out = append(out, row); row.Name == "" && !row.typed {
			blank--
		}
	}
	for ; blank > 0; blank-- {
		out = append(out, heldRow{})
	}
	return out
}

// showTargetForm renders what fill makes of a target; the target is nil where the path names none.
func (w *Web) showTargetForm(rw http.ResponseWriter, r *http.Request, status int, fill func(*store.Tx, *signalbox.Project, *signalbox.DeploymentTarget) (targetForm, error)) error {
	var f targetForm
	var s Shell
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		p, d, err := projectAndTarget(tx, r)
		if err != nil {
			return err
		}
		if f, err = fill(tx, p, d); err != nil {
			return err
		}
		f.Project, f.Action, f.Back = p, targetsURL(p), targetsURL(p)
		if d != nil {
			names, err := userNames(tx, []*signalbox.DeploymentTarget{d})
			if err != nil {
				return err
			}
			v := viewTarget(d, p, names, tx)
			f.Target, f.Action, f.Back = &v, v.URL, v.URL
		}
		vars, files, err := heldNames(tx, d)
		if err != nil {
			return err
		}
		f.Vars, f.Files = settle(f.Vars, vars, 1), settle(f.Files, files, 1)
		all, err := tx.People("", somePeople)
		for _, u := range all {
			if u.DisabledAt.IsZero() {
				f.People = append(f.People, clip(u.Name, 80))
			}
		}
		if err != nil {
			return err
		}
		s, err = w.shell(r, tx)
		return err
	}); err != nil {
		return err
	}
	f.number()
	s.Title, s.Section, s.Script, s.Later = "New deployment target · "+f.Project.Name, "projects", "page", "rows"
	s.Crumbs = []Link{{f.Project.Name, "/projects/" + f.Project.Name}, {"Deployments", targetsURL(f.Project)}}
	if f.Target != nil {
		s.Title = "Edit " + f.Target.Name + " · " + f.Project.Name
		s.Crumbs = append(s.Crumbs, Link{f.Target.Name, f.Target.URL})
	}
	return w.render(rw, status, "target-form", s, f)
}

// somePeople is how many names are offered beside the field for them.
const somePeople = 30

// number tells the rows which ones they are, and what is wrong with them.
func (f *targetForm) number() {
	for kind, rows := range map[string][]heldRow{"env_vars.": f.Vars, "files.": f.Files} {
		for i := range rows {
			at := kind + strconv.Itoa(i)
			rows[i].N, rows[i].Problem, rows[i].Lost, rows[i].Focus = i, f.Problems[at], rows[i].typed, f.Focus == at
		}
	}
	for i := range f.Refs {
		at := "objects." + strconv.Itoa(i)
		f.Refs[i].N, f.Refs[i].Problem, f.Refs[i].Focus = i, f.Problems[at], f.Focus == at
	}
}

// getTargetForm shows the form for a new target, or for the one of the path.
func (w *Web) getTargetForm(rw http.ResponseWriter, r *http.Request) error {
	return w.showTargetForm(rw, r, http.StatusOK, targetFormOf)
}

// maxTargetForm bounds what is read of a form; files are part of it. All of it stays in memory: no value is written to a disk in the clear.
const maxTargetForm = signalbox.MaxSecretSize + 2<<20

func readTargetBody(rw http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(rw, r.Body, maxTargetForm)
	if err := r.ParseMultipartForm(maxTargetForm); err != nil && err != http.ErrNotMultipart {
		// The cause may quote what it stumbled over.
		return signalbox.Errorf(signalbox.CodeInvalid, "The form could not be read. Variables and files may have %d MB together, and be some 300; the command line takes more of them.", signalbox.MaxSecretSize>>20)
	}
	return nil
}

// targetFieldsOf are problems by the fields of the form. What is numbered among what was filled in stands in these rows.
func targetFieldsOf(problems []signalbox.FieldProblem, rows map[string][]int) map[string]string {
	out := map[string]string{}
	for _, x := range problems {
		field := x.Field
		kind, n, _ := strings.Cut(field, ".")
		if i, err := strconv.Atoi(n); err == nil && rows[kind] != nil && i < len(rows[kind]) {
			field = kind + "." + strconv.Itoa(rows[kind][i])
		}
		if kind == "subjects" {
			field = "who"
		}
		if out[field] == "" {
			out[field] = clip(signalbox.ErrorMessage(x.Err), 500)
		}
	}
	return out
}

func (w *Web) postTarget(rw http.ResponseWriter, r *http.Request) error {
	if err := readTargetBody(rw, r); err != nil {
		return err
	}
	f, err := readTarget(r)
	if err != nil {
		return err
	}
	again := func(status int) error {
		return w.showTargetForm(rw, r, status, func(_ *store.Tx, _ *signalbox.Project, d *signalbox.DeploymentTarget) (targetForm, error) {
			if d == nil || status != http.StatusConflict {
				return f, nil
			}
			if now := strconv.Itoa(d.Version); f.Seen != now {
				f.Seen, f.Problems = now, nil
				f.Problem = "Somebody has changed this target meanwhile. Look at it in another tab; saving again replaces what they did."
			}
			return f, nil
		})
	}
	if f.step(r.PostForm) {
		return again(http.StatusOK)
	}
	var p *signalbox.Project
	var d *signalbox.DeploymentTarget
	var filled targetFilled
	if err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		if p, d, err = projectAndTarget(tx, r); err != nil {
			return err
		}
		filled, err = f.apply(tx, p, d)
		return err
	}); err != nil {
		return err
	}
	if len(f.Problems) > 0 {
		return again(http.StatusUnprocessableEntity)
	}
	who := route.ActorFrom(r.Context())
	to := &filled.target
	if d == nil {
		to.CreatedBy, to.UpdatedBy = who.User.Name, who.User.Name
		err = w.o.Deployer.CreateTarget(r.Context(), to, filled.vars, filled.files, f.Token, who.Name())
	} else {
		err = w.o.Deployer.ChangeTarget(r.Context(), to, filled.vars, filled.files, who.User.Name, who.Name())
	}
	switch {
	case err == nil:
		http.Redirect(rw, r, targetURL(p, to), http.StatusSeeOther)
		return nil
	case signalbox.ErrorCode(err) == signalbox.CodeConflict: // another target has the name, or this one is another meanwhile
		f.Problems["name"] = clip(signalbox.ErrorMessage(err), 500)
		return again(http.StatusConflict)
	case signalbox.ErrorCode(err) == signalbox.CodeInvalid:
		f.Problem = clip(signalbox.ErrorMessage(err), 500)
		return again(http.StatusUnprocessableEntity)
	}
	return orNotFound(err, "deployment target")
}

// step does what a button of the form asks for that does not save. It returns false when the form is to be saved.
func (f *targetForm) step(q url.Values) bool {
	switch q.Get("step") {
	case "add-variable":
		f.Vars, f.Focus = append(f.Vars, heldRow{}), "env_vars."+strconv.Itoa(len(f.Vars))
	case "add-file":
		f.Files, f.Focus = append(f.Files, heldRow{}), "files."+strconv.Itoa(len(f.Files))
	case "add-ref":
		f.Refs, f.Focus = append(f.Refs, refRow{Type: signalbox.ObjectBranch, Match: signalbox.MatchExact}), "objects."+strconv.Itoa(len(f.Refs))
	default:
		return false
	}
	return true
}
