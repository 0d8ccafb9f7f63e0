// Command signalbox is the whole CI system in one program: the server, the agent, a local runner and the command line.
// Each subcommand is one file that reads its settings and calls a package; nothing else happens here. Settings come
// from flags, environment variables and a YAML file, strongest first.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/signalbox-ci/signalbox"
)

// version is set by the linker.
var version = "dev"

// Exit codes, part of every command's promise.
const (
	exitOK      = 0
	exitError   = 1  // wrong usage, or the server could not be reached
	exitInvalid = 2  // not found, or a pipeline file that is wrong
	exitDenied  = 3  // not allowed
	exitFailed  = 10 // the pipeline has failed
	exitStopped = 11 // the pipeline was stopped or canceled
)

// Globals are the settings of every command.
type Globals struct {
	Data     string `help:"Data folder of a server on this machine." env:"SIGNALBOX_DATA" placeholder:"DIR" group:"Everywhere"`
	Server   string `help:"The server to talk to, as a URL; default: the one that runs on the data folder." env:"SIGNALBOX_SERVER" placeholder:"URL" group:"Everywhere"`
	APIToken string `help:"API token for the server." name:"api-token" env:"SIGNALBOX_API_TOKEN" placeholder:"TOKEN" group:"Everywhere"`
	CAFile   string `help:"Certificate to trust beside the system's." name:"ca-file" env:"SIGNALBOX_CA_FILE" placeholder:"FILE" group:"Everywhere"`
	Output   string `help:"text or json." enum:"text,json" default:"text" env:"SIGNALBOX_OUTPUT" group:"Everywhere"`
	LogLevel string `help:"What is logged to standard error: debug, info, warn or error." name:"log-level" enum:"debug,info,warn,error" default:"info" env:"SIGNALBOX_LOG_LEVEL" group:"Everywhere"`

	out io.Writer
	err io.Writer
}

// CLI is the command line.
type CLI struct {
	Globals
	Config kong.ConfigFlag `help:"YAML file with settings, keys as the flags are named." env:"SIGNALBOX_CONFIG" placeholder:"FILE" group:"Everywhere"`

	Server_        ServerCmd           `cmd:"" name:"server" help:"Run the control plane."`
	Agent          AgentCmd            `cmd:"" help:"Offer this machine to a server, and look after a server's agents."`
	Demo           DemoCmd             `cmd:"" help:"Show everything at work: server, agent, repository, pipeline."`
	Run            RunCmd              `cmd:"" help:"Run the pipeline of the current repository here, without a server."`
	Project        ProjectCmd          `cmd:"" help:"Projects."`
	AgentType      AgentTypeCmd        `cmd:"" name:"agent-type" help:"Agent types and their tokens."`
	Agents         AgentListCmd        `cmd:"" help:"The same as agent list."`
	Workflow       WorkflowCmd         `cmd:"" help:"Start, follow and stop workflows."`
	Task           TaskCmd             `cmd:"" help:"Workflows that start at set times."`
	Job            JobCmd              `cmd:"" help:"Jobs and their logs."`
	Pipeline       PipelineCmd         `cmd:"" help:"Check and explain pipeline files; promote and repeat pipelines."`
	Initialization InitializationCmd   `cmd:"" help:"Where pipeline files are compiled, and what must pass before a pipeline."`
	Machine        MachineCmd          `cmd:"" help:"Which agent types serve the machine types of hosted products."`
	Secret         SecretCmd           `cmd:"" help:"Variables and files for jobs that nobody is shown."`
	Target         DeploymentTargetCmd `cmd:"" name:"deployment-target" help:"Who may deploy where, and what only deployments get."`
	User           UserCmd             `cmd:"" help:"Who may sign in, and as what."`
	Token          TokenCmd            `cmd:"" help:"Your own API tokens."`
	Organization   OrganizationCmd     `cmd:"" help:"Settings that hold for everything."`
	Admin          AdminCmd            `cmd:"" help:"What is done to a server as a whole."`
	Dev            DevCmd              `cmd:"" help:"For whoever works on Signalbox itself."`
	GitHook        GitHookCmd          `cmd:"" name:"git-hook" hidden:"" help:"What a repository's hook runs after a push."`
	Version        VersionCmd          `cmd:"" help:"Print the version."`
}

