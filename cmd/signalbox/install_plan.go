package main

import (
	"fmt"
	"html"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// installOptions is everything that a plan depends on.
type installOptions struct {
	service  string // systemd, launchd, windows
	program  string // path of the program that installs itself
	user     string
	endpoint string
	token    string
	noHTTPS  bool
	name     string
	ca       []byte
	spawn    int

	start        bool
	restart      string
	restartAfter time.Duration
	afterJob     bool
	idle         time.Duration
	grace        time.Duration
	shutdownHook string
}

// step is one thing that a plan does: exactly one of the first five is set.
type step struct {
	dir    string // make this folder
	write  string // write this file
	copy   string // copy the program to this file
	remove string // remove this file or folder
	run    []string

	content string
	mode    os.FileMode
	owner   string
	mayFail bool // of run: what it undoes may not be there
}

// String says what the step does. Contents are not shown: one holds the token.
func (s step) String() string {
	owner := ""
	if s.owner != "" {
		owner = " of " + s.owner
	}
	switch {
	case s.dir != "":
		return fmt.Sprintf("make folder %s (%04o%s)", s.dir, s.mode, owner)
	case s.write != "":
		return fmt.Sprintf("write %s (%04o%s)", s.write, s.mode, owner)
	case s.copy != "":
		return fmt.Sprintf("copy this program to %s", s.copy)
	case s.remove != "":
		return "remove " + s.remove
	}
	return "run " + strings.Join(s.run, " ")
}

// places is where things lie for one kind of service.
type places struct{ program, dir, state, unit, sep string }

var servicePlaces = map[string]places{
	"systemd": {"/usr/local/bin/signalbox", "/etc/signalbox-agent", "/var/lib/signalbox-agent", "/etc/systemd/system/signalbox-agent.service", "/"},
	"launchd": {"/usr/local/bin/signalbox", "/usr/local/etc/signalbox-agent", "/var/lib/signalbox-agent", "/Library/LaunchDaemons/ci.signalbox.agent.plist", "/"},
	"windows": {`C:\Program Files\Signalbox\signalbox.exe`, `C:\ProgramData\Signalbox`, `C:\ProgramData\Signalbox\state`, "", `\`},
}

const (
	launchdLabel   = "ci.signalbox.agent"
	windowsService = "SignalboxAgent"
)

// installPlan says what it takes to make a service.
func installPlan(o installOptions) []step {
	p := servicePlaces[o.service]
	config := p.dir + p.sep + "config.yaml"
	var out []step
	if o.program != p.program {
		if i := strings.LastIndex(p.program, p.sep); o.service == "windows" {
			out = append(out, step{dir: p.program[:i], mode: 0o755})
		}
		out = append(out, step{copy: p.program, content: o.program, mode: 0o755})
	}
	out = append(out, step{dir: p.dir, mode: 0o755})
	if o.service == "windows" { // the modes below mean nothing there
		out = append(out, step{run: []string{"icacls", p.dir, "/inheritance:r", "/grant:r", "*S-1-5-18:(OI)(CI)F", "*S-1-5-32-544:(OI)(CI)F"}})
	}
	out = append(out, step{dir: p.state, mode: 0o700, owner: o.user})
	ca := ""
	if len(o.ca) > 0 {
		ca = p.dir + p.sep + "ca.crt"
		out = append(out, step{write: ca, mode: 0o644, content: string(o.ca)})
	}
	out = append(out, step{write: config, mode: 0o600, owner: o.user, content: installConfig(o, p.state, ca)})
	switch o.service {
	case "systemd":
		out = append(out,
			step{write: p.unit, mode: 0o644, content: systemdUnit(o, p.program, config)},
			step{run: []string{"systemctl", "daemon-reload"}},
			step{run: []string{"systemctl", "enable", "signalbox-agent.service"}})
		if o.start {
			out = append(out, step{run: []string{"systemctl", "restart", "signalbox-agent.service"}})
		}
	case "launchd":
		out = append(out, step{write: p.unit, mode: 0o644, content: launchdPlist(o, p, config)})
		if o.start {
			out = append(out,
				step{run: []string{"launchctl", "bootout", "system/" + launchdLabel}, mayFail: true},
				step{run: []string{"launchctl", "bootstrap", "system", p.unit}})
		}
	case "windows":
		bin := fmt.Sprintf(`"%s" agent start --config-file "%s"`, p.program, config)
		out = append(out,
			step{run: []string{"sc.exe", "delete", windowsService}, mayFail: true},
			step{run: []string{"sc.exe", "create", windowsService, "binPath=", bin, "start=", "auto", "DisplayName=", "Signalbox agent"}},
			step{run: []string{"sc.exe", "failure", windowsService, "reset=", "86400", "actions=", fmt.Sprintf("restart/%d", o.restartAfter.Milliseconds())}},
			step{run: []string{"sc.exe", "failureflag", windowsService, "1"}}) // an exit code counts as a failure too
		if o.start {
			out = append(out, step{run: []string{"sc.exe", "start", windowsService}})
		}
	}
	return out
}

// uninstallPlan takes back what installPlan has made. The program may be in use by others and stays.
func uninstallPlan(service string, purge bool) []step {
	p := servicePlaces[service]
	var out []step
	switch service {
	case "systemd":
		out = append(out,
			step{run: []string{"systemctl", "disable", "--now", "signalbox-agent.service"}, mayFail: true},
			step{remove: p.unit},
			step{run: []string{"systemctl", "daemon-reload"}, mayFail: true})
	case "launchd":
		out = append(out, step{run: []string{"launchctl", "bootout", "system/" + launchdLabel}, mayFail: true}, step{remove: p.unit})
	case "windows":
		out = append(out,
			step{run: []string{"sc.exe", "stop", windowsService}, mayFail: true},
			step{run: []string{"sc.exe", "delete", windowsService}, mayFail: true})
	}
	out = append(out, step{remove: p.dir + p.sep + "config.yaml"}, step{remove: p.dir + p.sep + "ca.crt"})
	if purge {
		out = append(out, step{remove: p.state})
	}
	return out
}

// installConfig is the agent's configuration file.
func installConfig(o installOptions, state, ca string) string {
	var b strings.Builder
	b.WriteString("# Options of `signalbox agent start`; restart the service after a change.\n")
	put := func(key string, value any) {
		text, err := yaml.Marshal(map[string]any{key: value})
		if err != nil {
			panic(err) // texts and numbers can be written
		}
		b.Write(text)
	}
	put("endpoint", o.endpoint)
	put("token", o.token)
	if o.noHTTPS {
		put("no-https", true)
	}
	if ca != "" {
		put("ca-file", ca)
	}
	if o.name != "" {
		put("name", o.name)
	}
	if o.spawn > 1 {
		put("spawn", o.spawn)
	}
	if o.afterJob {
		put("disconnect-after-job", true)
	}
	if o.idle > 0 {
		put("disconnect-after-idle-timeout", int(o.idle/time.Second))
	}
	if o.grace > 0 {
		put("interruption-grace-period", int(o.grace/time.Second))
	}
	if o.shutdownHook != "" {
		put("shutdown-hook-path", o.shutdownHook)
	}
	put("state", state)
	return b.String()
}

// leaveTime is how long stopping the service may take: the job's grace, its processes' grace, the last of its log, the hook.
func (o installOptions) leaveTime() int { return int((o.grace + 3*time.Minute) / time.Second) }

func systemdUnit(o installOptions, program, config string) string {
	return `[Unit]
Description=Signalbox agent
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
NotifyAccess=main
User=` + o.user + `
WorkingDirectory=~
ExecStart=` + systemdWord(program) + ` agent start --config-file ` + systemdWord(config) + `
Restart=` + o.restart + `
RestartSec=` + fmt.Sprint(int(o.restartAfter/time.Second)) + `
# The agent says when its conversation with the server goes on; one that is stuck is started again.
WatchdogSec=120
# It gives up by itself when the server does not answer.
TimeoutStartSec=infinity
# SIGTERM is for the agent alone, which ends its job in order; what is left after the time gets SIGKILL.
Delegate=yes
KillMode=mixed
TimeoutStopSec=` + fmt.Sprint(o.leaveTime()) + `
# A job that takes too much memory must not take the agent with it.
OOMPolicy=continue
# NoNewPrivileges and the like are not set: jobs may need sudo.

[Install]
WantedBy=multi-user.target
`
}

// systemdWord writes one word of a command line in a unit file.
func systemdWord(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(s)
	if strings.ContainsAny(s, " \t'\"\\;") {
		return `"` + s + `"`
	}
	return s
}

func launchdPlist(o installOptions, p places, config string) string {
	e := html.EscapeString
	return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key><string>` + launchdLabel + `</string>
	<key>ProgramArguments</key>
	<array>
		<string>` + e(p.program) + `</string>
		<string>agent</string>
		<string>start</string>
		<string>--config-file</string>
		<string>` + e(config) + `</string>
		<string>--log-file</string>
		<string>` + e(p.state) + `/agent.log</string>
	</array>
	<key>UserName</key><string>` + e(o.user) + `</string>
	<key>RunAtLoad</key><true/>
	<key>KeepAlive</key><true/>
	<key>ThrottleInterval</key><integer>` + fmt.Sprint(int(o.restartAfter/time.Second)) + `</integer>
	<key>ExitTimeOut</key><integer>` + fmt.Sprint(o.leaveTime()) + `</integer>
	<key>AbandonProcessGroup</key><false/>
</dict>
</plist>
`
}
