//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox/agent"
)

// describe prints a plan with all that it writes.
func describe(plan []step) string {
	var b strings.Builder
	for _, s := range plan {
		fmt.Fprintln(&b, s)
		if s.mayFail {
			b.WriteString("    (may fail)\n")
		}
		if s.write != "" {
			for _, l := range strings.Split(strings.TrimSuffix(s.content, "\n"), "\n") {
				b.WriteString("    " + l + "\n")
			}
		}
	}
	return b.String()
}

// testdata/install holds the plans; -update writes them anew.
func TestInstallPlans(t *testing.T) {
	full := installOptions{
		program: "/home/ann/signalbox", user: "ci", endpoint: "ci.example.com", token: "0123:abc'\"", ca: []byte("-----BEGIN CERTIFICATE-----\n"), spawn: 2,
		name: "host-1-agent", start: true, restart: "on-failure", restartAfter: 30 * time.Second, afterJob: true, idle: 5 * time.Minute, grace: 10 * time.Minute, shutdownHook: "/opt/off.sh",
	}
	for _, service := range []string{"systemd", "launchd", "windows"} {
		o := full
		o.service = service
		small := installOptions{
			service: service, program: servicePlaces[service].program, user: "ci", endpoint: "ci:8443", token: "t", noHTTPS: true, spawn: 1, restart: "always", restartAfter: time.Minute,
		}
		if service == "windows" {
			o.user, small.user = "", ""
		}
		got := "everything\n\n" + describe(installPlan(o)) + "\nas little as possible\n\n" + describe(installPlan(small)) +
			"\nuninstall\n\n" + describe(uninstallPlan(service, false)) + "\nuninstall, purge\n\n" + describe(uninstallPlan(service, true))
		file := filepath.Join("testdata", "install", service+".txt")
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s (-want +got):\n%s", service, d)
		}
		for _, s := range installPlan(o) {
			if strings.Contains(s.String(), "0123:abc") {
				t.Errorf("the token is shown: %s", s)
			}
			if s.mode&0o077 != 0 && strings.Contains(s.content, "0123:abc") {
				t.Errorf("others can read the token: %s", s)
			}
		}
	}
}

func TestSystemdWords(t *testing.T) {
	for in, want := range map[string]string{"/usr/bin/x": "/usr/bin/x", "/a b": `"/a b"`, "/50%": "/50%%", `/q"`: `"/q\""`, "/$HOME": "/$$HOME"} {
		if got := systemdWord(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// What is written is what an agent can read, in the right places with the right modes; the environment is that of the
// official installer.
func TestInstallBelowAnotherRoot(t *testing.T) {
	noEnvironment(t)
	env := []string{
		"SEMAPHORE_ENDPOINT=ci.example.com", "SEMAPHORE_REGISTRATION_TOKEN=secret-token", "SEMAPHORE_AGENT_INSTALLATION_USER=ci",
		"SEMAPHORE_AGENT_DISCONNECT_AFTER_IDLE_TIMEOUT=300", "SEMAPHORE_AGENT_SHUTDOWN_HOOK=/opt/off.sh", "SEMAPHORE_AGENT_SYSTEMD_RESTART_SEC=5",
	}
	root := t.TempDir()
	p := start(t, env, "agent", "install", "--service=systemd", "--dry-run", "--root", root)
	if code := p.ends(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	dry := p.text()
	if !strings.Contains(dry, "would write /etc/signalbox-agent/config.yaml (0600 of ci)") || !strings.Contains(dry, "Nothing was done.") || strings.Contains(dry, "secret-token") {
		t.Errorf("a dry run says\n%s", dry)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("a dry run has made %v, %v", left, err)
	}
	for range 2 { // doing it again is harmless
		p = start(t, env, "agent", "install", "--service=systemd", "--root", root)
		if code := p.ends(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		if want := strings.ReplaceAll(strings.TrimSuffix(dry, "Nothing was done.\n"), "would ", ""); p.text() != want {
			t.Errorf("it says\n%swant\n%s", p.text(), want)
		}
	}
	for name, mode := range map[string]os.FileMode{
		"usr/local/bin/signalbox": 0o755, "etc/signalbox-agent/config.yaml": 0o600, "var/lib/signalbox-agent": 0o700, "etc/systemd/system/signalbox-agent.service": 0o644,
	} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	k, cli := parser(t)
	if _, err := k.Parse([]string{"agent", "start", "--config-file", filepath.Join(root, "etc/signalbox-agent/config.yaml")}); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := cli.Agent.Start.config(&cli.Globals, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Endpoint != "ci.example.com" || cfg.Token != "secret-token" || cfg.StateDir != "/var/lib/signalbox-agent" || cfg.ShutdownHook != "/opt/off.sh" || cfg.DisconnectAfterIdleTimeout != 300e9 {
		t.Errorf("the configuration is %+v", cfg)
	}
	if _, err := agent.New(cfg); err != nil {
		t.Error(err)
	}
	if p = start(t, nil, "agent", "uninstall", "--service=systemd", "--root", root); p.ends() != 0 {
		t.Error("uninstall failed")
	}
	for name, there := range map[string]bool{"usr/local/bin/signalbox": true, "var/lib/signalbox-agent": true, "etc/signalbox-agent/config.yaml": false, "etc/systemd/system/signalbox-agent.service": false} {
		if _, err := os.Stat(filepath.Join(root, name)); (err == nil) != there {
			t.Errorf("after uninstall, %s: %v", name, err)
		}
	}
}

func TestWrongInstallOptions(t *testing.T) {
	noEnvironment(t)
	good := []string{"--service=systemd", "--dry-run", "--endpoint=ci", "--user=ci"}
	token := []string{"SEMAPHORE_REGISTRATION_TOKEN=x"}
	for _, c := range []struct {
		env, args []string
		want      string
	}{
		{token, good[:2], "no endpoint was given"},
		{append(token, "SEMAPHORE_ORGANIZATION=acme"), good[:2], "SEMAPHORE_ORGANIZATION=acme names an organization of a hosted service"},
		{token, append(good[:2:2], "--endpoint=https://ci"), "leave out the scheme"},
		{token, good[:3], "no user was given"},
		{token, append(good[:3:3], "--user=a\nb"), "is not the name of a user"},
		{token, append(good[:4:4], "--service=windows"), "a Windows service starts as LocalSystem"},
		{nil, good, "no token was given"},
		{[]string{"SEMAPHORE_REGISTRATION_TOKEN=a b"}, good, "no token was given"},
		{nil, append(good[:4:4], "--token-file=/nowhere/x"), "--token-file: open /nowhere/x"},
		{token, append(good[:4:4], "--restart-sec=often"), "--restart-sec"},
		{token, append(good[:4:4], "--ca-file=/nowhere/x"), "--ca-file"},
		{token, []string{"--service=systemd", "--endpoint=ci", "--user=no-such-user"}, "there is no user no-such-user|can be made by root only"},
	} {
		p := start(t, c.env, append([]string{"agent", "install"}, c.args...)...)
		code, ok := p.ends(), false
		for _, want := range strings.Split(c.want, "|") {
			ok = ok || strings.Contains(p.text(), want)
		}
		if code != 1 || !ok {
			t.Errorf("%q %q: exit code %d\n%swant %q", c.env, c.args, code, p.text(), c.want)
		}
	}
}