// VersionCmd is `signalbox version`.
type VersionCmd struct{}

func (VersionCmd) Run(g *Globals) error {
	_, err := fmt.Fprintln(g.out, "signalbox", version)
	return err
}

func main() {
	if err := hideToken(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "signalbox:", err)
		os.Exit(exitError)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// exitError carries an exit code; its message, when there is one, has not been printed.
type exitCodeError struct {
	code int
	err  error
}

func (e *exitCodeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}
func (e *exitCodeError) Unwrap() error { return e.err }

func run(args []string, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 0 && slices.Contains(tools, args[0]) {
		return runTool(ctx, args, out, errOut)
	}
	cli := &CLI{Globals: Globals{out: out, err: errOut}}
	if err := adoptAgentEnvironment(args); err != nil {
		fmt.Fprintln(errOut, "signalbox:", err)
		return exitError
	}
	exited := -1
	parser, err := newParser(cli, out, errOut, func(code int) { exited = code })
	if err != nil {
		fmt.Fprintln(errOut, "signalbox:", err)
		return exitError
	}
	parser.FatalIfErrorf(nil)
	kctx, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help
	}
	if err != nil {
		var pe *kong.ParseError
		if errors.As(err, &pe) {
			fmt.Fprintf(errOut, "signalbox: %s\nSee: signalbox %s--help\n", err, command(pe.Context))
			return exitError
		}
		fmt.Fprintln(errOut, "signalbox:", err)
		return exitError
	}
	kctx.BindTo(ctx, (*context.Context)(nil))
	kctx.Bind(&cli.Globals)
	return exitCode(kctx.Run(), errOut)
}

func newParser(cli *CLI, out, errOut io.Writer, exit func(int)) (*kong.Kong, error) {
	return kong.New(cli, kong.Name("signalbox"),
		kong.Description("CI on your own machines, in one program.\n\nExit codes: 0 done, 1 wrong usage or no server, 2 not found or a wrong pipeline file, "+
			"3 not allowed, 10 the pipeline has failed, 11 it was stopped or canceled."),
		kong.Configuration(loadConfig), kong.Resolvers(envLists{}), kong.Writers(out, errOut), kong.Exit(exit), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
}

func command(c *kong.Context) string {
	if c == nil || c.Command() == "" {
		return ""
	}
	return c.Command() + " "
}

func exitCode(err error, errOut io.Writer) int {
	if err == nil {
		return exitOK
	}
	var e *exitCodeError
	if errors.As(err, &e) {
		if e.err != nil {
			fmt.Fprintln(errOut, "signalbox:", e.err)
		}
		return e.code
	}
	if errors.Is(err, context.Canceled) {
		return exitStopped
	}
	fmt.Fprintln(errOut, "signalbox:", err)
	switch signalbox.ErrorCode(err) {
	case signalbox.CodeNotFound:
		return exitInvalid
	case signalbox.CodeForbidden, signalbox.CodeUnauthorized:
		return exitDenied
	}
	return exitError
}

func (g *Globals) logger() *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(g.LogLevel)) // kong has checked it
	return slog.New(slog.NewTextHandler(g.err, &slog.HandlerOptions{Level: l}))
}

// dataDir is the server's data folder: the setting, or signalbox in the user's usual place for such things.
func (g *Globals) dataDir() (string, error) {
	if g.Data != "" {
		return filepath.Abs(g.Data)
	}
	home, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find a data folder (or name one with --data): %w", err)
	}
	return filepath.Join(home, "signalbox"), nil
}
