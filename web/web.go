package web

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/logline"
	"github.com/signalbox-ci/signalbox/people"
	"github.com/signalbox-ci/signalbox/project"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
)

// Stopper stops what runs. actor is written into the history: "user:NAME".
type Stopper interface {
	StopPipeline(ctx context.Context, id, actor string) error
	StopJob(ctx context.Context, id, actor string) error
}

// Options are what the pages need. Store, Stopper, Starter, Debugger, Deployer, Tasks, Lines and Fleet must be set.
type Options struct {
	Store    *store.Store
	Stopper  Stopper
	Starter  Starter
	Debugger Debugger
	Deployer Deployer
	Tasks    TaskRunner
	Lines    *logline.Lines
	Fleet    *fleet.Fleet
	// PublicURL returns how agents reach the server that was asked by r; default: by the name that r has.
	PublicURL func(r *http.Request) string
	// Setup makes the first account while nobody can sign in; nil when that is done elsewhere.
	Setup *setup.Setup
	// People changes accounts; default: one for the store.
	People *people.People
	// AskedURL returns the address by which r reached the server, FixedURL the one that the server was started with, "" for none.
	AskedURL func(r *http.Request) string
	FixedURL string
	// ClientIP returns the address of whoever sent r; default: where the connection comes from.
	ClientIP func(r *http.Request) string
	// Projects makes projects; nil when none can be made here.
	Projects *project.Projects
	// Commits tells how far a branch has gone on; nil when nothing can.
	Commits Commits
	// Builds are the programs that machines can fetch from the server; nil is none.
	Builds Builds
	// Secure tells whether the browser's connection is encrypted; default: whether r has TLS. Set it behind a proxy.
	Secure    func(r *http.Request) bool
	Version   string        // shown at the foot of the sign-in page
	Started   time.Time     // when this server started; for a while after that agents are expected back
	StreamTTL time.Duration // how long one stream of live updates lasts before the browser asks again; default 30 minutes
	Now       func() time.Time
}

// Web is the pages.
type Web struct {
	o         Options
	assets    *assets
	templates *template.Template
	tries     *tries
	searches  searches
}

