package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/store"
)

type jobBody struct {
	Project    *signalbox.Project
	Workflow   *signalbox.Workflow
	Job        *signalbox.Job
	Name       string
	Block      string
	Pipeline   pipelineView
	SHA        string
	Lamp       Lamp
	Why        string
	Took, Wait Took
	Usual      string // how long such a job usually takes, "" when nobody knows
	Compared   string // how far this one is from that
	Started    *Moment
	Queued     *Moment
	Attempt    *signalbox.Attempt // the one that is shown, nil when there is none yet
	Attempts   []attemptView
	AgentType  string
	AgentName  string
	AgentHost  string
	AgentSys   string
	AgentVer   string
	Siblings   []blockView
	Events     []eventView
	Log        *logBody
	LogProblem string
	Failure    *failureView
	MayStop    bool
	MaySecrets bool // see names of secrets
	MayRerun   bool
	Open       bool
	BaseURL    string

	Environment *environmentView
	Waiting     *waitingView // while it is queued
	Debug       *debugView   // when it is a debug job
	Sessions    []sessionView
	MayDebug    bool
	DebugDenied string // why somebody who may debug jobs may not debug this one
	ourAgent    bool
	rerunnable  bool // its pipeline is done, and it is a job of one of its blocks
}

type attemptView struct {
	N       int
	URL     string
	Current bool
	Agent   string
	Word    string
	Lamp    Lamp
	Took    Took
	Late    string
}

type failureView struct {
	Lamp    Lamp
	Command string
	Exit    int
	Title   string
	Text    string
	Lines   []Line
	Line    int64
	URL     string // of the line
	// Markdown says the same for a chat or an issue.
	Markdown string
}

func (w *Web) getJob(rw http.ResponseWriter, r *http.Request) error {
	n, _ := strconv.Atoi(r.URL.Query().Get("attempt"))
	var b jobBody
	var s Shell
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		var err error
		if b, err = w.readJob(tx, r.PathValue("id"), n); err != nil {
			return err
		}
		b.MaySecrets = may(r, auth.SecretView)
		if err = b.readEnvironment(tx); err != nil {
			return err
		}
		s, err = w.shell(r, tx)
		return err
	})
	if err != nil {
		return err
	}
	b.MayStop = may(r, auth.JobStop)
	b.MayRerun = may(r, auth.WorkflowRun) && b.Job.State == signalbox.JobFinished && b.Job.DebugOf == "" && b.rerunnable
	b.mayDebug(r)
	if b.Attempt != nil && may(r, auth.LogView) {
		focus, _ := strconv.ParseInt(r.URL.Query().Get("line"), 10, 64)
		if err := w.readLog(r.Context(), &b, focus); err != nil {
			if signalbox.ErrorCode(err) != signalbox.CodeUnavailable {
				return err
			}
			b.LogProblem = clip(signalbox.ErrorMessage(err), 300)
		}
	}
	b.Failure = failureOf(&b)
	b.Failure.describe(&b, w.o.PublicURL(r))
	s.Title = strings.Join([]string{b.Lamp.Word, clip(b.Name, 80), clip(b.Workflow.Label, 80), b.Project.Name}, " · ")
	s.Section, s.Wide, s.Favicon, s.Script = "projects", true, b.Lamp.Class, "page"
	if b.Log != nil {
		s.Later = "log"
	}
	s.Topics = []string{"job:" + b.Job.ID}
	if b.Job.State == signalbox.JobQueued { // what it is told changes with every other job of the line
		s.Topics = append(s.Topics, "queue")
	}
	s.Crumbs = []Link{
		{b.Project.Name, "/projects/" + b.Project.Name},
		{clip(b.Workflow.Label, 60), branchURL(b.Workflow)},
		{clip(titleOf(b.Workflow.CommitMessage), 60), b.Pipeline.URL},
		{clip(b.Block, 60), b.Pipeline.URL},
	}
	return w.render(rw, http.StatusOK, "job", s, b)
}

