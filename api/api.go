// Package api is the public HTTP API: the paths and shapes that the official command line and scripts know, and what
// our own command line needs beside them. It reads the store, asks the engine and the trigger to act, and writes JSON;
// it decides nothing itself. Errors are returned and rendered by the server in one form everywhere.
package api

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/fleet"
	"github.com/signalbox-ci/signalbox/joblog"
	"github.com/signalbox-ci/signalbox/people"
	"github.com/signalbox-ci/signalbox/project"
	"github.com/signalbox-ci/signalbox/route"
	"github.com/signalbox-ci/signalbox/schedule"
	"github.com/signalbox-ci/signalbox/secret"
	"github.com/signalbox-ci/signalbox/setup"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/trigger"
)

// Options for New. Store, Engine, Trigger, Schedule, Fleet, Log and Projects are required.
type Options struct {
	Store          *store.Store
	Engine         *engine.Engine
	Trigger        *trigger.Trigger
	Schedule       *schedule.Scheduler
	Fleet          *fleet.Fleet
	Log            *joblog.Log
	Secrets        *secret.Secrets // without them there are no routes for secrets
	OrganizationID string
	Started        time.Time // when this server started; for a while after that agents are expected back
	Projects       *project.Projects
	// CheckHook tells whether a token is the one that a project's hook was given.
	CheckHook func(projectID, token string) bool
	// PublicURL returns how whoever sent a request reaches the server; the default is what the request itself says.
	PublicURL func(*http.Request) string
	Setup     *setup.Setup   // makes the first administrator; nil is never
	People    *people.People // default: one for the store
}

// API answers the routes.
type API struct{ Options }

// New returns an API.
func New(o Options) (*API, error) {
	if o.Store == nil || o.Engine == nil || o.Trigger == nil || o.Schedule == nil || o.Fleet == nil || o.Log == nil || o.Projects == nil {
		return nil, errors.New("api: a store, an engine, a trigger, a scheduler, a fleet, a log and projects are needed")
	}
	if o.PublicURL == nil {
		o.PublicURL = requestURL
	}
	if o.People == nil {
		var err error
		if o.People, err = people.New(people.Options{Store: o.Store}); err != nil {
			return nil, err
		}
	}
	return &API{o}, nil
}