// New checks the options and reads the templates and static files that are part of the program.
func New(o Options) (*Web, error) {
	if o.Store == nil || o.Stopper == nil || o.Starter == nil || o.Debugger == nil || o.Deployer == nil || o.Tasks == nil || o.Lines == nil || o.Fleet == nil {
		return nil, errors.New("web: a store, a stopper, a starter, a debugger, a deployer, a runner of tasks, lines and a fleet are needed")
	}
	if o.PublicURL == nil {
		o.PublicURL = func(r *http.Request) string { return "https://" + r.Host }
	}
	if o.AskedURL == nil {
		o.AskedURL = o.PublicURL
	}
	if o.ClientIP == nil {
		o.ClientIP = peer
	}
	if o.Secure == nil {
		o.Secure = func(r *http.Request) bool { return r.TLS != nil }
	}
	if o.StreamTTL <= 0 {
		o.StreamTTL = 30 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	var err error
	if o.People == nil {
		if o.People, err = people.New(people.Options{Store: o.Store, Now: o.Now}); err != nil {
			return nil, err
		}
	}
	w := &Web{o: o, tries: newTries(), searches: searches{by: map[string]int{}}}
	if w.assets, err = newAssets(); err != nil {
		return nil, err
	}
	if w.templates, err = parseTemplates(w.assets); err != nil {
		return nil, err
	}
	return w, nil
}

// Routes lists the pages, their access decisions and their handlers.
func (w *Web) Routes() []route.Route {
	page := func(pattern string, access route.Access, h route.Handler) route.Route {
		return route.Route{Pattern: pattern, Access: access, Style: route.Page, Handler: func(rw http.ResponseWriter, r *http.Request) error {
			setHeaders(rw.Header())
			return h(rw, r.WithContext(context.WithValue(r.Context(), momentKey{}, w.o.Store.Moment())))
		}}
	}
	ui := func(pattern string, p auth.Permission, h route.Handler) route.Route {
		rt := page(pattern, route.Needs(string(p)), h)
		rt.Style = route.UI
		return rt
	}
	needs := func(p auth.Permission) route.Access { return route.Needs(string(p)) }
	return append(append(oldRoutes(page), w.peopleRoutes(page, needs)...), []route.Route{
		page("GET /login", route.Public, w.getLogin),
		page("POST /login", route.Public, w.postLogin),
		page("POST /logout", route.Public, w.postLogout),
		page("GET /assets/{hash}/{file...}", route.Public, w.getAsset),
		page("GET /favicon.ico", route.Public, w.getFavicon),
		page("GET /search", needs(auth.ProjectView), w.getSearch),
		page("GET /activity", needs(auth.JobView), w.getActivity),
		page("GET /queue", needs(auth.JobView), w.getQueue),
		page("GET /setup", route.Public, w.getSetup),
		page("POST /setup", route.Public, w.postSetup),
		page("GET /{$}", needs(auth.ProjectView), w.getHome),
		page("GET /get_started", needs(auth.ProjectView), w.getStarted),
		page("POST /get_started/dismiss", needs(auth.ProjectView), w.postDismiss),
		page("GET /new_project", needs(auth.ProjectCreate), w.getNewProject),
		page("POST /new_project", needs(auth.ProjectCreate), w.postNewProject),
		page("POST /new_project/demo", needs(auth.ProjectCreate), w.postDemoProject),
		page("POST /projects/{name}/star", needs(auth.ProjectView), w.postStar),
		page("GET /projects/{name}/run", needs(auth.WorkflowRun), w.getProjectRun),
		page("POST /projects/{name}/run", needs(auth.WorkflowRun), w.postProjectRun),
		page("GET /projects/{name}/settings/general", needs(auth.ProjectManage), w.getProjectSettings),
		page("POST /projects/{name}/settings/general", needs(auth.ProjectManage), w.postProjectSettings(sectionGeneral)),
		page("POST /projects/{name}/settings/repository", needs(auth.ProjectManage), w.postProjectRepository),
		page("POST /projects/{name}/settings/workflow", needs(auth.ProjectManage), w.postProjectSettings(sectionWorkflow)),
		page("POST /projects/{name}/settings/pre_flight_checks", needs(auth.ProjectManage), w.postProjectSettings(sectionChecks)),
		page("POST /projects/{name}/settings/permissions", needs(auth.ProjectManage), w.postProjectSettings(sectionPermissions)),
		page("POST /projects/{name}/settings/hook", needs(auth.ProjectManage), w.postProjectHook),
		page("POST /projects/{name}/settings/delete", needs(auth.ProjectManage), w.postProjectDelete),
		page("GET /projects", needs(auth.ProjectView), w.getProjects),
		page("GET /projects/{name}", needs(auth.ProjectView), w.getProject),
		page("GET /projects/{name}/branches", needs(auth.ProjectView), w.getProjectBranches),
		page("GET /projects/{name}/pull_requests", needs(auth.ProjectView), w.getProjectPulls),
		page("GET /projects/{name}/tags", needs(auth.ProjectView), w.getProjectTags),
		page("GET /branches/{id}", needs(auth.ProjectView), w.getBranch),
		page("GET /projects/{name}/deployments", needs(auth.DeploymentTargetView), w.getDeploymentTargets),
		page("POST /projects/{name}/deployments", needs(auth.DeploymentTargetManage), w.postTarget),
		page("GET /projects/{name}/deployments/new", needs(auth.DeploymentTargetManage), w.getTargetForm),
		page("GET /projects/{name}/deployments/{target}", needs(auth.DeploymentTargetView), w.getDeployments),
		page("POST /projects/{name}/deployments/{target}/cordon", needs(auth.DeploymentTargetManage), w.postCordon),
		page("PUT /projects/{name}/deployments/{target}/cordon/{state}", needs(auth.DeploymentTargetManage), w.putCordon),
		page("POST /projects/{name}/deployments/{target}", needs(auth.DeploymentTargetManage), w.postTarget),
		page("GET /projects/{name}/deployments/{target}/edit", needs(auth.DeploymentTargetManage), w.getTargetForm),
		page("POST /projects/{name}/deployments/{target}/delete", needs(auth.DeploymentTargetManage), w.postTargetDelete),
		page("GET /projects/{name}/schedulers", needs(auth.TaskView), w.getTasks),
		page("POST /projects/{name}/schedulers", needs(auth.TaskManage), w.postTask),
		page("GET /projects/{name}/schedulers/new", needs(auth.TaskManage), w.getNewTask),
		page("GET /projects/{name}/schedulers/expression", needs(auth.TaskView), w.getTaskExpression),
		page("GET /projects/{name}/schedulers/{task}", needs(auth.TaskView), w.getTask),
		page("POST /projects/{name}/schedulers/{task}", needs(auth.TaskManage), w.postTask),
		page("GET /projects/{name}/schedulers/{task}/edit", needs(auth.TaskManage), w.getEditTask),
		page("GET /projects/{name}/schedulers/{task}/history", needs(auth.TaskView), w.getTaskHistory),
		page("GET /projects/{name}/schedulers/{task}/latest", needs(auth.TaskView), w.getTaskLatest),
		page("GET /projects/{name}/schedulers/{task}/just_run", needs(auth.TaskRun), w.getTaskRun),
		page("POST /projects/{name}/schedulers/{task}/just_run", needs(auth.TaskRun), w.postTaskRun),
		page("POST /projects/{name}/schedulers/{task}/activate", needs(auth.TaskManage), w.postTaskActivate),
		page("POST /projects/{name}/schedulers/{task}/deactivate", needs(auth.TaskManage), w.postTaskDeactivate),
		page("POST /projects/{name}/schedulers/{task}/delete", needs(auth.TaskManage), w.postTaskDelete),
		page("GET /agents", needs(auth.AgentView), w.getAgents),
		page("POST /agents", needs(auth.AgentTypeManage), w.postAgents),
		page("GET /agents/all", needs(auth.AgentView), w.getAllAgents),
		page("GET /agents/self_hosted/{type}/agents/{name...}", needs(auth.AgentView), w.getAgent),
		page("GET "+usagesPath, needs(auth.AgentView), w.getUsages),
		page("GET /agents/refused", needs(auth.AgentTypeManage), w.getRefused),
		page("GET /agents/self_hosted/new", needs(auth.AgentTypeManage), w.getNewAgentType),
		page("POST /agents/self_hosted/{type}/connect", needs(auth.AgentTypeManage), w.postConnectToken),
		page("POST /agents/self_hosted", needs(auth.AgentTypeManage), w.postAgentType),
		page("GET /agents/self_hosted/{type}", needs(auth.AgentView), w.getAgentType),
		page("GET /agents/self_hosted/{type}/usage", needs(auth.AgentView), w.getUsage),
		page("POST /agents/self_hosted/{type}", needs(auth.AgentTypeManage), w.postAgentTypeSettings),
		page("POST /agents/self_hosted/{type}/delete", needs(auth.AgentTypeManage), w.postAgentTypeDelete),
		page("POST /agents/self_hosted/{type}/tokens", needs(auth.AgentTypeManage), w.postToken),
		page("POST /agents/self_hosted/{type}/tokens/{token}/rotate", needs(auth.AgentTypeManage), w.postTokenRotate),
		page("POST /agents/self_hosted/{type}/tokens/{token}/revoke", needs(auth.AgentTypeManage), w.postTokenRevoke),
		page("POST /agents/self_hosted/{type}/reset_token", needs(auth.AgentTypeManage), w.postTokenReset),
		page("GET /workflows/{id}", needs(auth.WorkflowView), w.getWorkflow),
		page("POST /workflows/{id}/pipelines/{pipeline}/stop", needs(auth.WorkflowStop), w.postPipelineStop),
		page("POST /workflows/{id}/pipelines/{pipeline}/rerun", needs(auth.WorkflowRun), w.postPipelineRerun),
		page("POST /workflows/{id}/pipelines/{pipeline}/promote", needs(auth.WorkflowRun), w.postPromote),
		page("POST /workflows/{id}/rerun", needs(auth.WorkflowRun), w.postWorkflowRerun),
		page("GET /jobs/{id}", needs(auth.JobView), w.getJob),
		page("POST /jobs/{id}/stop", needs(auth.JobStop), w.postJobStop),
		page("POST /jobs/{id}/rerun", needs(auth.WorkflowRun), w.postJobRerun),
		page("POST /jobs/{id}/debug", needs(auth.JobDebug), w.postJobDebug),
		ui("GET /ui/events", auth.ProjectView, w.getEvents),
		ui("GET /ui/changed", auth.ProjectView, w.getChanged),
		ui("GET /ui/jobs/{id}/log/index", auth.LogView, w.getLogIndex),
		ui("GET /ui/jobs/{id}/log/lines", auth.LogView, w.getLogLines),
		ui("GET /ui/jobs/{id}/log/tail", auth.LogView, w.getLogTail),
		ui("GET /ui/jobs/{id}/log/search", auth.LogView, w.getLogSearch),
		ui("GET /ui/jobs/{id}/log/stream", auth.LogView, w.getLogStream),
		page("GET /jobs/{id}/plain_logs.txt.gz", needs(auth.LogView), w.getPlainLog),
		page("GET /jobs/{id}/plain_logs.txt", needs(auth.LogView), w.getPlainLog),
		page("GET /jobs/{id}/logs/raw", needs(auth.LogView), w.getPlainLog),
		page("GET /jobs/{id}/plain_logs.json", needs(auth.LogView), w.getPlainLog), // the name that old links have
	}...)
}

// may tells whether whoever asks has a permission, for what a page offers. The server checks each route again.
func may(r *http.Request, p auth.Permission) bool {
	u := route.ActorFrom(r.Context()).User
	return u != nil && auth.Can(u.Role, p)
}

func notFound(noun string) error {
	return signalbox.Errorf(signalbox.CodeNotFound, "There is no such %s, or you may not see it", noun)
}

// orNotFound gives an error of the store the words for people.
func orNotFound(err error, noun string) error {
	if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
		return notFound(noun)
	}
	return err
}
