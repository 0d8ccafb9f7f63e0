package auth

import (
	"slices"

	"github.com/signalbox-ci/signalbox"
)

// Permission is one thing that somebody may be allowed to do.
type Permission string

const (
	ProjectView            Permission = "project.view"
	ProjectCreate          Permission = "project.create"
	ProjectManage          Permission = "project.manage"
	WorkflowView           Permission = "workflow.view"
	WorkflowRun            Permission = "workflow.run"
	WorkflowStop           Permission = "workflow.stop"
	TaskView               Permission = "task.view"
	TaskManage             Permission = "task.manage"
	TaskRun                Permission = "task.run"
	JobView                Permission = "job.view"
	JobStop                Permission = "job.stop"
	JobDebug               Permission = "job.debug"
	LogView                Permission = "log.view"
	AgentView              Permission = "agent.view"
	AgentTypeManage        Permission = "agent_type.manage"
	SecretView             Permission = "secret.view"
	SecretManage           Permission = "secret.manage"
	DeploymentTargetView   Permission = "deployment_target.view"
	DeploymentTargetManage Permission = "deployment_target.manage"
	UserManage             Permission = "user.manage"
	SettingsManage         Permission = "settings.manage"
)

// table is who may do what. What is not in it nobody may. Members may not create or manage projects, because a project
// names a repository on the server's machine. They see which secrets there are, to name them in pipeline files; nobody sees
// what a secret holds.
var table = map[Permission][]signalbox.Role{
	ProjectView:            {signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer},
	ProjectCreate:          {signalbox.RoleAdmin},
	ProjectManage:          {signalbox.RoleAdmin},
	WorkflowView:           {signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer},
	WorkflowRun:            {signalbox.RoleAdmin, signalbox.RoleMember},
	WorkflowStop:           {signalbox.RoleAdmin, signalbox.RoleMember},
	TaskView:               {signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer},
	TaskManage:             {signalbox.RoleAdmin, signalbox.RoleMember},
	TaskRun:                {signalbox.RoleAdmin, signalbox.RoleMember},
	JobView:                {signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer},
	JobStop:                {signalbox.RoleAdmin, signalbox.RoleMember},
	JobDebug:               {signalbox.RoleAdmin, signalbox.RoleMember},
	LogView:                {signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer},
	AgentView:              {signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer},
	AgentTypeManage:        {signalbox.RoleAdmin},
	SecretView:             {signalbox.RoleAdmin, signalbox.RoleMember},
	SecretManage:           {signalbox.RoleAdmin},
	DeploymentTargetView:   {signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer},
	DeploymentTargetManage: {signalbox.RoleAdmin},
	UserManage:             {signalbox.RoleAdmin},
	SettingsManage:         {signalbox.RoleAdmin},
}

// Can tells whether role may do p. Unknown roles and permissions may nothing.
func Can(role signalbox.Role, p Permission) bool {
	return slices.Contains(table[p], role)
}

// Permissions returns every permission there is, sorted.
func Permissions() []Permission {
	all := make([]Permission, 0, len(table))
	for p := range table {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// ParseRole returns the role of that name, or CodeInvalid with the names there are.
func ParseRole(name string) (signalbox.Role, error) {
	switch r := signalbox.Role(name); r {
	case signalbox.RoleAdmin, signalbox.RoleMember, signalbox.RoleViewer:
		return r, nil
	}
	return "", signalbox.Errorf(signalbox.CodeInvalid, "role %.40q is not known; use admin, member or viewer", name)
}
