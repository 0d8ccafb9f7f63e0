package storybook

import (
	"net/url"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/storybook/scene"
)

// Who looks.
const (
	admin  = signalbox.RoleAdmin
	member = signalbox.RoleMember
	viewer = signalbox.RoleViewer
	nobody = signalbox.Role("")
)

// longAgent is the agent that scene.Fleet puts into quarantine.
const longAgent = "gpu-agent-with-a-rather-long-name-0123456789"

// tell lists all stories. A page without one fails TestEveryPageHasAStory.
func tell(n *normal, x *extreme) []*story {
	var all []*story
	for _, part := range [][]*story{
		tellFirst(), tellHome(), tellProjects(n), tellProjectForms(), tellWorkflows(n), tellJobs(n), tellWaiting(n), tellAgents(), tellPeople(), tellTasks(n), tellErrors(n), tellExtreme(x),
	} {
		all = append(all, part...)
	}
	return all
}

func workflowPath(p *signalbox.Pipeline, more string) string {
	return "/workflows/" + p.WorkflowID + "?pipeline_id=" + p.ID + more
}

func jobPath(j *signalbox.Job) string { return "/jobs/" + j.ID }

func tellFirst() []*story {
	return []*story{
		{View: "Set-up", State: "on the server's machine", World: worldNew, Path: "/setup"},
		{View: "Set-up", State: "from elsewhere, with a code", World: worldAway, Path: "/setup"},
		{View: "Set-up", State: "with mistakes", World: worldNew, Path: "/setup", Status: 422, Form: url.Values{"name": {""}, "email": {"nobody"}, "password": {"short"}, "organization": {""}, "public_url": {"ftp://x"}}},
		{View: "Set-up", State: "with a wrong code", World: worldAway, Path: "/setup", Status: 422, Says: []string{"That is not the code"}, Form: url.Values{"code": {"none-that-counts"}, "name": {"ana"}}},
		{View: "Set-up", State: "done already", World: worldEmpty, Path: "/setup", Status: 404},
		{View: "Sign-in", State: "empty", World: worldNormal, Path: "/login"},
		{View: "Sign-in", State: "failed", World: worldNormal, Path: "/login", Status: 422, Says: []string{"do not match"}, Form: url.Values{"name": {"nobody"}, "password": {"guessed"}}},
		{View: "Sign-in", State: "asked for by a page", World: worldNormal, Path: "/people", Status: 303},
		{View: "Welcome", State: "with a link", World: worldNormal, Path: "/welcome"},
		{View: "Welcome", State: "with a dead link", World: worldNormal, Path: "/welcome", Status: 422, Form: url.Values{"code": {"dead"}, "password": {"correct horse battery"}}},
		{View: "Get started", State: "nothing done", World: worldEmpty, Role: admin, Path: "/get_started"},
		{View: "Get started", State: "half done", World: worldBegun, Role: admin, Path: "/get_started"},
		{View: "Get started", State: "for somebody who may do nothing of it", World: worldBegun, Role: viewer, Path: "/get_started"},
		{View: "Get started", State: "all done", World: worldNormal, Role: admin, Path: "/get_started"},
	}
}