func (w *Web) readJob(tx *store.Tx, id string, attempt int) (jobBody, error) {
	var b jobBody
	j, err := tx.Job(id)
	if err != nil {
		return b, orNotFound(err, "job")
	}
	b.Job = j
	if b.Project, err = tx.Project(j.ProjectID); err != nil {
		return b, orNotFound(err, "job")
	}
	if !b.Project.DeletedAt.IsZero() {
		return b, notFound("job")
	}
	if b.Workflow, err = tx.Workflow(j.WorkflowID); err != nil {
		return b, orNotFound(err, "job")
	}
	p, err := tx.Pipeline(j.PipelineID)
	if err != nil {
		return b, orNotFound(err, "job")
	}
	if b.Pipeline, err = readPipeline(tx, p); err != nil {
		return b, err
	}
	block, err := tx.Block(j.BlockID)
	if err != nil {
		return b, orNotFound(err, "job")
	}
	attempts, err := tx.Attempts(j.ID)
	if err != nil {
		return b, err
	}
	events, err := tx.Events("job", j.ID)
	if err != nil {
		return b, err
	}
	if err := b.setAttempt(tx, attempts, attempt); err != nil {
		return b, err
	}
	stopping := false
	if len(attempts) > 0 {
		stopping = !attempts[len(attempts)-1].StopRequestedAt.IsZero() && j.State == signalbox.JobRunning
	}
	b.Name, b.Block, b.SHA = clip(j.Name, 200), clip(block.Name, 200), shortSHA(b.Workflow.CommitSHA)
	switch block.Kind {
	case signalbox.BlockAfter:
		b.Block = afterName
	case signalbox.BlockInit:
		b.Block = initName
	}
	b.rerunnable = p.State == signalbox.PipelineDone && p.Plan != nil && block.Kind == signalbox.BlockOfFile
	b.Lamp, b.Why, b.AgentType = jobLamp(j, stopping), jobWhy(j, stopping), clip(j.AgentType, 80)
	if b.Waiting, err = readWaiting(tx, j, w.o.Started); err != nil {
		return b, err
	}
	if b.Waiting != nil {
		b.Why = strings.TrimSuffix(b.Waiting.Text, ".")
	}
	b.Took, b.Wait = took(j.StartedAt, j.FinishedAt, tx.Now), took(j.QueuedAt, j.StartedAt, tx.Now)
	if j.StartedAt.IsZero() && !j.FinishedAt.IsZero() {
		b.Wait = took(j.QueuedAt, j.FinishedAt, tx.Now)
	}
	past, err := tx.PassedRuns(j.ProjectID, j.Name, usualOf)
	if err != nil {
		return b, err
	}
	if u := usual(past); u > 0 && !j.StartedAt.IsZero() {
		b.Usual = clock(u)
		if took := spanOf(j.StartedAt, j.FinishedAt, tx.Now); !j.FinishedAt.IsZero() || took > u {
			b.Compared = compared(took, u)
		}
	}
	b.Started, b.Queued = moment(j.StartedAt, tx.Now), moment(j.QueuedAt, tx.Now)
	b.Open = j.State != signalbox.JobFinished
	b.BaseURL = "/jobs/" + j.ID
	b.Events = eventViews(events, tx.Now)
	b.Siblings = siblings(b.Pipeline.Blocks, b.BaseURL)
	return b, readDebug(tx, &b, events)
}

