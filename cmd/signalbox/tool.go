package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// toolCLI are the programs that scripts of jobs call. They are commands of ours, but not in our help, and with a command
// line of their own: the --output of some names a file.
type toolCLI struct {
	Artifact artifactCmd `cmd:"" help:"Keep files of jobs, workflows and projects on the server."`
	Spc      spcCmd      `cmd:"" help:"Prepare pipeline files: commands_file, templates and change_in."`
	When     whenCmd     `cmd:"" help:"Take conditions apart."`
}

// tools are the names in toolCLI.
var tools = []string{"artifact", "spc", "when"}

// runTool runs "signalbox spc …" and the like. They promise 0 or 1 only.
func runTool(ctx context.Context, args []string, out, errOut io.Writer) int {
	exited := -1
	parser, err := kong.New(&toolCLI{}, kong.Name("signalbox"), kong.Writers(out, errOut), kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err == nil {
		var kctx *kong.Context
		kctx, err = parser.Parse(args)
		if exited >= 0 {
			return exited // --help
		}
		if err == nil {
			kctx.BindTo(ctx, (*context.Context)(nil))
			kctx.BindTo(out, (*io.Writer)(nil))
			kctx.Bind(toolErrors{errOut})
			err = kctx.Run()
		}
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported):
	default:
		fmt.Fprintln(errOut, "(err)", err)
	}
	return exitError
}

// errReported says that what is wrong stands in the log file already.
var errReported = errors.New("the file has mistakes")

// toolFiles are the files of a tool.
type toolFiles struct {
	Input  string `help:"File to read." placeholder:"FILE"`
	Output string `help:"File to write." placeholder:"FILE"`
}

func (f *toolFiles) check() error {
	switch {
	case f.Input == "":
		return errors.New("input path not provided")
	case f.Output == "":
		return errors.New("output path not provided")
	}
	return nil
}

// readJSON reads the input into v.
func (f *toolFiles) readJSON(v any) error {
	if err := f.check(); err != nil {
		return err
	}
	data, err := os.ReadFile(f.Input)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s is not what this command reads: %w", f.Input, err)
	}
	return nil
}

func (f *toolFiles) writeJSON(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(f.Output, data, 0o644)
}
