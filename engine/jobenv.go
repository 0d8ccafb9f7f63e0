package engine

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox"
)

// JobContext is what the environment of a job is made from.
type JobContext struct {
	OrganizationID  string
	OrganizationURL string
	ArtifactToken   string // "" where there is no artifact store
	Project         *signalbox.Project
	Workflow        *signalbox.Workflow
	Pipeline        *signalbox.Pipeline
	Block           *signalbox.Block
	Job             *signalbox.Job
	SecretVars      []signalbox.SecretVar  // where the job is handed out, and nowhere else
	SecretFiles     []signalbox.SecretFile // the same
	// SecretsOf opens other secrets of the job, those of its containers; nil where it has none.
	SecretsOf func(names []string) ([]signalbox.SecretVar, []signalbox.SecretFile)
}

// JobEnv returns the variables of a job in the order in which later ones win: what every job gets, git, secrets, workflow
// and pipeline, then the pipeline file's own. It is the only place where they are made.
func JobEnv(c JobContext) []signalbox.EnvVar {
	var env []signalbox.EnvVar
	add := func(name, value string) { env = append(env, signalbox.EnvVar{Name: name, Value: value}) }

	add("TERM", "xterm")
	add("CI", "true")
	add("SEMAPHORE", "true")
	add("SEMAPHORE_PROJECT_NAME", c.Project.Name)
	add("SEMAPHORE_PROJECT_ID", c.Project.ID)
	add("SEMAPHORE_JOB_NAME", c.Job.Name)
	add("SEMAPHORE_JOB_ID", c.Job.ID)
	add("SEMAPHORE_JOB_CREATION_TIME", strconv.FormatInt(c.Job.CreatedAt.Unix(), 10))
	kind := "pipeline_job"
	if c.Job.DebugOf != "" {
		kind = "debug_job"
	}
	add("SEMAPHORE_JOB_TYPE", kind)
	add("SEMAPHORE_AGENT_MACHINE_TYPE", c.Job.Spec.MachineType)
	add("SEMAPHORE_AGENT_MACHINE_OS_IMAGE", c.Job.Spec.OSImage)
	environment := "VM"
	if len(c.Job.Spec.Containers) > 0 {
		environment = "container"
	}
	add("SEMAPHORE_AGENT_MACHINE_ENVIRONMENT_TYPE", environment)
	add("SEMAPHORE_ORGANIZATION_URL", c.OrganizationURL)
	add("SEMAPHORE_TOOLBOX_METRICS_ENABLED", "false")

	addGit(add, c.Project, c.Workflow)
	for _, v := range c.SecretVars {
		add(v.Name, v.Value.Reveal())
	}

	add("SEMAPHORE_WORKFLOW_ID", c.Workflow.ID)
	add("SEMAPHORE_WORKFLOW_NUMBER", strconv.Itoa(c.Workflow.Number))
	flag := func(b bool) string { return strconv.FormatBool(b) }
	add("SEMAPHORE_WORKFLOW_RERUN", flag(c.Workflow.RerunOf != ""))
	by := c.Workflow.TriggeredBy
	add("SEMAPHORE_WORKFLOW_TRIGGERED_BY_HOOK", flag(by == signalbox.TriggeredByHook || by == signalbox.TriggeredByManualRun))
	add("SEMAPHORE_WORKFLOW_HOOK_SOURCE", "git")
	add("SEMAPHORE_WORKFLOW_TRIGGERED_BY_SCHEDULE", flag(by == signalbox.TriggeredBySchedule))
	add("SEMAPHORE_WORKFLOW_TRIGGERED_BY_API", flag(by == signalbox.TriggeredByAPI))
	add("SEMAPHORE_WORKFLOW_TRIGGERED_BY_MANUAL_RUN", flag(by == signalbox.TriggeredByManualRun))
	add("SEMAPHORE_WORKFLOW_TRIGGERED_BY", c.Workflow.Requester)
	add("SEMAPHORE_PIPELINE_ARTEFACT_ID", c.Pipeline.ArtefactID)
	for i, id := range append(slices.Clone(c.Pipeline.Origin.Ancestors), c.Pipeline.ArtefactID) {
		add("SEMAPHORE_PIPELINE_"+strconv.Itoa(i)+"_ARTEFACT_ID", id)
	}
	add("SEMAPHORE_PIPELINE_ID", c.Pipeline.ID)
	name := ""
	if c.Pipeline.Plan != nil {
		name = c.Pipeline.Plan.Name
	}
	add("SEMAPHORE_PIPELINE_NAME", name)
	add("SEMAPHORE_BLOCK_NAME", c.Block.Name)
	origin := c.Pipeline.Origin
	add("SEMAPHORE_PIPELINE_RERUN", flag(origin.RerunOf != ""))
	add("SEMAPHORE_PIPELINE_PROMOTION", flag(origin.PromotedFrom != ""))
	add("SEMAPHORE_PIPELINE_PROMOTED_BY", origin.PromotedBy)
	add("SEMAPHORE_GIT_COMMIT_AUTHOR", c.Workflow.CommitAuthor)
	add("SEMAPHORE_GIT_COMMITTER", c.Workflow.CommitAuthor)
	add("SEMAPHORE_ORGANIZATION_ID", c.OrganizationID)
	if c.ArtifactToken != "" {
		add("SEMAPHORE_ARTIFACT_TOKEN", c.ArtifactToken)
	}

	if c.Job.OriginalID != "" {
		add("SEMAPHORE_JOB_RERUN", "true")
		add("SEMAPHORE_JOB_ORIGINAL_ID", c.Job.OriginalID)
	}
	if c.Block.Kind == signalbox.BlockAfter {
		addEnd(add, c.Pipeline)
	}
	env = append(env, origin.Parameters...)
	return append(env, c.Job.Spec.EnvVars...)
}

