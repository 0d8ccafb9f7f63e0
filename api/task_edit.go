package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/spec"
	"github.com/signalbox-ci/signalbox/store"
)

// taskInput is a task as clients write it, alone or in a project's list. What is nil was not named.
type taskInput struct {
	ID            string            `json:"id"`
	Name          *string           `json:"name"`
	Description   *string           `json:"description"`
	Recurring     *bool             `json:"recurring"`
	Scheduled     *bool             `json:"scheduled"` // recurring, in a project
	At            *string           `json:"at"`
	TimeZone      *string           `json:"time_zone"`
	Branch        *string           `json:"branch"`
	Reference     json.RawMessage   `json:"reference"`
	ReferenceType string            `json:"reference_type"`
	ReferenceName string            `json:"reference_name"`
	PipelineFile  *string           `json:"pipeline_file"`
	Paused        *bool             `json:"paused"`
	Status        string            `json:"status"` // ACTIVE or INACTIVE, in a project
	Overlap       *string           `json:"overlap"`
	CatchUp       *string           `json:"catch_up"`
	Parameters    *[]parameterInput `json:"parameters"`
}

// parameterInput leaves two fields as they are when they are not named: the official command line does not know them
// and would lose them.
type parameterInput struct {
	Name        string   `json:"name"`
	Required    bool     `json:"required"`
	Description string   `json:"description"`
	Default     string   `json:"default_value"`
	Options     []string `json:"options"`
	Validate    *bool    `json:"validate_input_format"`
	Pattern     *string  `json:"regex_pattern"`
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// apply writes what was named into a task.
func (in *taskInput) apply(k *signalbox.Task) error {
	set(&k.Name, in.Name)
	set(&k.Description, in.Description)
	set(&k.Recurring, in.Recurring)
	set(&k.Recurring, in.Scheduled)
	set(&k.At, in.At)
	set(&k.TimeZone, in.TimeZone)
	set(&k.PipelineFile, in.PipelineFile)
	set(&k.Paused, in.Paused)
	set((*string)(&k.Overlap), in.Overlap)
	set((*string)(&k.CatchUp), in.CatchUp)
	switch strings.ToUpper(in.Status) {
	case "":
	case "ACTIVE", "INACTIVE":
		k.Paused = strings.EqualFold(in.Status, "INACTIVE")
	default:
		return signalbox.Errorf(signalbox.CodeInvalid, "status of task %.100q is %.40q; it must be ACTIVE or INACTIVE", k.Name, in.Status)
	}
	ref, err := in.ref()
	if err != nil {
		return err
	}
	set(&k.Ref, ref)
	if in.Parameters != nil {
		k.Parameters = mergeParameters(k.Parameters, *in.Parameters)
	}
	return nil
}

// ref is the full ref that was named, in one of four ways.
func (in *taskInput) ref() (*string, error) {
	kind, name := in.ReferenceType, in.ReferenceName
	if len(in.Reference) > 0 && string(in.Reference) != "null" {
		var text string
		if json.Unmarshal(in.Reference, &text) == nil {
			text = signalbox.ParseRef(text)
			return &text, nil
		}
		var ref struct {
			Type string `json:"type"`
			Name string `json:"name"`
		}
		if err := json.Unmarshal(in.Reference, &ref); err != nil || ref.Type == "" || ref.Name == "" {
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "Reference must contain 'type' and 'name' fields")
		}
		kind, name = ref.Type, ref.Name
	}
	if kind != "" || name != "" {
		ref, err := signalbox.RefOf(kind, name)
		return &ref, err
	}
	if in.Branch == nil {
		return nil, nil
	}
	ref := signalbox.ParseRef(*in.Branch)
	return &ref, nil
}

func mergeParameters(was []signalbox.TaskParameter, in []parameterInput) []signalbox.TaskParameter {
	var out []signalbox.TaskParameter
	for _, p := range in {
		n := signalbox.TaskParameter{Name: p.Name, Required: p.Required, Description: p.Description, Default: p.Default, Options: p.Options}
		if i := slices.IndexFunc(was, func(w signalbox.TaskParameter) bool { return w.Name == p.Name }); i >= 0 {
			n.Validate, n.Pattern = was[i].Validate, was[i].Pattern
		}
		set(&n.Validate, p.Validate)
		set(&n.Pattern, p.Pattern)
		if len(n.Options) == 0 {
			n.Options = nil
		}
		out = append(out, n)
	}
	return out
}