// Routes returns everything that the API answers.
func (a *API) Routes() []route.Route {
	r := func(pattern string, p auth.Permission, h route.Handler) route.Route {
		return route.Route{Pattern: pattern, Access: route.Needs(string(p)), Style: route.JSON, Handler: h}
	}
	const v = "/api/v1alpha"
	var tasks []route.Route
	for _, noun := range []string{v + "/tasks", v + "/schedules"} { // the second is the older name
		tasks = append(tasks,
			r("GET "+noun, auth.TaskView, a.listTasks),
			r("POST "+noun, auth.TaskManage, a.saveTask),
			r("GET "+noun+"/{task}", auth.TaskView, a.showTask),
			r("PATCH "+noun+"/{task}", auth.TaskManage, a.updateTask),
			r("DELETE "+noun+"/{task}", auth.TaskManage, a.deleteTask),
			r("POST "+noun+"/{task}/run_now", auth.TaskRun, a.runTask),
		)
	}
	// Addresses of a job's page, for scripts and bookmarks of browsers: a session is enough.
	var logs []route.Route
	for pattern, h := range map[string]route.Handler{"logs": a.showLogPart, "events.json": a.showLog, "raw_logs.json": a.showLog} {
		logs = append(logs, route.Route{Pattern: "GET /jobs/{job}/" + pattern, Access: route.Needs(string(auth.LogView)), Style: route.UI, Handler: h})
	}
	return append(slices.Concat(tasks, logs, a.secretRoutes(), a.deploymentTargetRoutes(), a.fleetRoutes(r)), []route.Route{
		r("GET "+v+"/projects", auth.ProjectView, a.listProjects),
		r("POST "+v+"/projects", auth.ProjectCreate, a.createProject),
		r("GET "+v+"/projects/{project}", auth.ProjectView, a.showProject),
		r("PATCH "+v+"/projects/{project}", auth.ProjectManage, a.updateProject),
		r("DELETE "+v+"/projects/{project}", auth.ProjectManage, a.deleteProject),
		r("GET "+v+"/plumber-workflows", auth.WorkflowView, a.listWorkflows),
		r("POST "+v+"/plumber-workflows", auth.WorkflowRun, a.startWorkflow),
		r("GET "+v+"/plumber-workflows/{workflow}", auth.WorkflowView, a.showWorkflow),
		r("POST "+v+"/plumber-workflows/{workflow}/terminate", auth.WorkflowStop, a.stopWorkflow),
		r("POST "+v+"/plumber-workflows/{workflow}/reschedule", auth.WorkflowRun, a.rerunWorkflow),
		r("GET "+v+"/pipelines", auth.WorkflowView, a.listPipelines),
		r("GET "+v+"/pipelines/{pipeline}", auth.WorkflowView, a.showPipeline),
		r("PATCH "+v+"/pipelines/{pipeline}", auth.WorkflowStop, a.stopPipeline),
		r("GET "+v+"/pipelines/{pipeline}/describe_topology", auth.WorkflowView, a.showTopology),
		r("GET "+v+"/pipelines/{pipeline}/explain", auth.WorkflowView, a.explainPipeline),
		r("POST "+v+"/pipelines/{pipeline}/partial_rebuild", auth.WorkflowRun, a.rerunPipeline),
		r("GET "+v+"/promotions", auth.WorkflowView, a.listPromotions),
		r("POST "+v+"/promotions", auth.WorkflowRun, a.promote),
		r("GET "+v+"/machine_rules", auth.AgentView, a.listMachines),
		r("PUT "+v+"/machine_rules", auth.AgentTypeManage, a.setMachines),
		r("GET "+v+"/initialization", auth.ProjectView, a.showInitialization),
		r("PUT "+v+"/initialization", auth.SettingsManage, a.setInitialization),
		r("GET "+v+"/projects/{project}/initialization", auth.ProjectView, a.showProjectInitialization),
		r("PUT "+v+"/projects/{project}/initialization", auth.ProjectManage, a.setProjectInitialization),
		r("POST "+v+"/yaml", auth.WorkflowView, a.validateYAML),
		r("GET "+v+"/jobs", auth.JobView, a.listJobs),
		r("GET "+v+"/jobs/{job}", auth.JobView, a.showJob),
		r("POST "+v+"/jobs/{job}/stop", auth.JobStop, a.stopJob),
		r("POST "+v+"/jobs/{job}/rerun", auth.WorkflowRun, a.rerunJob),
		r("POST "+v+"/jobs/{job}/debug", auth.JobDebug, a.debugJob),
		r("GET "+v+"/jobs/{job}/debug_ssh_key", auth.JobDebug, a.debugSSHKey),
		r("GET "+v+"/jobs/{job}/attempts", auth.JobView, a.listAttempts),
		r("GET "+v+"/jobs/{job}/events", auth.JobView, a.listEvents),
		r("GET "+v+"/jobs/{job}/explain", auth.JobView, a.explainJob),
		r("GET "+v+"/organization", auth.AgentView, a.showOrganization),
		r("PATCH "+v+"/organization", auth.SettingsManage, a.updateOrganization),
		r("POST "+v+"/setup", auth.UserManage, a.setUp),
		r("GET "+v+"/logs/{job}", auth.LogView, a.showLog),
		r("GET "+v+"/users", auth.UserManage, a.listUsers),
		r("POST "+v+"/users", auth.UserManage, a.inviteUser),
		r("PATCH "+v+"/users/{user}", auth.UserManage, a.updateUser),
		r("POST "+v+"/users/{user}/link", auth.UserManage, a.linkUser),
		// Everybody manages their own tokens; viewing projects is what everybody may.
		r("GET "+v+"/tokens", auth.ProjectView, a.listTokens),
		r("POST "+v+"/tokens", auth.ProjectView, a.createToken),
		r("DELETE "+v+"/tokens/{token}", auth.ProjectView, a.revokeToken),
		{Pattern: "POST /api/v1/hooks/git/{project}", Access: route.OwnToken, Style: route.JSON, Handler: a.hook},
		{Pattern: "GET /healthz", Access: route.Public, Style: route.JSON, Handler: health},
	}...)
}

func health(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := io.WriteString(w, "OK")
	return err
}
