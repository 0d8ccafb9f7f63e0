package executor

import "time"

// DockerOptions configures NewDocker.
type DockerOptions struct {
	Shell ShellOptions // Dir is a private directory of this job that must not exist; Workspace and Env are not used

	Host  string // address of the engine: unix:///path or tcp://host:port; "" is DOCKER_HOST, then the usual socket
	Job   string // label signalbox.job on everything that is made
	Agent string // label signalbox.agent, by which CleanDocker finds what a killed agent left; required

	Containers   []Container // the first one runs the commands; at least one
	Credentials  []Credential
	HostCommands []string // run on this machine by bash before anything else

	Files              []Bind // to be seen in the first container
	FailOnMissingFiles bool   // a missing file ends the job; else it goes without

	StartTimeout time.Duration // how long the first container, once started, may take until bash runs in it; 0 is 5 min
}

// Container is one container of a job.
type Container struct {
	Name       string // the others reach it by this name
	Image      string
	Command    string // split into words as a shell does; not used for the first container, which runs bash
	Entrypoint string // the same; "" is the image's
	User       string
	Env        []string // NAME=value
}

// Credential is what a job knows to get into one registry.
type Credential struct {
	Env   map[string]string // DOCKER_CREDENTIAL_TYPE says which of the others matter
	Files []File
}

// Bind is a file or folder of this machine and where the container finds it.
type Bind struct{ Host, Container string }

const (
	labelJob   = "signalbox.job"
	labelAgent = "signalbox.agent"
	labelRun   = "signalbox.run" // one executor: a job may be tried again while its first try is still cleaned up

	defaultStartTimeout = 5 * time.Minute
)