// document turns a definition into the same form. All that it may name is replaced, but for what old clients leave out.
func document(d *spec.Schedule) *taskInput {
	parameters := []parameterInput{}
	for _, p := range d.Parameters {
		parameters = append(parameters, parameterInput{p.Name, p.Required, p.Description, p.Default, p.Options, p.Validate, p.Pattern})
	}
	return &taskInput{
		ID: d.ID, Name: &d.Name, Description: &d.Description, Recurring: &d.Recurring, At: &d.At, TimeZone: d.TimeZone, Branch: &d.Ref,
		PipelineFile: &d.PipelineFile, Paused: d.Paused, Overlap: d.Overlap, CatchUp: d.CatchUp, Parameters: &parameters,
	}
}

// saveTask creates a task, or changes the one whose id a definition names. It answers the id.
func (a *API) saveTask(w http.ResponseWriter, r *http.Request) error {
	var b struct {
		Definition string `json:"yml_definition"`
		ProjectID  string `json:"project_id"`
		taskInput
	}
	if err := readForm(w, r, &b); err != nil {
		return err
	}
	in, project := &b.taskInput, b.ProjectID
	if b.Definition != "" {
		d, err := spec.ParseSchedule([]byte(b.Definition))
		if err != nil {
			return signalbox.Errorf(signalbox.CodeInvalid, "yml_definition: %w", err)
		}
		in, project = document(d), d.Project
	} else if in.ID != "" {
		return signalbox.Errorf(signalbox.CodeInvalid, "a new task gets its id here; to change the task %.60q, send PATCH to its own address", in.ID)
	}
	if project == "" {
		return signalbox.Errorf(signalbox.CodeInvalid, "name the project: project_id, or spec.project in yml_definition")
	}
	var id string
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		p, err := tx.FindProject(project)
		if err != nil {
			return err
		}
		if in.ID != "" {
			k, err := findTask(tx, in.ID)
			if err != nil {
				return err
			}
			if k.ProjectID != p.ID {
				return signalbox.Errorf(signalbox.CodeInvalid, "task %s belongs to another project than %s; a task cannot be moved", k.ID, p.Name)
			}
			id = k.ID
			_, err = schedule.Update(tx, k.ID, userName(r), actor(r), in.apply)
			return err
		}
		k := newTask(r, p)
		if b.Definition == "" { // a definition says everything
			k.Ref, k.PipelineFile = signalbox.ParseRef(p.DefaultBranch), p.PipelineFile
		}
		if err := in.apply(k); err != nil {
			return err
		}
		id = k.ID
		return schedule.Create(tx, k, actor(r))
	}); err != nil {
		return err
	}
	return write(w, id)
}

func userName(r *http.Request) string { return route.ActorFrom(r.Context()).User.Name }

func newTask(r *http.Request, p *signalbox.Project) *signalbox.Task {
	return &signalbox.Task{ID: signalbox.NewID(), ProjectID: p.ID, Recurring: true, Owner: userName(r)}
}

// updateTask changes what the body names, pausing and resuming included; a definition replaces what it can say.
func (a *API) updateTask(w http.ResponseWriter, r *http.Request) error {
	var b struct {
		Definition string `json:"yml_definition"`
		taskInput
	}
	if err := read(w, r, &b); err != nil {
		return err
	}
	in := &b.taskInput
	if b.Definition != "" {
		d, err := spec.ParseSchedule([]byte(b.Definition))
		if err != nil {
			return signalbox.Errorf(signalbox.CodeInvalid, "yml_definition: %w", err)
		}
		in = document(d)
	}
	if in.ID != "" && !strings.EqualFold(in.ID, r.PathValue("task")) {
		return signalbox.Errorf(signalbox.CodeInvalid, "the task in the path is %.60q, but the body names %.60q", r.PathValue("task"), in.ID)
	}
	var k *signalbox.Task
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		found, err := findTask(tx, r.PathValue("task"))
		if err != nil {
			return err
		}
		k, err = schedule.Update(tx, found.ID, userName(r), actor(r), in.apply)
		return err
	}); err != nil {
		return err
	}
	return write(w, a.task(k))
}
