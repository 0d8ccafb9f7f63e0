package api

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/queue"
	"github.com/signalbox-ci/signalbox/store"
)

func jobState(s signalbox.JobState) string {
	switch s {
	case signalbox.JobRunning:
		return "RUNNING"
	case signalbox.JobFinished:
		return "FINISHED"
	}
	return "QUEUED"
}

func jobResult(r signalbox.JobResult) string {
	switch r {
	case signalbox.JobPassed:
		return "PASSED"
	case signalbox.JobFailed:
		return "FAILED"
	case signalbox.JobStopped:
		return "STOPPED"
	}
	return "NONE"
}

func job(tx *store.Tx, j *signalbox.Job) (map[string]any, error) {
	vars := []map[string]string{}
	for _, e := range j.Spec.EnvVars {
		vars = append(vars, map[string]string{"name": e.Name, "value": e.Value})
	}
	files := []map[string]string{}
	for _, f := range j.Spec.Files {
		files = append(files, map[string]string{"path": f.Path, "content": base64.StdEncoding.EncodeToString(f.Content)})
	}
	status := map[string]any{"state": jobState(j.State), "result": jobResult(j.Result), "agent": nil, "reason": string(j.Reason), "failure_reason": j.FailureReason}
	var err error
	if j.AttemptID != "" && !j.StartedAt.IsZero() {
		var at *signalbox.Attempt
		if at, err = tx.Attempt(j.AttemptID); err != nil {
			return nil, err
		}
		status["agent"] = map[string]any{"ip": "", "name": at.AgentName, "ports": []any{}}
	}
	updated := j.CreatedAt
	if !j.StartedAt.IsZero() {
		updated = j.StartedAt
	}
	if !j.FinishedAt.IsZero() {
		updated = j.FinishedAt
	}
	out := map[string]any{
		"metadata": map[string]any{
			"id": j.ID, "name": j.Name, "create_time": unixText(j.CreatedAt), "update_time": unixText(updated),
			"start_time": unixText(j.StartedAt), "finish_time": unixText(j.FinishedAt),
		},
		"spec": map[string]any{
			"project_id": j.ProjectID, "agent": map[string]any{
				"machine": map[string]any{"type": j.Spec.MachineType, "os_image": j.Spec.OSImage}, "containers": []any{}, "image_pull_secrets": []any{},
			},
			"secrets": secretNames(j.Spec.Secrets), "env_vars": vars, "files": files, "commands": list(j.Spec.Commands), "epilogue_commands": []any{},
			"epilogue_always_commands": list(j.Spec.EpilogueAlways), "epilogue_on_pass_commands": list(j.Spec.EpilogueOnPass),
			"epilogue_on_fail_commands": list(j.Spec.EpilogueOnFail),
		},
		"status": status, "pipeline_id": j.PipelineID, "workflow_id": j.WorkflowID,
	}
	if j.DebugOf != "" {
		if out["debug"], err = debugBody(tx, j); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// maxJobs is the page size of the job list.
const maxJobs = 30

func (a *API) listJobs(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	f := store.JobFilter{Limit: maxJobs}
	for _, s := range q["states"] {
		switch s {
		case "PENDING", "QUEUED":
			f.States = append(f.States, signalbox.JobQueued, signalbox.JobOffered)
		case "RUNNING":
			f.States = append(f.States, signalbox.JobRunning)
		case "FINISHED":
			f.States = append(f.States, signalbox.JobFinished)
		default:
			return signalbox.Errorf(signalbox.CodeInvalid, "unknown job state %.40q: use PENDING, QUEUED, RUNNING or FINISHED", s)
		}
	}
	n, _ := strconv.Atoi(q.Get("page_size"))
	switch {
	case n > maxJobs:
		return signalbox.Errorf(signalbox.CodeInvalid, "Page size can't exceed %d", maxJobs)
	case n > 0:
		f.Limit = n
	case official(r):
		f.Limit = maxPage // it never asks for a second page
	}
	var err error
	if f.After, err = parseJobPlace(q.Get("page_token")); err != nil {
		return err
	}
	out := []map[string]any{}
	next := ""
	if err := a.read(r, func(tx *store.Tx) error {
		all, err := tx.Jobs(f)
		if err != nil {
			return err
		}
		for _, j := range all {
			b, err := job(tx, j)
			if err != nil {
				return err
			}
			out = append(out, b)
		}
		if len(all) == f.Limit {
			last := all[len(all)-1]
			next = strconv.FormatInt(last.CreatedAt.UnixMilli(), 10) + "." + last.ID
		}
		return nil
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"jobs": out, "next_page_token": next})
}

// parseJobPlace reads a page_token, a time in milliseconds and a job's id; "" is the beginning.
func parseJobPlace(text string) (p store.JobPlace, err error) {
	if text == "" {
		return p, nil
	}
	at, id, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil || n < 0 || !signalbox.IsID(id) {
		return p, signalbox.Errorf(signalbox.CodeInvalid, "page_token is not one that this server gave: begin without one")
	}
	return store.JobPlace{CreatedAt: time.UnixMilli(n), ID: id}, nil
}

// jobID returns the id in the path; it is an error of the client's when it is none.
func jobID(r *http.Request) (string, error) {
	id := r.PathValue("job")
	if !signalbox.IsID(id) {
		return "", signalbox.Errorf(signalbox.CodeInvalid, "Job id %.60s is invalid", id)
	}
	return id, nil
}

func (a *API) showJob(w http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	return a.answerJob(w, r, id)
}

// answerJob describes a job. With ?wait=N&version=V it answers once the job's state differs from that of the answer that
// carried version V, or after N seconds.
func (a *API) answerJob(w http.ResponseWriter, r *http.Request, id string) error {
	changed, stop := a.Store.Watch(store.KeyJob(id))
	defer stop()
	wait, _ := strconv.Atoi(r.URL.Query().Get("wait"))
	deadline := time.NewTimer(time.Duration(min(max(wait, 0), 60)) * time.Second)
	defer deadline.Stop()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(2 * time.Minute))
	for {
		var out map[string]any
		if err := a.read(r, func(tx *store.Tx) error {
			j, err := tx.Job(id)
			if err != nil {
				return err
			}
			if out, err = job(tx, j); err != nil {
				return err
			}
			out["version"] = string(j.State) + "." + strconv.Itoa(j.AttemptN)
			if why, err := a.waiting(tx, j); err != nil {
				return err
			} else if why != nil {
				out["waiting"] = why
			}
			return a.addGitVars(tx, j, out)
		}); err != nil {
			return err
		}
		if wait <= 0 || out["version"] != r.URL.Query().Get("version") {
			return write(w, out)
		}
		select {
		case <-changed:
		case <-deadline.C:
			return write(w, out)
		case <-r.Context().Done():
			return nil
		}
	}
}

// waiting says what a job that is not on an agent waits for; nil when it waits no longer.
func (a *API) waiting(tx *store.Tx, j *signalbox.Job) (map[string]any, error) {
	if j.State != signalbox.JobQueued && j.State != signalbox.JobOffered {
		return nil, nil
	}
	e, err := queue.ExplainJob(tx, j, a.Started)
	return map[string]any{"position": e.Position, "text": e.Text, "blocked": e.Blocked}, err
}

// explainJob says why a job waits.
func (a *API) explainJob(w http.ResponseWriter, r *http.Request) error {
	id, err := jobID(r)
	if err != nil {
		return err
	}
	out := struct {
		queue.Explanation
		Expected string `json:"expected_start"`
	}{}
	if err := a.read(r, func(tx *store.Tx) error {
		j, err := tx.Job(id)
		if err != nil {
			return err
		}
		out.Explanation, err = queue.ExplainJob(tx, j, a.Started)
		return err
	}); err != nil {
		return err
	}
	out.Expected = unixText(out.Explanation.Expected)
	return write(w, out)
}

// addGitVars shows what the job was told about its commit before its own variables.
func (a *API) addGitVars(tx *store.Tx, j *signalbox.Job, out map[string]any) error {
	c := engine.JobContext{OrganizationID: a.OrganizationID, Job: j}
	var err error
	if c.Project, err = tx.Project(j.ProjectID); err != nil {
		return err
	}
	if c.Workflow, err = tx.Workflow(j.WorkflowID); err != nil {
		return err
	}
	if c.Pipeline, err = tx.Pipeline(j.PipelineID); err != nil {
		return err
	}
	if c.Block, err = tx.Block(j.BlockID); err != nil {
		return err
	}
	all := engine.JobEnv(c)
	vars := []map[string]string{}
	for _, v := range all[:len(all)-len(j.Spec.EnvVars)] {
		if strings.HasPrefix(v.Name, "SEMAPHORE_GIT_") {
			vars = append(vars, map[string]string{"name": v.Name, "value": v.Value})
		}
	}
	spec := out["spec"].(map[string]any)
	spec["env_vars"] = append(vars, spec["env_vars"].([]map[string]string)...)
	return nil
}

func (a *API) stopJob(w http.ResponseWriter, r *http.Request) error {
	if err := a.Store.Write(r.Context(), func(tx *store.Tx) error {
		return a.Engine.StopJob(tx, r.PathValue("job"), actor(r), signalbox.ReasonUser)
	}); err != nil {
		return err
	}
	return write(w, struct{}{})
}

func (a *API) listAttempts(w http.ResponseWriter, r *http.Request) error {
	out := []map[string]any{}
	if err := a.read(r, func(tx *store.Tx) error {
		if _, err := tx.Job(r.PathValue("job")); err != nil {
			return err
		}
		all, err := tx.Attempts(r.PathValue("job"))
		for _, t := range all {
			out = append(out, map[string]any{
				"id": t.ID, "n": t.N, "agent": t.AgentName, "state": string(t.State), "result": string(t.Result), "reason": string(t.Reason),
				"late_result": string(t.LateResult), "offered_at": unixText(t.OfferedAt), "fetched_at": unixText(t.FetchedAt), "ended_at": unixText(t.EndedAt),
			})
		}
		return err
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"attempts": out})
}

func (a *API) listEvents(w http.ResponseWriter, r *http.Request) error {
	out := []*signalbox.Event{}
	if err := a.read(r, func(tx *store.Tx) error {
		if _, err := tx.Job(r.PathValue("job")); err != nil {
			return err
		}
		all, err := tx.Events("job", r.PathValue("job"))
		out = append(out, all...)
		return err
	}); err != nil {
		return err
	}
	return write(w, map[string]any{"events": out})
}