func tellHome() []*story {
	return []*story{
		{View: "Home", State: "nothing yet", World: worldEmpty, Role: admin, Path: "/", Says: []string{"No projects yet"}},
		{View: "Home", State: "nothing has run", World: worldBegun, Role: admin, Path: "/"},
		{View: "Home", State: "my work", World: worldNormal, Role: member, Path: "/?dashboard=my-work"},
		{View: "Home", State: "everyone's work", World: worldNormal, Role: member, Path: "/?dashboard=everyones-activity"},
		{View: "Home", State: "starred projects", World: worldNormal, Role: member, Path: "/?dashboard=starred", Says: []string{"parcel-api"}},
		{View: "Home", State: "no project is starred", World: worldNormal, Role: viewer, Path: "/?dashboard=starred", Says: []string{"No project has your star"}},
		{View: "Home", State: "needs attention", World: worldNormal, Role: member, Path: "/?dashboard=needs-attention"},
		{View: "Home", State: "my work, none", World: worldNormal, Role: viewer, Path: "/?dashboard=my-work"},
		{View: "Home", State: "filters that match nothing", World: worldNormal, Role: member, Path: "/?dashboard=everyones-activity&author=nobody"},
		{View: "Search", State: "not asked", World: worldNormal, Role: member, Path: "/search"},
		{View: "Search", State: "found", World: worldNormal, Role: member, Path: "/search?q=pa"},
		{View: "Search", State: "nothing found", World: worldNormal, Role: member, Path: "/search?q=nothing+like+it"},
		{View: "Activity", State: "nothing runs", World: worldEmpty, Role: member, Path: "/activity"},
		{View: "Activity", State: "jobs, for a member", World: worldNormal, Role: member, Path: "/activity"},
		{View: "Activity", State: "jobs, for a viewer", World: worldNormal, Role: viewer, Path: "/activity"},
		{View: "Activity", State: "pipelines", World: worldNormal, Role: member, Path: "/activity?tab=pipelines"},
		{View: "Activity", State: "queue", World: worldNormal, Role: member, Path: "/activity?tab=queue"},
		{View: "Activity", State: "filters that match nothing", World: worldNormal, Role: member, Path: "/activity?q=nothing"},
	}
}

func tellProjects(n *normal) []*story {
	const parcel = "/projects/parcel-api"
	branch := func(wf *signalbox.Workflow) string {
		return "/branches/" + signalbox.BranchID(wf.ProjectID, wf.BranchName)
	}
	return []*story{
		{View: "Projects", State: "none", World: worldEmpty, Role: admin, Path: "/projects"},
		{View: "Projects", State: "some", World: worldNormal, Role: member, Path: "/projects"},
		{View: "Projects", State: "filters that match nothing", World: worldNormal, Role: member, Path: "/projects?q=nothing&show=failing"},
		{View: "New project", State: "first step", World: worldNormal, Role: admin, Path: "/new_project"},
		{View: "New project", State: "right after the set-up", World: worldEmpty, Role: admin, Path: "/new_project"},
		{View: "New project", State: "for somebody who may not", World: worldNormal, Role: viewer, Path: "/new_project", Status: 403},
		{View: "Project", State: "waits for its first workflow", World: worldBegun, Role: admin, Path: parcel},
		{View: "Project", State: "no workflow, for a viewer", World: worldNormal, Role: viewer, Path: "/projects/tariff-engine"},
		{View: "Project", State: "everything", World: worldNormal, Role: member, Path: parcel},
		{View: "Project branches", State: "some", World: worldNormal, Role: member, Path: parcel + "/branches"},
		{View: "Project branches", State: "none", World: worldBegun, Role: member, Path: parcel + "/branches"},
		{View: "Project pull requests", State: "some", World: worldNormal, Role: member, Path: parcel + "/pull_requests"},
		{View: "Project pull requests", State: "none", World: worldBegun, Role: member, Path: parcel + "/pull_requests"},
		{View: "Project tags", State: "some", World: worldNormal, Role: member, Path: parcel + "/tags"},
		{View: "Project tags", State: "none", World: worldBegun, Role: member, Path: parcel + "/tags"},
		{View: "Branch", State: "with workflows", World: worldNormal, Role: member, Path: branch(n.Workflow)},
		{View: "Branch", State: "of a tag", World: worldNormal, Role: member, Path: branch(n.tag)},
		{View: "Branch", State: "of a pull request", World: worldNormal, Role: viewer, Path: branch(n.pull)},
		{View: "Branch", State: "dates in the wrong order", World: worldNormal, Role: member, Path: branch(n.Workflow) + "?from=2026-11-20&to=2026-11-01", Status: 400},
		{View: "Deployment targets", State: "none", World: worldNormal, Role: member, Path: "/projects/tariff-engine/deployments"},
		{View: "Deployment targets", State: "some, for a member", World: worldNormal, Role: member, Path: parcel + "/deployments"},
		{View: "Deployment targets", State: "some, for an administrator", World: worldNormal, Role: admin, Path: parcel + "/deployments"},
		{View: "Deployment target form", State: "new", World: worldNormal, Role: admin, Path: parcel + "/deployments/new", Says: []string{"Create the target"}},
		{View: "Deployment target form", State: "new, with mistakes", World: worldNormal, Role: admin, Path: parcel + "/deployments", Status: 422, Says: []string{"Values are never sent back"}, Form: url.Values{
			"target_name": {"pro duction"}, "url": {"app.example.com"}, "bookmark.0": {"VERSION"}, "bookmark.1": {"VERSION"}, "variables": {"1"}, "variable.0.name": {"A-B"}, "variable.0.value": {"typed"},
			"who": {"these"}, "people": {"nobody-here"}, "refs": {"1"}, "ref.0.type": {"TAG"}, "ref.0.match": {"REGEX"}, "ref.0.pattern": {"(?=v)"},
		}},
		{View: "Deployment target form", State: "change", World: worldNormal, Role: admin, Path: parcel + "/deployments/production/edit", Says: []string{"DEPLOY_TOKEN"}},
		{View: "Deployment target form", State: "for somebody who may not", World: worldNormal, Role: member, Path: parcel + "/deployments/new", Status: 403},
		{View: "Deployments", State: "for an administrator", World: worldNormal, Role: admin, Path: parcel + "/deployments/production"},
		{View: "Deployments", State: "not deleted", World: worldNormal, Role: admin, Path: parcel + "/deployments/production/delete", Status: 422, Form: url.Values{"confirm": {"staging"}}},
		{View: "Deployments", State: "none", World: worldNormal, Role: member, Path: parcel + "/deployments/vault"},
		{View: "Deployments", State: "with one refused", World: worldNormal, Role: member, Path: parcel + "/deployments/production"},
		{View: "Deployments", State: "filters that match nothing", World: worldNormal, Role: member, Path: parcel + "/deployments/production?label=none"},
	}
}

