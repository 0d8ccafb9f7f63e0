package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/signalbox-ci/signalbox/spec"
)

// PipelineCmd is `signalbox pipeline`.
type PipelineCmd struct {
	Validate   PipelineValidateCmd   `cmd:"" help:"Check pipeline files; no server is needed."`
	Promote    PipelinePromoteCmd    `cmd:"" help:"Start the pipeline that a promotion names."`
	Promotions PipelinePromotionsCmd `cmd:"" help:"List what was promoted from a pipeline."`
	Rerun      PipelineRerunCmd      `cmd:"" help:"Run again what did not pass in a pipeline."`
	Explain    PipelineExplainCmd    `cmd:"" help:"Show what a pipeline file would run, what it would skip, and why."`
	Schema     PipelineSchemaCmd     `cmd:"" help:"Print the JSON Schema of pipeline files, for editors."`
}

// PipelineSchemaCmd is `signalbox pipeline schema`.
type PipelineSchemaCmd struct{}

// Run prints the schema whatever --output says: it is JSON either way.
func (PipelineSchemaCmd) Run(g *Globals) error {
	_, err := g.out.Write(spec.JSONSchema())
	return err
}

// PipelineValidateCmd is `signalbox pipeline validate`.
type PipelineValidateCmd struct {
	Files []string `arg:"" optional:"" help:"Files to check; default: .semaphore/semaphore.yml." name:"file"`
}

// Help is what --help says beside the flags.
func (*PipelineValidateCmd) Help() string {
	return "Prints every problem as file:line:column. Exit codes: 0 all files can run, 2 one of them can not."
}

func (c *PipelineValidateCmd) Run(g *Globals) error {
	files := c.Files
	if len(files) == 0 {
		files = []string{".semaphore/semaphore.yml"}
	}
	wrong := false
	type report struct {
		File     string         `json:"file"`
		Valid    bool           `json:"valid"`
		Problems []spec.Problem `json:"problems"`
	}
	reports := []report{}
	var text strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return &exitCodeError{code: exitInvalid, err: err}
		}
		r := spec.Parse(data, spec.Options{File: f})
		bad := r.Problems.HasErrors()
		wrong = wrong || bad
		reports = append(reports, report{File: f, Valid: !bad, Problems: append([]spec.Problem{}, r.Problems...)})
		for _, p := range r.Problems {
			fmt.Fprintln(&text, printable(p.String()))
		}
		if !bad {
			fmt.Fprintf(&text, "%s: %q can run: %d blocks, %d jobs\n", f, printable(r.Name), r.Blocks, r.Jobs)
		}
	}
	if err := g.print(reports, text.String()); err != nil {
		return err
	}
	if wrong {
		return &exitCodeError{code: exitInvalid}
	}
	return nil
}
