package dispatch

import (
	"context"
	"encoding/base64"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/agentapi"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/store"
)

// Fetch returns the payload of the job that is assigned to the agent with an access token. The attempt counts as
// fetched before the payload leaves, and asking again gives the same payload. attemptID is "" from agents that do not
// say which try they mean.
func (h *Hub) Fetch(ctx context.Context, hash, jobID, attemptID, baseURL string) (*agentapi.JobPayload, error) {
	p, err := h.find(ctx, hash)
	if err != nil {
		return nil, err
	}
	if err := h.refresh(ctx, p); err != nil {
		return nil, err
	}
	none := signalbox.Errorf(signalbox.CodeNotFound, "job %.60s is not assigned to this agent", jobID)
	var c engine.JobContext
	var a *signalbox.Attempt
	var used []string
	refused := false
	fetch := func(tx *store.Tx) error {
		refused, used = false, nil
		ag, err := tx.AgentByToken(hash)
		if err != nil {
			return err
		}
		if ag.AttemptID == "" || ag.JobID != jobID || attemptID != "" && attemptID != ag.AttemptID {
			return none
		}
		if a, err = tx.Attempt(ag.AttemptID); err != nil {
			return err
		}
		j, err := tx.Job(a.JobID)
		if err != nil {
			return err
		}
		if c, err = Context(tx, j); err != nil {
			return err
		}
		why := ""
		if used, why, err = h.hand(tx, a, &c); err != nil {
			return err
		}
		if why != "" {
			refused = true
			return h.Engine.Finish(tx, a.ID, signalbox.JobFailed, signalbox.ReasonStartFailed, why, Actor)
		}
		a, c.Job, err = engine.Fetched(tx, ag.AttemptID, "agent:"+ag.Name)
		return err
	}
	err = h.Store.Write(ctx, fetch)
	for tries := 0; signalbox.ErrorCode(err) == signalbox.CodeConflict && tries < 5; tries++ {
		err = h.Store.Write(ctx, fetch) // another server was faster with one of the rows: look again
	}
	if err != nil {
		return nil, err
	}
	if refused {
		p.outdate()
		return nil, none
	}
	if len(used) > 0 {
		if err := h.Secrets.NoteUse(ctx, used); err != nil {
			h.Logger.Error("could not note when secrets were used", "error", err)
		}
	}
	c.OrganizationID, c.OrganizationURL = h.OrganizationID, baseURL
	c.ArtifactToken = h.Keys.AttemptToken(auth.AttemptArtifact, a.ID, 0)
	return Payload(c, agentapi.Logger{
		Method: "push", URL: baseURL + agentapi.LogsBase + "/" + jobID, Token: h.Keys.AttemptToken(auth.AttemptLog, a.ID, 0),
	}), nil
}

// Context reads what a job's environment is made from.
func Context(tx *store.Tx, j *signalbox.Job) (c engine.JobContext, err error) {
	c.Job = j
	if c.Block, err = tx.Block(j.BlockID); err != nil {
		return c, err
	}
	if c.Pipeline, err = tx.Pipeline(j.PipelineID); err != nil {
		return c, err
	}
	if c.Workflow, err = tx.Workflow(j.WorkflowID); err != nil {
		return c, err
	}
	c.Project, err = tx.Project(j.ProjectID)
	return c, err
}

// Payload builds what an agent needs to run a job.
func Payload(c engine.JobContext, logger agentapi.Logger) *agentapi.JobPayload {
	spec := c.Job.Spec
	p := &agentapi.JobPayload{
		JobID: c.Job.ID, JobName: c.Job.Name, Executor: "shell", SSHPublicKeys: []string{},
		Files: []agentapi.File{}, Commands: commands(spec.Commands), EpilogueAlways: commands(spec.EpilogueAlways),
		EpilogueOnPass: commands(spec.EpilogueOnPass), EpilogueOnFail: commands(spec.EpilogueOnFail), Logger: logger,
	}
	if len(spec.Containers) > 0 {
		p.Executor = "dockercompose"
		p.Compose = compose(c)
	}
	p.Files = append(p.Files, secretFiles(c.SecretFiles)...)
	for _, f := range spec.Files {
		p.Files = append(p.Files, agentapi.File{Path: f.Path, Content: base64.StdEncoding.EncodeToString(f.Content), Mode: f.Mode})
	}
	p.EnvVars = variables(engine.JobEnv(c))
	return p
}

// compose describes the containers of a job. Each gets the variables of its own secrets, and then its own.
func compose(c engine.JobContext) *agentapi.Compose {
	secrets := func(names ...string) (vars []agentapi.EnvVar, files []agentapi.File) {
		vars, files = []agentapi.EnvVar{}, []agentapi.File{}
		if c.SecretsOf == nil {
			return vars, files
		}
		v, f := c.SecretsOf(names)
		for _, e := range v {
			vars = append(vars, agentapi.EnvVar{Name: e.Name, Value: base64.StdEncoding.EncodeToString([]byte(e.Value.Reveal()))})
		}
		return vars, append(files, secretFiles(f)...)
	}
	out := &agentapi.Compose{Containers: []agentapi.Container{}, ImagePullCredentials: []agentapi.ImagePullCredential{}, HostSetupCommands: []agentapi.Command{}}
	for _, k := range c.Job.Spec.Containers {
		vars, files := secrets(k.Secrets...)
		out.Containers = append(out.Containers, agentapi.Container{
			Name: k.Name, Image: k.Image, Command: k.Command, Entrypoint: k.Entrypoint, User: k.User, EnvVars: append(vars, variables(k.EnvVars)...), Files: files,
		})
	}
	for _, name := range c.Job.Spec.PullSecrets {
		if c.SecretsOf == nil {
			break // a run without secrets uses what the engine's user has logged in to
		}
		vars, files := secrets(name)
		out.ImagePullCredentials = append(out.ImagePullCredentials, agentapi.ImagePullCredential{EnvVars: vars, Files: files})
	}
	return out
}

func secretFiles(files []signalbox.SecretFile) []agentapi.File {
	var out []agentapi.File
	for _, f := range files {
		out = append(out, agentapi.File{Path: f.Path, Content: base64.StdEncoding.EncodeToString([]byte(f.Content.Reveal())), Mode: "0644"})
	}
	return out
}

func variables(vars []signalbox.EnvVar) []agentapi.EnvVar {
	out := make([]agentapi.EnvVar, 0, len(vars))
	for _, v := range vars {
		out = append(out, agentapi.EnvVar{Name: v.Name, Value: base64.StdEncoding.EncodeToString([]byte(v.Value))})
	}
	return out
}

func commands(lines []string) []agentapi.Command {
	out := make([]agentapi.Command, 0, len(lines))
	for _, l := range lines {
		out = append(out, agentapi.Command{Directive: l})
	}
	return out
}

// LogToken returns a fresh log token for the job that is assigned to the agent with an access token, CodeInvalid when
// it has none.
func (h *Hub) LogToken(ctx context.Context, hash string) (string, error) {
	p, err := h.find(ctx, hash)
	if err != nil {
		return "", err
	}
	if err := h.refresh(ctx, p); err != nil {
		return "", err
	}
	_, a := p.rows()
	p.beat(h.Now(), "", false)
	if a == nil {
		return "", signalbox.Errorf(signalbox.CodeInvalid, "no job is assigned to this agent")
	}
	return h.Keys.AttemptToken(auth.AttemptLog, a.ID, 0), nil
}