func tellWorkflows(n *normal) []*story {
	out := []*story{
		{View: "Workflow", State: "without a pipeline", World: worldNormal, Role: member, Path: "/workflows/" + n.bare.ID, Says: []string{"No pipeline yet"}},
		{View: "Workflow", State: "preparing", World: worldNormal, Role: member, Path: "/workflows/" + n.Preparing.ID},
		{View: "Workflow", State: "compiled by a job", World: worldNormal, Role: member, Path: workflowPath(n.prepares, "")},
		{View: "Workflow", State: "malformed file", World: worldNormal, Role: member, Path: "/workflows/" + n.Malformed.ID, Says: []string{"has no commands"}},
		{View: "Workflow", State: "in the lobby", World: worldNormal, Role: member, Path: workflowPath(n.lobby, "")},
		{View: "Workflow", State: "stopping", World: worldNormal, Role: member, Path: workflowPath(n.stopping, "")},
		{View: "Workflow", State: "stopped by a person", World: worldNormal, Role: member, Path: "/workflows/" + n.Stopped.ID},
		{View: "Workflow", State: "every way to end", World: worldNormal, Role: member, Path: workflowPath(n.endings, "&view=list")},
		{View: "Workflow", State: "promotions open", World: worldNormal, Role: member, Path: workflowPath(n.open, "")},
		{View: "Workflow", State: "promotion with parameters", World: worldNormal, Role: member, Path: workflowPath(n.open, "&promote=Production&param.VERSION=2.4")},
		{View: "Workflow", State: "promotions for a viewer", World: worldNormal, Role: viewer, Path: workflowPath(n.open, "")},
		{View: "Workflow", State: "promotions locked", World: worldNormal, Role: member, Path: workflowPath(n.locked, "")},
		{View: "Workflow", State: "repeated, with jobs taken over", World: worldNormal, Role: member, Path: workflowPath(n.rerun, "&view=list")},
	}
	for _, view := range []string{"graph", "list", "timeline", "yaml"} {
		out = append(out, &story{View: "Workflow", State: "running, " + view, World: worldNormal, Role: member, Path: "/workflows/" + n.Workflow.ID + "?view=" + view})
	}
	return append(out, &story{View: "Workflow", State: "file that was read", World: worldNormal, Role: member, Path: workflowPath(n.open, "&view=yaml")})
}

