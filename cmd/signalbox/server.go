package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/signalbox-ci/signalbox/server"
	"github.com/signalbox-ci/signalbox/setup"
)

// ServerCmd is `signalbox server`.
type ServerCmd struct {
	Listen         string   `help:"Address to answer on." default:":8443" env:"SIGNALBOX_LISTEN" placeholder:"ADDR"`
	Database       string   `help:"PostgreSQL URL; without it the state lies in an embedded database in the data folder." env:"SIGNALBOX_DATABASE" placeholder:"URL"`
	PublicURL      string   `help:"How agents and people reach this server, when it is not how they asked: https://ci.example.com." env:"SIGNALBOX_PUBLIC_URL" placeholder:"URL"`
	InsecureHTTP   bool     `help:"Listen without TLS, behind a proxy that adds it." name:"insecure-http" env:"SIGNALBOX_INSECURE_HTTP"`
	TrustedProxies []string `help:"Networks whose X-Forwarded-Proto, X-Forwarded-Host and X-Forwarded-For are believed." name:"trusted-proxy" env:"SIGNALBOX_TRUSTED_PROXY" placeholder:"CIDR"`
	LogQuota       int64    `help:"Bytes of log that one job may have; 0 is no limit." name:"log-quota" env:"SIGNALBOX_LOG_QUOTA" default:"0"`
	ArtifactDir    string   `help:"Folder for the files that jobs push; default: artifacts in the data folder. Servers that share a database must share it too, over a file system that all of them mount." name:"artifact-dir" env:"SIGNALBOX_ARTIFACT_DIR" placeholder:"DIR"`
	Dist           string   `help:"Folder with builds for other systems, as make dist fills it; they are offered for download beside the running one." env:"SIGNALBOX_DIST" placeholder:"DIR"`
	ArtifactLimit  int64    `help:"Bytes that one file pushed by a job may have; 0 is no limit." name:"artifact-limit" env:"SIGNALBOX_ARTIFACT_LIMIT" default:"0"`
	SetupCode      string   `help:"One-time code for making the first account in the browser, at least 12 characters; default: one is made and printed." name:"setup-code" env:"SIGNALBOX_SETUP_CODE" placeholder:"CODE"`
	AdminName      string   `help:"Make an administrator of this name when nobody can sign in yet, instead of waiting for the browser. Needs the next two." name:"admin-name" env:"SIGNALBOX_ADMIN_NAME" placeholder:"NAME"`
	AdminEmail     string   `help:"E-mail address of that administrator." name:"admin-email" env:"SIGNALBOX_ADMIN_EMAIL" placeholder:"ADDRESS"`
	AdminPassword  string   `help:"File with the password of that administrator, at least 12 characters." name:"admin-password-file" env:"SIGNALBOX_ADMIN_PASSWORD_FILE" placeholder:"FILE"`
	MetricsListen  string   `help:"Show metrics for Prometheus to anybody who reaches this address, over plain HTTP, as in 127.0.0.1:9464. Without it /metrics of the server itself answers API tokens." name:"metrics-listen" env:"SIGNALBOX_METRICS_LISTEN" placeholder:"ADDR"`
}

// Help is what `signalbox server --help` says beside the flags.
func (*ServerCmd) Help() string {
	return "Runs the control plane: pages, API, job queue and logs. The first start makes the data folder, prints the " +
		"address, the line that makes this machine trust its certificate, and where the first account is made."
}

func (c *ServerCmd) Run(ctx context.Context, g *Globals) error {
	o, err := c.options(g)
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(38) // most of what a server holds are connections that wait; a little more work keeps it small
	}
	s, err := server.New(ctx, o)
	if err != nil {
		return err
	}
	err = s.Run(ctx)
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	return err
}

func (c *ServerCmd) options(g *Globals) (server.Options, error) {
	dir, err := g.dataDir()
	if err != nil {
		return server.Options{}, err
	}
	o := server.Options{
		Dir: dir, DatabaseURL: c.Database, Listen: c.Listen, PublicURL: c.PublicURL, Insecure: c.InsecureHTTP,
		LogQuota: c.LogQuota, ArtifactDir: c.ArtifactDir, ArtifactLimit: c.ArtifactLimit, DistDir: c.Dist, MetricsListen: c.MetricsListen, SetupCode: c.SetupCode, Version: version, Out: os.Stdout, Logger: g.logger(), Now: now,
	}
	if o.HookCommand, err = hookCommand(dir); err != nil {
		return server.Options{}, err
	}
	if o.Admin, err = c.admin(); err != nil {
		return server.Options{}, err
	}
	for _, p := range c.TrustedProxies {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			return server.Options{}, fmt.Errorf("--trusted-proxy %q is not a network like 10.0.0.0/8", p)
		}
		o.TrustedProxies = append(o.TrustedProxies, prefix)
	}
	return o, nil
}

// admin is the first administrator that the flags name, nil when they name nobody.
func (c *ServerCmd) admin() (*setup.Request, error) {
	if c.AdminName == "" && c.AdminEmail == "" && c.AdminPassword == "" {
		return nil, nil
	}
	if c.AdminName == "" || c.AdminEmail == "" || c.AdminPassword == "" {
		return nil, errors.New("--admin-name, --admin-email and --admin-password-file belong together: give all three, or none and make the first account in the browser")
	}
	password, err := readPassword(c.AdminPassword)
	if err != nil {
		return nil, err
	}
	r, problems := setup.Request{Name: c.AdminName, Email: c.AdminEmail, Password: password}.Checked()
	if len(problems) > 0 {
		return nil, fmt.Errorf("the first administrator: %w", problems)
	}
	return &r, nil
}

// hookCommand is what a repository's hook runs: this program, told where the server's data folder is.
func hookCommand(dataDir string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if dataDir, err = filepath.Abs(dataDir); err != nil {
		return nil, err
	}
	return []string{self, "git-hook", "--data", dataDir}, nil
}
