package api

import (
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec"
	"github.com/signalbox-ci/signalbox/store"
)

// pipeline is the describe form: states in lower case, times as text.
func (a *API) pipeline(p *signalbox.Pipeline, wf *signalbox.Workflow) map[string]any {
	b := map[string]any{
		"ppl_id": p.ID, "name": p.Name, "state": string(p.State), "error_description": p.ErrorDescription, "project_id": p.ProjectID,
		"organization_id": a.OrganizationID, "wf_id": p.WorkflowID, "hook_id": "", "branch_id": signalbox.BranchID(wf.ProjectID, wf.BranchName), "branch_name": wf.BranchName,
		"commit_sha": wf.CommitSHA, "commit_message": wf.CommitMessage, "yaml_file_name": path.Base(p.File), "working_directory": path.Dir(p.File),
		"created_at": stamp(p.CreatedAt), "pending_at": stamp(p.PendingAt), "queuing_at": stamp(p.QueuingAt), "running_at": stamp(p.RunningAt),
		"stopping_at": stamp(p.StoppingAt), "done_at": stamp(p.DoneAt), "terminate_request": p.Terminate, "terminated_by": p.TerminatedBy,
		"switch_id": "", "snapshot_id": "", "promotion_of": p.Origin.PromotedFrom, "partial_rerun_of": p.Origin.RerunOf,
		"partially_rerun_by": p.Origin.RerunBy, "compile_task_id": "", "after_task_id": "", "with_after_task": p.Plan != nil && len(p.Plan.After) > 0,
		"repository_id": p.ProjectID, "env_vars": envVars(p.Origin.Parameters), "queue": a.queue(p),
		"version": p.Version,
	}
	ended(b, string(p.State), p.Result, p.Reason)
	return b
}

func (a *API) queue(p *signalbox.Pipeline) map[string]any {
	q := map[string]any{
		"queue_id": "", "name": strings.TrimPrefix(p.QueueKey, p.ProjectID+"/"), "scope": "project", "project_id": p.ProjectID,
		"organization_id": a.OrganizationID, "type": "implicit",
	}
	if p.Queue.Name != "" {
		q["name"], q["type"] = p.Queue.Name, "user_generated"
	}
	if p.Queue.Organization {
		q["scope"], q["project_id"] = "organization", ""
	}
	return q
}

func envVars(vars []signalbox.EnvVar) []map[string]string {
	out := []map[string]string{}
	for _, v := range vars {
		out = append(out, map[string]string{"name": v.Name, "value": v.Value})
	}
	return out
}

// ended adds result and reason, which are absent until a thing is done. A passed one has always had the reason "test".
func ended(b map[string]any, state string, result signalbox.Result, reason signalbox.Reason) {
	if state != "done" {
		return
	}
	b["result"] = string(result)
	if reason = reason.Compatible(); reason == signalbox.ReasonNone {
		reason = signalbox.ReasonTest
	}
	b["result_reason"] = string(reason)
}

func (a *API) listPipelines(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	f := store.PipelineFilter{WorkflowID: q.Get("wf_id"), BranchName: q.Get("branch_name")}
	made, err := periodOf(r, "created")
	if err != nil {
		return err
	}
	ended, err := periodOf(r, "done")
	if err != nil {
		return err
	}
	isWanted := func(p *signalbox.Pipeline) bool {
		return made.has(p.CreatedAt) && (ended == period{} || !p.DoneAt.IsZero() && ended.has(p.DoneAt)) &&
			(q.Get("yml_file_path") == "" || q.Get("yml_file_path") == p.File)
	}
	pg, more := pageOf(r), false
	f.Limit, f.Offset = pg.limit, pg.offset
	out := []map[string]any{}
	if err := a.read(r, func(tx *store.Tx) error {
		if id := q.Get("project_id"); id != "" {
			p, err := tx.FindProject(id)
			if err != nil {
				return err
			}
			f.ProjectID = p.ID
		} else if f.WorkflowID == "" {
			return signalbox.Errorf(signalbox.CodeNotFound, "name a project_id or a wf_id")
		}
		all, err := tx.Pipelines(f)
		if err != nil {
			return err
		}
		if len(all) == 0 && f.WorkflowID != "" && f.Offset == 0 {
			// The official command line cannot take an empty list here.
			return signalbox.Errorf(signalbox.CodeNotFound, "there is no workflow %.60s", f.WorkflowID)
		}
		more = len(all) == f.Limit && made.open(all[len(all)-1].CreatedAt)
		for _, p := range all {
			if !isWanted(p) {
				continue
			}
			wf, err := tx.Workflow(p.WorkflowID)
			if err != nil {
				return err
			}
			b := a.pipeline(p, wf)
			for _, k := range []string{"state", "result", "result_reason"} {
				if s, ok := b[k].(string); ok {
					b[k] = strings.ToUpper(s)
				}
			}
			for k, t := range map[string]time.Time{
				"created_at": p.CreatedAt, "pending_at": p.PendingAt, "queuing_at": p.QueuingAt, "running_at": p.RunningAt,
				"stopping_at": p.StoppingAt, "done_at": p.DoneAt,
			} {
				b[k] = seconds(t)
			}
			out = append(out, b)
		}
		return nil
	}); err != nil {
		return err
	}
	a.link(w, r, pg, more)
	return write(w, out)
}