func (b *jobBody) setAttempt(tx *store.Tx, attempts []*signalbox.Attempt, n int) error {
	for i, a := range attempts {
		if a.N == n || n == 0 && i == len(attempts)-1 {
			b.Attempt = a
		}
	}
	if b.Attempt == nil {
		if n != 0 {
			return notFound("attempt")
		}
		return nil
	}
	for _, a := range attempts {
		v := attemptView{
			N: a.N, URL: "/jobs/" + a.JobID + "?attempt=" + strconv.Itoa(a.N), Current: a == b.Attempt, Agent: clip(a.AgentName, 80),
			Took: took(a.FetchedAt, a.EndedAt, tx.Now),
		}
		v.Lamp = jobLamp(&signalbox.Job{State: attemptJobState(a), Result: a.Result, Reason: a.Reason, StartedAt: a.FetchedAt}, !a.StopRequestedAt.IsZero())
		v.Word = v.Lamp.Word
		if a.Reason == signalbox.ReasonWithdrawn {
			v.Word, v.Lamp = "Not fetched, went back", lampCanceled
		}
		if a.LateResult != "" {
			v.Late = "reported " + string(a.LateResult) + " after the job was over"
		}
		b.Attempts = append(b.Attempts, v)
	}
	b.AgentName = clip(b.Attempt.AgentName, 80)
	agent, err := tx.Agent(b.Attempt.AgentID)
	if err != nil {
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
			return nil
		}
		return err
	}
	b.ourAgent = strings.HasPrefix(agent.UserAgent, "SignalboxAgent")
	b.AgentHost, b.AgentSys, b.AgentVer = clip(agent.Hostname, 80), clip(join(agent.OS, agent.Arch), 60), clip(agent.Version, 30)
	return nil
}

func attemptJobState(a *signalbox.Attempt) signalbox.JobState {
	switch a.State {
	case signalbox.AttemptOffered:
		return signalbox.JobOffered
	case signalbox.AttemptEnded:
		return signalbox.JobFinished
	}
	return signalbox.JobRunning
}

// failureOf says why a job failed: the command, or what happened to the machinery.
func failureOf(b *jobBody) *failureView {
	switch b.Lamp {
	case lampInfra:
		return &failureView{Lamp: lampInfra, Title: "Infrastructure failure: your code is not the cause", Text: infraSentence(b.Job, b.AgentName)}
	case lampTimedOut:
		return &failureView{Lamp: lampTimedOut, Title: "The time limit ran out", Text: "The job ran for " + b.Took.Text + " and was stopped."}
	case lampFailed:
		if b.Failure != nil {
			b.Failure.Text = "The pipeline's commands are the cause, not the machinery."
			return b.Failure
		}
		text := "No command in the log ended with an exit code other than 0."
		if b.Job.FailureReason != "" {
			text = clip(firstLine(b.Job.FailureReason), 300)
		}
		return &failureView{Lamp: lampFailed, Title: "The job failed", Text: text}
	}
	return nil
}

// infraSentence says what happened to the machinery.
func infraSentence(j *signalbox.Job, agent string) string {
	why := endReasons[j.Reason]
	if j.FailureReason != "" {
		why = strings.TrimSuffix(clip(firstLine(j.FailureReason), 300), ".") + ". Your code is not the cause"
	}
	if agent != "" {
		why += ". It ran on " + clip(agent, 80)
	}
	return strings.ToUpper(why[:min(1, len(why))]) + why[min(1, len(why)):] + "."
}

func (w *Web) postJobStop(rw http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	err := w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		_, err := tx.Job(id)
		return orNotFound(err, "job")
	})
	if err != nil {
		return err
	}
	if err := w.o.Stopper.StopJob(r.Context(), id, route.ActorFrom(r.Context()).Name()); err != nil {
		return err
	}
	http.Redirect(rw, r, "/jobs/"+url.PathEscape(id), http.StatusSeeOther)
	return nil
}

// attemptOf finds the attempt that a request asks for, the newest without a number; nil when there is none yet.
func (w *Web) attemptOf(r *http.Request) (job *signalbox.Job, attempt *signalbox.Attempt, err error) {
	n, _ := strconv.Atoi(r.URL.Query().Get("attempt"))
	err = w.o.Store.Read(r.Context(), func(tx *store.Tx) error {
		if job, err = tx.Job(r.PathValue("id")); err != nil {
			return orNotFound(err, "job")
		}
		attempts, err := tx.Attempts(job.ID)
		if err != nil {
			return err
		}
		for i, a := range attempts {
			if a.N == n || n == 0 && i == len(attempts)-1 {
				attempt = a
			}
		}
		if attempt == nil && n != 0 {
			return notFound("attempt")
		}
		return nil
	})
	return job, attempt, err
}
