package web

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// mostTargetRows is how many rows of a kind are read of a form; more than a form can have parts.
const mostTargetRows = 1000

// readTarget takes a form in.
func readTarget(r *http.Request) (targetForm, error) {
	q := r.PostForm
	text := func(name string) string { return strings.TrimSpace(strings.ReplaceAll(q.Get(name), "\r\n", "\n")) }
	f := targetForm{
		Name: text("target_name"), Description: text("description"), URL: text("url"), Bookmarks: [3]string{text("bookmark.0"), text("bookmark.1"), text("bookmark.2")},
		Who:   targetWho{Mode: text("who"), Auto: q.Get("auto") != "", Names: text("people")},
		Token: text("token"), Seen: text("seen"), Problems: map[string]string{},
	}
	for _, role := range q["role"] {
		f.Who.Admin, f.Who.Member, f.Who.Viewer = f.Who.Admin || role == string(signalbox.RoleAdmin), f.Who.Member || role == string(signalbox.RoleMember), f.Who.Viewer || role == string(signalbox.RoleViewer)
	}
	f.All = targetKinds(nil)
	for i, k := range f.All {
		f.All[i].All = slices.Contains(q["all"], string(k.Type))
	}
	if !signalbox.IsID(f.Token) { // no form of ours has it
		f.Token = signalbox.NewID()
	}
	rows := func(name string) int {
		n, _ := strconv.Atoi(q.Get(name))
		return min(max(n, 0), mostTargetRows)
	}
	for i := range rows("refs") {
		at := "ref." + strconv.Itoa(i) + "."
		row := refRow{Type: signalbox.ObjectType(text(at + "type")), Match: signalbox.MatchExact, Pattern: text(at + "pattern")}
		if text(at+"match") == string(signalbox.MatchRegex) {
			row.Match = signalbox.MatchRegex
		}
		f.Refs = append(f.Refs, row)
	}
	held := func(at string) heldRow {
		return heldRow{Name: text(at + "name"), Held: q.Get(at+"held") != "", Remove: q.Get(at+"remove") != ""}
	}
	for i := range rows("variables") {
		at := "variable." + strconv.Itoa(i) + "."
		row := held(at)
		if value := strings.ReplaceAll(q.Get(at+"value"), "\r\n", "\n"); value != "" {
			row.value, row.typed = signalbox.NewSecretValue(value), true
		}
		f.Vars = append(f.Vars, row)
	}
	for i := range rows("files") {
		at := "file." + strconv.Itoa(i) + "."
		row := held(at)
		if r.MultipartForm != nil && len(r.MultipartForm.File[at+"content"]) > 0 {
			value, err := readUpload(r, at+"content")
			if err != nil {
				return f, err
			}
			row.value, row.typed = value, true
		}
		f.Files = append(f.Files, row)
	}
	return f, nil
}

