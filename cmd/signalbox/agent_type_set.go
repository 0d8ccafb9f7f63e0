package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// agentTypeFlags are the settings of an agent type. What is not given stays as it is.
type agentTypeFlags struct {
	ReleaseAfter *seconds        `help:"How long an agent's name stays reserved after it has left, at least 1m; 0 is not at all." name:"release-after" env:"SIGNALBOX_AGENT_TYPE_RELEASE_AFTER" placeholder:"DURATION"`
	LostAfter    *seconds        `help:"After how much silence an agent with a job is lost, at least 1m; 0 is the default, 15m." name:"lost-after" env:"SIGNALBOX_AGENT_TYPE_LOST_AFTER" placeholder:"DURATION"`
	Projects     string          `help:"Whose jobs may run there: all, or names of projects with commas between." env:"SIGNALBOX_AGENT_TYPE_PROJECTS" placeholder:"NAMES"`
	Forks        string          `help:"Whether code of forked pull requests may run there: yes or no." enum:",yes,no" default:"" env:"SIGNALBOX_AGENT_TYPE_FORKS" placeholder:"yes|no"`
	NamesFrom    string          `help:"Who names the agents: agent (itself), or aws (the role session of a pre-signed GetCallerIdentity URL)." name:"names-from" enum:",agent,aws" default:"" env:"SIGNALBOX_AGENT_TYPE_NAMES_FROM" placeholder:"agent|aws"`
	AWSAccount   string          `help:"With names from AWS: the account, 12 digits." name:"aws-account" env:"SIGNALBOX_AGENT_TYPE_AWS_ACCOUNT" placeholder:"ID"`
	AWSRoles     string          `help:"With names from AWS: the roles that agents may have, commas between, * for any text." name:"aws-roles" env:"SIGNALBOX_AGENT_TYPE_AWS_ROLES" placeholder:"PATTERNS"`
	Quarantine   *quarantineFlag `help:"Set an agent aside when so many of its last jobs failed because of it, as in 3/5; never does not." env:"SIGNALBOX_AGENT_TYPE_QUARANTINE" placeholder:"K/N"`
	Lease        *seconds        `help:"After how long without its server an agent of ours ends its job itself, at least 2m; 0 is never." env:"SIGNALBOX_AGENT_TYPE_LEASE" placeholder:"DURATION"`
	Ephemeral    string          `help:"Whether a machine serves for one job only, so that a job may be run again when the machinery ended it: yes or no." enum:",yes,no" default:"" env:"SIGNALBOX_AGENT_TYPE_EPHEMERAL" placeholder:"yes|no"`
	MaxRunning   *int            `help:"How many jobs may hold its agents at once; 0 is no limit." name:"max-running-jobs" env:"SIGNALBOX_AGENT_TYPE_MAX_RUNNING_JOBS" placeholder:"N"`
}

// empty tells whether nothing was given.
func (f *agentTypeFlags) empty() bool {
	return f.ReleaseAfter == nil && f.LostAfter == nil && f.MaxRunning == nil && f.Quarantine == nil && f.Lease == nil && f.Ephemeral+f.Projects+f.Forks+f.NamesFrom+f.AWSAccount+f.AWSRoles == ""
}

// spec is what to send: the settings that there are, changed.
func (f *agentTypeFlags) spec(now agentTypeSpec) (agentTypeSpec, error) {
	var out agentTypeSpec
	if f.ReleaseAfter != nil || f.NamesFrom+f.AWSAccount+f.AWSRoles != "" {
		out.Names = now.Names
		if out.Names == nil {
			out.Names = &agentTypeNames{Origin: "assignment_origin_agent"}
		}
		f.names(out.Names)
	}
	if f.LostAfter != nil {
		n := int64(time.Duration(*f.LostAfter) / time.Second)
		out.LostAfter = &n
	}
	if f.Lease != nil {
		n := int64(time.Duration(*f.Lease) / time.Second)
		out.Lease = &n
	}
	if f.Ephemeral != "" {
		yes := f.Ephemeral == "yes"
		out.Ephemeral = &yes
	}
	out.Quarantine = (*quarantineRule)(f.Quarantine)
	if f.Projects != "" {
		access := "ALL"
		out.Projects = []string{}
		if f.Projects != "all" {
			access = "ALLOWED"
			for _, p := range strings.Split(f.Projects, ",") {
				if p = strings.TrimSpace(p); p != "" {
					out.Projects = append(out.Projects, p)
				}
			}
			if len(out.Projects) == 0 {
				return out, errors.New("--projects names no project: use all, or names with commas between")
			}
		}
		out.ProjectsAccess = &access
	}
	if f.Forks != "" {
		yes := f.Forks == "yes"
		out.Forks = &yes
	}
	out.MaxRunningJobs = f.MaxRunning
	return out, nil
}