func tellJobs(n *normal) []*story {
	out := []*story{
		{View: "Job", State: "failed with a log", World: worldNormal, Role: member, Path: jobPath(n.Failed), Says: []string{"exited with 2", "Go to line 13"}},
		{View: "Job", State: "failed, at a line", World: worldNormal, Role: member, Path: jobPath(n.Failed) + "?line=13#L13"},
		{View: "Job", State: "failed, for a viewer", World: worldNormal, Role: viewer, Path: jobPath(n.Failed)},
		{View: "Job", State: "running", World: worldNormal, Role: member, Path: jobPath(n.Running), Says: []string{"running labels"}},
		{View: "Job", State: "infrastructure failure, log cut off", World: worldNormal, Role: member, Path: jobPath(n.Lost), Says: []string{"your code is not the cause"}},
		{View: "Job", State: "infrastructure failure, attempt without a log", World: worldNormal, Role: member, Path: jobPath(n.Lost) + "?attempt=1"},
		{View: "Job", State: "canceled", World: worldNormal, Role: member, Path: jobPath(n.canceled)},
		{View: "Job", State: "debug session", World: worldNormal, Role: member, Path: jobPath(n.debug), Says: []string{"ssh debug-agent-9.harbour.example"}},
		{View: "Job", State: "debug session that waits", World: worldNormal, Role: member, Path: jobPath(n.debugWaiting)},
		{View: "Job", State: "log cannot be read for a while", World: worldUnavailable, Role: member, Path: jobPath(n.Failed), Says: []string{"The log cannot be read just now"}},
		{View: "Plain log", State: "of a failed job", World: worldNormal, Role: member, Path: jobPath(n.Failed) + "/plain_logs.txt"},
		{View: "Plain log", State: "packed", World: worldNormal, Role: member, Path: jobPath(n.Failed) + "/plain_logs.txt.gz"},
		{View: "Plain log", State: "at the newer address", World: worldNormal, Role: member, Path: jobPath(n.Failed) + "/logs/raw"},
		{View: "Plain log", State: "at the old address", World: worldNormal, Role: member, Path: jobPath(n.Failed) + "/plain_logs.json"},
		{View: "Plain log", State: "of a job without one", World: worldNormal, Role: member, Path: jobPath(n.canceled) + "/plain_logs.txt", Status: 404},
	}
	for _, reason := range endReasons {
		out = append(out, &story{View: "Job", State: "ended: " + strings.ReplaceAll(string(reason), "_", " "), World: worldNormal, Role: member, Path: jobPath(n.ends[reason])})
	}
	return out
}

func tellWaiting(n *normal) []*story {
	waits := func(state, agentType, says string) *story {
		return &story{View: "Job that waits", State: state, World: worldNormal, Role: member, Path: jobPath(n.waits[agentType]), Says: []string{says}}
	}
	return []*story{
		waits("type does not exist", "s1-nowhere", "there is no agent type s1-nowhere"),
		waits("type never had an agent", "s1-new", "no agent of type s1-new was ever connected"),
		waits("agents are gone", "s1-windows", "no agent of type s1-windows is connected; the last one went"),
		waits("agents are draining", "s1-arm", "of those of type s1-arm"),
		waits("held by a limit", "s1-gpu", "The job waits for room"),
		waits("in line", "s1-metal", "in line for an agent of type s1-metal"),
		waits("an agent is free", "s1-linux", "An agent of type s1-linux is free"),
		{View: "Job that waits", State: "server has just started", World: worldRestarted, Role: member, Path: jobPath(n.waits["s1-arm"])},
		{View: "Job that waits", State: "offered", World: worldNormal, Role: member, Path: jobPath(n.offered)},
		{View: "Job that waits", State: "offered before", World: worldNormal, Role: member, Path: jobPath(n.again)},
	}
}