func readUpload(r *http.Request, field string) (signalbox.SecretValue, error) {
	file, _, err := r.FormFile(field)
	if err != nil {
		return signalbox.SecretValue{}, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(file)
	return signalbox.NewSecretValue(string(content)), err
}

// targetFilled is what a form makes of a target.
type targetFilled struct {
	target signalbox.DeploymentTarget
	vars   []signalbox.SecretVar
	files  []signalbox.SecretFile
}

// apply writes the form into a target, and notes what is wrong. The target that is changed has the version that the form has seen.
func (f *targetForm) apply(tx *store.Tx, p *signalbox.Project, d *signalbox.DeploymentTarget) (out targetFilled, err error) {
	out.target = signalbox.DeploymentTarget{ProjectID: p.ID}
	names := map[string]string{}
	if d != nil {
		out.target = *d
		if names, err = userNames(tx, []*signalbox.DeploymentTarget{d}); err != nil {
			return out, err
		}
		if out.target.Version, err = strconv.Atoi(f.Seen); err != nil {
			out.target.Version = -1
		}
	}
	vars, files, err := heldNames(tx, d)
	if err != nil {
		return out, err
	}
	f.Vars, f.Files = settle(f.Vars, vars, 0), settle(f.Files, files, 0)
	t := &out.target
	t.Name, t.Description, t.URL, t.Bookmarks = f.Name, f.Description, f.URL, f.Bookmarks
	var problems []signalbox.FieldProblem
	note := func(field, format string, args ...any) {
		problems = append(problems, signalbox.FieldProblem{Field: field, Err: signalbox.Errorf(signalbox.CodeInvalid, format, args...)})
	}
	now := f.Who
	now.Names = strings.Join(now.people(), "\n")
	if before, _ := whoOf(t.Subjects, names); d == nil || before != now {
		t.Subjects = f.Who.rules()
		switch {
		case f.Who.Mode != "anybody" && f.Who.Mode != "nobody" && f.Who.Mode != "these":
			note("who", "Say who may deploy.")
		case f.Who.Mode == "these" && len(t.Subjects) == 0:
			note("who", "Tick a role, name somebody or tick automatic promotions; or choose Nobody.")
		case f.Who.Mode == "these":
			if err := checkPeople(tx, f.Who.people(), note); err != nil {
				return out, err
			}
		}
	}
	objects, rows := f.objects()
	if !sameRules(objects, t.Objects) {
		t.Objects = objects
	}
	problems = append(problems, t.Problems()...)
	held := signalbox.Secret{TargetID: "any"}
	varRows, fileRows := []int{}, []int{}
	for i, row := range f.Vars {
		if row.left() {
			continue
		}
		if row.missing() {
			note("env_vars."+strconv.Itoa(i), "Type the value of %.100s, or empty the name.", row.Name)
		}
		held.EnvVars, varRows = append(held.EnvVars, signalbox.SecretVar{Name: row.Name, Value: row.value, Keep: row.kept()}), append(varRows, i)
	}
	for i, row := range f.Files {
		if row.left() {
			continue
		}
		if row.missing() {
			note("files."+strconv.Itoa(i), "Choose the file that becomes %.100s, or empty the path.", row.Name)
		}
		held.Files, fileRows = append(held.Files, signalbox.SecretFile{Path: row.Name, Content: row.value, Keep: row.kept()}), append(fileRows, i)
	}
	out.vars, out.files = held.EnvVars, held.Files
	f.Problems = targetFieldsOf(problems, map[string][]int{"objects": rows})
	for field, text := range targetFieldsOf(held.ContentProblems(), map[string][]int{"env_vars": varRows, "files": fileRows}) {
		if f.Problems[field] == "" {
			f.Problems[field] = text
		}
	}
	return out, nil
}

// left tells whether a row is no part of what the target will hold.
func (h heldRow) left() bool { return h.Held && h.Remove || !h.Held && h.Name == "" && !h.typed }

func (h heldRow) kept() bool { return h.Held && !h.typed }

func (h heldRow) missing() bool { return !h.Held && !h.typed }

// objects are the rules of the form, and the rows of those that have one.
func (f *targetForm) objects() (out []signalbox.ObjectRule, rows []int) {
	out = []signalbox.ObjectRule{}
	for _, k := range f.All {
		if k.All {
			out, rows = append(out, signalbox.ObjectRule{Type: k.Type, Match: signalbox.MatchAll}), append(rows, -1)
		}
	}
	for i, row := range f.Refs {
		if row.Pattern != "" {
			out, rows = append(out, signalbox.ObjectRule{Type: row.Type, Match: row.Match, Pattern: row.Pattern}), append(rows, i)
		}
	}
	return out, rows
}

// sameRules tells whether two lists hold the same rules in whatever order.
func sameRules(a, b []signalbox.ObjectRule) bool {
	has := func(all []signalbox.ObjectRule) func(signalbox.ObjectRule) bool {
		return func(r signalbox.ObjectRule) bool { return !slices.Contains(all, r) }
	}
	return !slices.ContainsFunc(a, has(b)) && !slices.ContainsFunc(b, has(a))
}

// checkPeople notes the first name of nobody who can sign in.
func checkPeople(tx *store.Tx, names []string, note func(field, format string, args ...any)) error {
	for _, name := range names {
		find := tx.UserByName
		if signalbox.IsID(name) {
			find = tx.User
		}
		u, err := find(name)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound || err == nil && !u.DisabledAt.IsZero() {
			note("people", "There is nobody here called %.80q who can sign in. Write names as the page People shows them.", name)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
