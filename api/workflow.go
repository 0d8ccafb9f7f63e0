package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/trigger"
)

func (a *API) workflow(w *signalbox.Workflow, firstPipeline string) map[string]any {
	return map[string]any{
		"wf_id": w.ID, "initial_ppl_id": firstPipeline, "project_id": w.ProjectID, "organization_id": a.OrganizationID, "hook_id": "",
		"requester_id": w.Requester, "branch_id": signalbox.BranchID(w.ProjectID, w.BranchName), "branch_name": w.BranchName, "commit_sha": w.CommitSHA, "created_at": seconds(w.CreatedAt),
		"triggered_by": string(w.TriggeredBy), "rerun_of": w.RerunOf, "repository_id": w.ProjectID, "number": w.Number,
	}
}

func firstPipeline(tx *store.Tx, workflowID string) (string, error) {
	all, err := tx.PipelinesOf(workflowID)
	if err != nil || len(all) == 0 {
		return "", err
	}
	return all[0].ID, nil
}

func (a *API) listWorkflows(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	made, err := periodOf(r, "created")
	if err != nil {
		return err
	}
	out := []map[string]any{}
	pg, more := pageOf(r), false
	if err := a.read(r, func(tx *store.Tx) error {
		if q.Get("project_id") == "" {
			return signalbox.Errorf(signalbox.CodeInvalid, "name a project: ?project_id=ID")
		}
		p, err := tx.FindProject(q.Get("project_id"))
		if err != nil {
			return err
		}
		all, err := tx.Workflows(store.WorkflowFilter{ProjectID: p.ID, BranchName: q.Get("branch_name"), Limit: pg.limit, Offset: pg.offset})
		more = len(all) == pg.limit && made.open(all[len(all)-1].CreatedAt)
		for _, wf := range all {
			if !made.has(wf.CreatedAt) {
				continue
			}
			first, err := firstPipeline(tx, wf.ID)
			if err != nil {
				return err
			}
			out = append(out, a.workflow(wf, first))
		}
		return err
	}); err != nil {
		return err
	}
	a.link(w, r, pg, more)
	return write(w, out)
}

func (a *API) startWorkflow(w http.ResponseWriter, r *http.Request) error {
	var b struct {
		ProjectID    string          `json:"project_id"`
		Reference    string          `json:"reference"`
		CommitSHA    string          `json:"commit_sha"`
		PipelineFile string          `json:"pipeline_file"`
		RequestToken string          `json:"request_token"`
		Parameters   json.RawMessage `json:"parameters"`
	}
	if err := readForm(w, r, &b); err != nil {
		return err
	}
	switch {
	case b.ProjectID == "":
		return signalbox.Errorf(signalbox.CodeInvalid, "name the project: project_id")
	case b.RequestToken == "":
		b.RequestToken = r.Header.Get("Idempotency-Key")
	}
	parameters, err := readParameters(b.Parameters)
	if err != nil {
		return err
	}
	var p *signalbox.Project
	if err := a.read(r, func(tx *store.Tx) (err error) { p, err = tx.FindProject(b.ProjectID); return err }); err != nil {
		return err
	}
	who := route.ActorFrom(r.Context())
	wf, ppl, err := a.Trigger.Start(r.Context(), trigger.Request{
		Project: p, Ref: b.Reference, SHA: b.CommitSHA, PipelineFile: b.PipelineFile, TriggeredBy: signalbox.TriggeredByAPI,
		Requester: who.User.Name, Actor: who.Name(), RequestToken: b.RequestToken, Parameters: parameters,
	})
	if err != nil {
		return err
	}
	return write(w, map[string]string{"workflow_id": wf.ID, "pipeline_id": ppl.ID, "wf_id": wf.ID, "ppl_id": ppl.ID})
}

// readParameters reads an object of texts, numbers and booleans, sorted by name.
func readParameters(raw json.RawMessage) ([]signalbox.EnvVar, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	values := map[string]any{}
	if err := json.Unmarshal(raw, &values); err != nil {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "parameters must be an object of texts, such as {\"ENV\": \"staging\"}: %w", err)
	}
	var out []signalbox.EnvVar
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v, err := plainText(name, values[name])
		if err != nil {
			return nil, err
		}
		out = append(out, signalbox.EnvVar{Name: name, Value: v})
	}
	return out, nil
}

// plainText is the text of a value that is written as a text, a number or a boolean.
func plainText(name string, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	return "", signalbox.Errorf(signalbox.CodeInvalid, "%.60q must be a text", name)
}

func (a *API) showWorkflow(w http.ResponseWriter, r *http.Request) error {
	var out map[string]any
	if err := a.read(r, func(tx *store.Tx) error {
		wf, err := tx.Workflow(r.PathValue("workflow"))
		if err != nil {
			return err
		}
		first, err := firstPipeline(tx, wf.ID)
		out = a.workflow(wf, first)
		return err
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"workflow": out})
}

func (a *API) stopWorkflow(w http.ResponseWriter, r *http.Request) error {
	n := 0
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		n = 0
		if _, err := tx.Workflow(r.PathValue("workflow")); err != nil {
			return err
		}
		all, err := tx.PipelinesOf(r.PathValue("workflow"))
		if err != nil {
			return err
		}
		for _, p := range all {
			if p.State == signalbox.PipelineDone {
				continue
			}
			n++
			if err := a.Engine.StopPipeline(tx, p.ID, actor(r), signalbox.ReasonUser); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return write(w, "Termination started for "+strconv.Itoa(n)+" pipelines.")
}