func tellAgents() []*story {
	const linux = "/agents/self_hosted/s1-linux"
	out := []*story{
		{View: "Agents", State: "none", World: worldEmpty, Role: admin, Path: "/agents", Says: []string{"No agent types yet"}},
		{View: "Agents", State: "for a member", World: worldNormal, Role: member, Path: "/agents"},
		{View: "Agents", State: "for an administrator", World: worldNormal, Role: admin, Path: "/agents"},
		{View: "Agents", State: "server has just started", World: worldRestarted, Role: admin, Path: "/agents"},
		{View: "All agents", State: "for a member", World: worldNormal, Role: member, Path: "/agents/all"},
		{View: "All agents", State: "filters that match nothing", World: worldNormal, Role: admin, Path: "/agents/all?q=nothing"},
		{View: "Usage of agents", State: "no agent types", World: worldEmpty, Role: admin, Path: "/agents/usage", Says: []string{"No agent types yet"}},
		{View: "Usage of agents", State: "24 hours", World: worldNormal, Role: member, Path: "/agents/usage"},
		{View: "Usage of agents", State: "7 days", World: worldNormal, Role: admin, Path: "/agents/usage?range=7d"},
		{View: "Usage of an agent type", State: "24 hours", World: worldNormal, Role: member, Path: linux + "/usage"},
		{View: "Usage of an agent type", State: "7 days", World: worldNormal, Role: member, Path: linux + "/usage?range=7d"},
		{View: "Usage of an agent type", State: "without agents", World: worldNormal, Role: member, Path: "/agents/self_hosted/s1-new/usage", Says: []string{"no agent was there"}},
		{View: "Usage of an agent type", State: "a time that cannot be asked for", World: worldNormal, Role: member, Path: linux + "/usage?range=1y", Status: 400},
		{View: "Refused registrations", State: "none", World: worldEmpty, Role: admin, Path: "/agents/refused"},
		{View: "Refused registrations", State: "for every reason", World: worldNormal, Role: admin, Path: "/agents/refused"},
		{View: "New agent type", State: "empty", World: worldNormal, Role: admin, Path: "/agents/self_hosted/new"},
		{View: "New agent type", State: "as the next step", World: worldEmpty, Role: admin, Path: "/agents/self_hosted/new"},
		{View: "Agent type", State: "for a member", World: worldNormal, Role: member, Path: linux},
		{View: "Agent type", State: "for an administrator", World: worldNormal, Role: admin, Path: linux + "?all=1"},
		{View: "Agent type", State: "connect an agent", World: worldNormal, Role: admin, Path: linux + "?connect=1"},
		{View: "Agent type", State: "without agents", World: worldNormal, Role: admin, Path: "/agents/self_hosted/s1-new"},
	}
	for _, a := range [][2]string{
		{"idle", "build-05"}, {"busy", "build-10"}, {"draining", "build-11"}, {"disabled", "build-12"}, {"in quarantine", longAgent}, {"suspect", "build-07"}, {"lost", "build-06"}, {"gone", "build-08"},
	} {
		out = append(out, &story{View: "Agent", State: a[0], World: worldNormal, Role: admin, Path: linux + "/agents/" + a[1]})
	}
	return append(out, &story{View: "Agent", State: "in quarantine, for a member", World: worldNormal, Role: member, Path: linux + "/agents/" + longAgent})
}

func tellPeople() []*story {
	return []*story{
		{View: "People", State: "only oneself", World: worldEmpty, Role: admin, Path: "/people"},
		{View: "People", State: "in every state", World: worldNormal, Role: admin, Path: "/people"},
		{View: "People", State: "invitation with mistakes", World: worldNormal, Role: admin, Path: "/people", Status: 422, Form: url.Values{"name": {"lars"}, "email": {"nobody"}, "role": {"viewer"}}},
		{View: "People", State: "behind the end of the list", World: worldNormal, Role: admin, Path: "/people?after=zzz"},
		{View: "Account", State: "with sessions and tokens", World: worldNormal, Role: admin, Path: "/account"},
		{View: "Account", State: "without tokens", World: worldNormal, Role: viewer, Path: "/account"},
		{View: "Account", State: "password changed", World: worldNormal, Role: admin, Path: "/account?done=password"},
		{View: "Account", State: "token without a name", World: worldNormal, Role: admin, Path: "/account/tokens", Status: 422, Form: url.Values{"name": {""}, "expires_in": {""}}},
		{View: "Settings", State: "as they are", World: worldNormal, Role: admin, Path: "/settings"},
		{View: "Settings", State: "saved", World: worldNormal, Role: admin, Path: "/settings?done=1"},
		{View: "Settings", State: "with mistakes", World: worldNormal, Role: admin, Path: "/settings", Status: 422, Form: url.Values{"organization": {"Harbourline"}, "was_organization": {"Harbourline"}, "max_running_jobs": {"many"}, "was_max_running_jobs": {"200"}}},
	}
}