// showPipeline describes a pipeline. With ?wait=N&version=V it answers once the pipeline or one of its jobs has changed
// since the answer that carried version V, or after N seconds.
func (a *API) showPipeline(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("pipeline")
	changed, stop := a.Store.Watch(store.KeyPipeline(id))
	defer stop()
	wait, _ := strconv.Atoi(r.URL.Query().Get("wait"))
	deadline := time.NewTimer(time.Duration(min(max(wait, 0), 60)) * time.Second)
	defer deadline.Stop()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(2 * time.Minute))
	for {
		body, tag, err := a.describe(r, id)
		if err != nil {
			return err
		}
		if wait <= 0 || tag != r.URL.Query().Get("version") {
			return write(w, body)
		}
		select {
		case <-changed:
		case <-deadline.C:
			return write(w, body)
		case <-r.Context().Done():
			return nil
		}
	}
}

func (a *API) describe(r *http.Request, id string) (body map[string]any, tag string, err error) {
	detailed := r.URL.Query().Get("detailed") == "true"
	err = a.read(r, func(tx *store.Tx) error {
		p, err := tx.Pipeline(id)
		if err != nil {
			return err
		}
		wf, err := tx.Workflow(p.WorkflowID)
		if err != nil {
			return err
		}
		jobs, err := tx.JobsOf(id)
		if err != nil {
			return err
		}
		tag = strconv.FormatInt(p.Version, 10)
		for _, j := range jobs {
			tag += "." + string(j.State[0])
		}
		blocks := []map[string]any{}
		if detailed {
			if blocks, err = describeBlocks(tx, id, jobs); err != nil {
				return err
			}
		}
		described := a.pipeline(p, wf)
		init, err := tx.BlockBeside(id, signalbox.BlockInit)
		if err != nil {
			return err
		}
		if init != nil {
			described["compile_task_id"] = init.ID
		}
		if p.Plan != nil && len(p.Plan.After) > 0 {
			after, err := tx.BlockBeside(id, signalbox.BlockAfter)
			if err != nil {
				return err
			}
			if after != nil {
				described["after_task_id"] = after.ID
			}
		}
		body = map[string]any{"pipeline": described, "blocks": blocks, "version": tag}
		return nil
	})
	return body, tag, err
}

func describeBlocks(tx *store.Tx, pipelineID string, jobs []*signalbox.Job) ([]map[string]any, error) {
	all, err := tx.Blocks(pipelineID)
	if err != nil {
		return nil, err
	}
	out := []map[string]any{}
	for _, b := range all {
		list := []map[string]any{}
		for _, j := range jobs {
			if j.BlockID == b.ID {
				list = append(list, map[string]any{
					"name": j.Name, "index": j.Index, "job_id": j.ID, "status": jobState(j.State), "result": jobResult(j.Result),
					"reason": string(j.Reason), "failure_reason": j.FailureReason, "started_at": unixText(j.StartedAt), "finished_at": unixText(j.FinishedAt),
				})
			}
		}
		m := map[string]any{
			"block_id": b.ID, "name": b.Name, "build_req_id": b.ID, "state": string(b.State), "error_description": b.ErrorDescription, "jobs": list,
		}
		ended(m, string(b.State), b.Result, b.Reason)
		out = append(out, m)
	}
	return out, nil
}

func (a *API) stopPipeline(w http.ResponseWriter, r *http.Request) error {
	var b struct {
		Terminate any `json:"terminate_request"`
	}
	if err := readForm(w, r, &b); err != nil {
		return err
	}
	if b.Terminate != true {
		return signalbox.Errorf(signalbox.CodeInvalid, "Value of 'terminate_request' field must be boolean value 'true'.")
	}
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		return a.Engine.StopPipeline(tx, r.PathValue("pipeline"), actor(r), signalbox.ReasonUser)
	}); err != nil {
		return err
	}
	return write(w, "Pipeline termination started.")
}

func (a *API) showTopology(w http.ResponseWriter, r *http.Request) error {
	out := []map[string]any{}
	if err := a.read(r, func(tx *store.Tx) error {
		p, err := tx.Pipeline(r.PathValue("pipeline"))
		if err != nil || p.Plan == nil {
			return err
		}
		for _, b := range p.Plan.Blocks {
			jobs, deps := []string{}, []string{}
			for _, j := range b.Jobs {
				jobs = append(jobs, j.Name)
			}
			for _, d := range b.Dependencies {
				deps = append(deps, p.Plan.Blocks[d].Name)
			}
			out = append(out, map[string]any{"name": b.Name, "jobs": jobs, "dependencies": deps})
		}
		return nil
	}); err != nil {
		return err
	}
	return write(w, out)
}

func (a *API) validateYAML(w http.ResponseWriter, r *http.Request) error {
	var b struct {
		YAML string `json:"yaml_definition"`
	}
	if err := readForm(w, r, &b); err != nil {
		return err
	}
	res := spec.Parse([]byte(b.YAML), spec.Options{File: "pipeline.yml"})
	if res.Problems.HasErrors() {
		return signalbox.Errorf(signalbox.CodeInvalid, "%s", res.Problems.Error())
	}
	return write(w, map[string]string{"pipeline_id": "", "message": "YAML definition is valid."})
}