func (f *agentTypeFlags) names(n *agentTypeNames) {
	if f.ReleaseAfter != nil {
		n.ReleaseAfter = int64(time.Duration(*f.ReleaseAfter) / time.Second)
	}
	switch f.NamesFrom {
	case "agent":
		n.Origin, n.AWS = "assignment_origin_agent", nil
	case "aws":
		n.Origin = "assignment_origin_aws_sts"
	}
	if f.AWSAccount+f.AWSRoles == "" {
		return
	}
	if n.AWS == nil {
		n.AWS = &agentTypeRole{}
	}
	if f.AWSAccount != "" {
		n.AWS.Account = f.AWSAccount
	}
	if f.AWSRoles != "" {
		n.AWS.Roles = f.AWSRoles
	}
}

func (s agentTypeSpec) projects() string {
	if s.ProjectsAccess == nil || *s.ProjectsAccess == "ALL" {
		return "all"
	}
	return strings.Join(s.Projects, ", ")
}

func (s agentTypeSpec) names() string {
	if s.Names != nil && s.Names.AWS != nil {
		return "AWS account " + s.Names.AWS.Account + ", roles " + s.Names.AWS.Roles
	}
	return "agent"
}

// text is the settings for people.
func (s agentTypeSpec) text() string {
	duration := func(n int64, none string) string {
		if n == 0 {
			return none
		}
		return (time.Duration(n) * time.Second).String()
	}
	var release, lost int64
	if s.Names != nil {
		release = s.Names.ReleaseAfter
	}
	if s.LostAfter != nil {
		lost = *s.LostAfter
	}
	most := 0
	if s.MaxRunningJobs != nil {
		most = *s.MaxRunningJobs
	}
	forks := "no"
	if s.Forks != nil && *s.Forks {
		forks = "yes"
	}
	var lease int64
	if s.Lease != nil {
		lease = *s.Lease
	}
	ephemeral := "no"
	if s.Ephemeral != nil && *s.Ephemeral {
		ephemeral = "yes"
	}
	return fmt.Sprintf("  projects       %s\n  forked code    %s\n  names from     %s\n  release after  %s\n  lost after     %s\n  running jobs   %s\n  quarantine     %s\n  lease          %s\n  ephemeral      %s\n", printable(s.projects()), forks,
		printable(s.names()), duration(release, "at once"), duration(lost, "15m (default)"), limitText(most), s.Quarantine, duration(lease, "none"), ephemeral)
}

// quarantineRule is after how many failures of how many jobs an agent is set aside.
type quarantineRule struct {
	Failures int `json:"failures"`
	Of       int `json:"of"`
}

// quarantineFlag is such a rule written as K/N.
type quarantineFlag quarantineRule

// UnmarshalText reads K/N or never.
func (q *quarantineFlag) UnmarshalText(b []byte) error {
	*q = quarantineFlag{}
	text := string(b)
	if text == "never" || text == "0" {
		return nil
	}
	k, n, ok := strings.Cut(text, "/")
	var err, err2 error
	q.Failures, err = strconv.Atoi(k)
	q.Of, err2 = strconv.Atoi(n)
	if !ok || err != nil || err2 != nil {
		return fmt.Errorf("%q is not K/N, as in 3/5 for three of the last five jobs, or never", text)
	}
	return nil
}

func (q *quarantineRule) String() string {
	if q == nil || q.Failures == 0 {
		return "never"
	}
	return fmt.Sprintf("after %d of %d jobs", q.Failures, q.Of)
}

// AgentTypeSetCmd is `signalbox agent-type set`.
type AgentTypeSetCmd struct {
	Name string `arg:"" help:"Name of the agent type."`
	agentTypeFlags
}

// Help is what --help says beside the flags.
func (*AgentTypeSetCmd) Help() string {
	return "What is not named stays as it is. Which projects may use a type and whether forked code may run there counts for jobs that start afterwards."
}

func (c *AgentTypeSetCmd) Run(ctx context.Context, g *Globals) error {
	if c.empty() {
		return errors.New("nothing to change: name a setting, such as --projects or --lost-after; see signalbox agent-type set --help")
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	path := agentTypes + "/" + url.PathEscape(c.Name)
	var t agentType
	if err := api.call(ctx, http.MethodGet, path, nil, &t); err != nil {
		return err
	}
	spec, err := c.spec(t.Spec)
	if err != nil {
		return err
	}
	if err := api.call(ctx, http.MethodPatch, path, map[string]any{"metadata": map[string]any{"name": c.Name}, "spec": spec}, &t); err != nil {
		return err
	}
	return g.print(t, "Agent type "+t.Metadata.Name+" changed.\n"+t.Spec.text())
}

// AgentTypeShowCmd is `signalbox agent-type show`.
type AgentTypeShowCmd struct {
	Name string `arg:"" help:"Name of the agent type."`
}

func (c *AgentTypeShowCmd) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	var t agentType
	if err := api.call(ctx, http.MethodGet, agentTypes+"/"+url.PathEscape(c.Name), nil, &t); err != nil {
		return err
	}
	return g.print(t, fmt.Sprintf("%s, %d agents\n%s", t.Metadata.Name, t.Status.TotalAgentCount, t.Spec.text()))
}
