package web

import (
	"net/http"
	"net/url"

	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/route"
)

// oldAddress is an address that links of before a move have, and where its page is here. Only addresses whose page is here are in the list;
// all others are unknown.
type oldAddress struct {
	pattern string
	needs   auth.Permission
	to      func(r *http.Request) string
}

func always(url string) func(*http.Request) string { return func(*http.Request) string { return url } }

// under leads to a page whose address ends with a part of the old one.
func under(prefix, part string) func(*http.Request) string {
	return func(r *http.Request) string { return prefix + url.PathEscape(r.PathValue(part)) }
}

func toPipeline(r *http.Request) string {
	return "/workflows/" + url.PathEscape(r.PathValue("id")) + "?pipeline_id=" + url.QueryEscape(r.PathValue("pipeline"))
}

var oldAddresses = []oldAddress{
	{"GET /dashboards/" + tabMine, auth.ProjectView, always("/?dashboard=" + tabMine)},
	{"GET /dashboards/" + tabEveryone, auth.ProjectView, always("/?dashboard=" + tabEveryone)},
	{"GET /dashboards/" + tabStarred, auth.ProjectView, always("/?dashboard=" + tabStarred)},
	{"GET /dashboards/" + tabAttention, auth.ProjectView, always("/?dashboard=" + tabAttention)},
	{"GET /workflows", auth.ProjectView, always("/")},
	{"GET /branches/{id}/workflows", auth.ProjectView, under("/branches/", "id")},
	{"GET /branches/{id}/poll", auth.ProjectView, under("/branches/", "id")},
	{"GET /workflows/{id}/status", auth.WorkflowView, under("/workflows/", "id")},
	{"GET /workflows/{id}/pipelines/{pipeline}", auth.WorkflowView, toPipeline},
	{"GET /workflows/{id}/pipelines/{pipeline}/path", auth.WorkflowView, toPipeline},
	{"GET /workflows/{id}/pipelines/{pipeline}/poll", auth.WorkflowView, toPipeline},
	{"GET /workflows/{id}/pipelines/{pipeline}/status", auth.WorkflowView, toPipeline},
	{"GET /workflows/{id}/pipelines/{pipeline}/switches/{switch}", auth.WorkflowView, toPipeline},
	{"GET /jobs/{id}/status", auth.JobView, under("/jobs/", "id")},
	{"GET /x/new_project", auth.ProjectCreate, always("/new_project")},
	{"GET /x/projects/{name}/onboarding/{rest...}", auth.ProjectView, under("/projects/", "name")},
	{"GET /projects/{name}/settings", auth.ProjectManage, toProjectSettings("")},
	{"GET /projects/{name}/settings/repository", auth.ProjectManage, toProjectSettings("#" + sectionRepository)},
	{"GET /projects/{name}/settings/workflow", auth.ProjectManage, toProjectSettings("#" + sectionWorkflow)},
	{"GET /projects/{name}/settings/pre_flight_checks", auth.ProjectManage, toProjectSettings("#" + sectionChecks)},
	{"GET /projects/{name}/settings/permissions", auth.ProjectManage, toProjectSettings("#" + sectionPermissions)},
	{"GET /projects/{name}/settings/delete", auth.ProjectManage, toProjectSettings("#" + sectionDelete)},
	{"GET /projects/{name}/settings/hook", auth.ProjectManage, toProjectSettings("#" + sectionRepository)},
	{"GET /projects/{name}/settings/scheduler", auth.TaskView, func(r *http.Request) string {
		return "/projects/" + url.PathEscape(r.PathValue("name")) + "/schedulers"
	}},
	{"GET /self_hosted_agents", auth.AgentView, always("/agents")},
	{"GET /self_hosted_agents/new", auth.AgentTypeManage, always("/agents/self_hosted/new")},
	{"GET /self_hosted_agents/{type}", auth.AgentView, under(typesPath, "type")},
	{"GET /self_hosted_agents/{type}/{rest...}", auth.AgentView, under(typesPath, "type")},
	{"GET /agents/self_hosted/{type}/settings", auth.AgentView, under(typesPath, "type")},
	{"GET /agents/self_hosted/{type}/reset", auth.AgentView, under(typesPath, "type")},
	{"GET /agents/self_hosted/{type}/disable_all", auth.AgentView, under(typesPath, "type")},
	{"GET /agents/self_hosted/{type}/delete", auth.AgentView, under(typesPath, "type")},
}

// oldRoutes lead from old addresses to the pages of today.
func oldRoutes(page func(string, route.Access, route.Handler) route.Route) []route.Route {
	var out []route.Route
	for _, a := range oldAddresses {
		out = append(out, page(a.pattern, route.Needs(string(a.needs)), func(rw http.ResponseWriter, r *http.Request) error {
			http.Redirect(rw, r, a.to(r), http.StatusSeeOther)
			return nil
		}))
	}
	return out
}