// addEnd tells the jobs of after_pipeline how the pipeline ended. A time that never came is empty, and a duration
// without its beginning is 0.
func addEnd(add func(name, value string), p *signalbox.Pipeline) {
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return strconv.FormatInt(t.Unix(), 10)
	}
	between := func(from, to time.Time) string {
		if from.IsZero() || to.IsZero() {
			return "0"
		}
		return strconv.FormatInt(to.Unix()-from.Unix(), 10)
	}
	add("SEMAPHORE_PIPELINE_TOTAL_DURATION", between(p.CreatedAt, p.DoneAt))
	add("SEMAPHORE_PIPELINE_INIT_DURATION", between(p.CreatedAt, p.PendingAt))
	add("SEMAPHORE_PIPELINE_QUEUEING_DURATION", between(p.QueuingAt, p.RunningAt))
	add("SEMAPHORE_PIPELINE_RUNNING_DURATION", between(p.RunningAt, p.DoneAt))
	add("SEMAPHORE_PIPELINE_CREATED_AT", at(p.CreatedAt))
	add("SEMAPHORE_PIPELINE_STARTED_AT", at(p.RunningAt))
	add("SEMAPHORE_PIPELINE_DONE_AT", at(p.DoneAt))
	add("SEMAPHORE_PIPELINE_RESULT", string(p.Result))
	add("SEMAPHORE_PIPELINE_RESULT_REASON", string(p.Reason.Compatible()))
}

func addGit(add func(name, value string), p *signalbox.Project, w *signalbox.Workflow) {
	slug, repo := repositoryNames(p.GitURL)
	add("SEMAPHORE_GIT_PROVIDER", "git")
	add("SEMAPHORE_GIT_URL", p.GitURL)
	add("SEMAPHORE_GIT_REPO_NAME", repo)
	add("SEMAPHORE_GIT_DIR", repo)
	add("SEMAPHORE_GIT_SHA", w.CommitSHA)
	add("SEMAPHORE_GIT_REPO_SLUG", slug)
	add("SEMAPHORE_GIT_REF", w.Ref)
	add("SEMAPHORE_GIT_COMMIT_RANGE", w.CommitRange)
	add("SEMAPHORE_GIT_REF_TYPE", w.RefType)
	add("SEMAPHORE_GIT_BRANCH", w.BranchName)
	if w.RefType == "tag" {
		add("SEMAPHORE_GIT_TAG_NAME", w.Label)
		return
	}
	add("SEMAPHORE_GIT_WORKING_BRANCH", w.BranchName)
}

// repositoryNames returns "owner/name" and "name" from a URL or path.
func repositoryNames(url string) (slug, name string) {
	s := strings.TrimSuffix(strings.TrimRight(url, "/"), ".git")
	name = path.Base(s)
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		name = name[i+1:]
	}
	if name == "" || name == "." || name == "/" || strings.HasPrefix(name, "-") {
		name = "repository"
	}
	owner := path.Base(path.Dir(s))
	if i := strings.LastIndexByte(owner, ':'); i >= 0 {
		owner = owner[i+1:]
	}
	if owner == "" || owner == "." || owner == "/" {
		return name, name
	}
	return owner + "/" + name, name
}