func tellErrors(n *normal) []*story {
	return []*story{
		{View: "Error", State: "400 wrong request", World: worldNormal, Role: member, Path: "/search?q=" + strings.Repeat("x", 201), Status: 400},
		{View: "Error", State: "403 not allowed", World: worldNormal, Role: member, Path: "/people", Status: 403},
		{View: "Error", State: "404 no such address", World: worldNormal, Role: member, Path: "/nowhere", Status: 404},
		{View: "Error", State: "404 no such job", World: worldNormal, Role: member, Path: "/jobs/none", Status: 404},
		{View: "Error", State: "404 for nobody", World: worldNormal, Path: "/nowhere", Status: 404},
		{View: "Error", State: "500 fault of ours", World: worldBroken, Role: member, Path: jobPath(n.Failed), Status: 500},
		{View: "Error", State: "503 not just now", World: worldUnavailable, Role: member, Path: jobPath(n.Failed) + "/plain_logs.txt", Status: 503},
	}
}

func tellExtreme(x *extreme) []*story {
	var out []*story
	hostile := url.QueryEscape(scene.Hostile[:190])
	for _, p := range []struct{ view, state, path string }{
		{"Home", "", "/?dashboard=everyones-activity"},
		{"Home", "filters with ", "/?dashboard=everyones-activity&author=" + hostile},
		{"Projects", "", "/projects"},
		{"Project", "", "/projects/hostile"},
		{"Project", "many workflows and ", "/projects/large"},
		{"Project branches", "", "/projects/large/branches"},
		{"Branch", "", "/branches/" + signalbox.BranchID(x.workflow.ProjectID, x.workflow.BranchName)},
		{"Deployment targets", "", "/projects/hostile/deployments"},
		{"Deployment target form", "", "/projects/hostile/deployments/production/edit"},
		{"Activity", "jobs, ", "/activity"},
		{"Activity", "pipelines, ", "/activity?tab=pipelines"},
		{"Activity", "queue, ", "/activity?tab=queue"},
		{"Search", "", "/search?q=" + hostile},
		{"Workflow", "graph, ", "/workflows/" + x.workflow.ID},
		{"Workflow", "list, ", "/workflows/" + x.workflow.ID + "?view=list"},
		{"Workflow", "file, ", "/workflows/" + x.workflow.ID + "?view=yaml"},
		{"Workflow", "300 blocks, ", "/workflows/" + x.large.ID},
		{"Workflow", "timeline of 300 blocks, ", "/workflows/" + x.large.ID + "?view=timeline"},
		{"Job", "", jobPath(x.job)},
		{"Job that waits", "", jobPath(x.queued)},
		{"Job", "long log, ", jobPath(x.longLog)},
		{"Agents", "", "/agents"},
		{"All agents", "", "/agents/all"},
		{"Refused registrations", "", "/agents/refused"},
		{"Agent type", "", "/agents/self_hosted/s1-linux?all=1"},
		{"People", "", "/people"},
		{"Tasks", "", taskPath("hostile", "")},
		{"Task", "", taskPath("hostile", "/"+x.task.ID)},
		{"Task form", "", taskPath("hostile", "/"+x.task.ID+"/edit")},
	} {
		out = append(out, &story{View: p.view, State: p.state + "hostile text", World: worldExtreme, Role: admin, Path: p.path})
	}
	return out
}
