package trigger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/engine"
	"github.com/signalbox-ci/signalbox/spec"
	"github.com/signalbox-ci/signalbox/spec/compiler"
	"github.com/signalbox-ci/signalbox/store"
)

// Artifacts are the files that jobs have pushed. One that is not there, or has more than limit bytes, or was pushed by
// another job, is CodeNotFound.
type Artifacts interface {
	Content(ctx context.Context, scope signalbox.ArtifactScope, scopeID, path, jobID string, limit int64) ([]byte, error)
}

// ranInitialization is the initialization job of a pipeline; its fields are nil where there was none.
type ranInitialization struct {
	block *signalbox.Block
	job   *signalbox.Job
}

const (
	// initializationMinutes and initializationPriority are what a compilation job has: little time, and before nearly
	// everything else.
	initializationMinutes  = 10
	initializationPriority = 95
	// maxCompiled is the most bytes that are read of what an initialization job pushed.
	maxCompiled = 4 << 20
)

// compile compiles a pipeline's file here, or says which job has to do it on an agent. A file that is wrong by itself
// keeps no agent busy.
func (t *Trigger) compile(ctx context.Context, repo Repository, project *signalbox.Project, w *signalbox.Workflow, p *signalbox.Pipeline) (engine.Compiled, error) {
	var organization *signalbox.Organization
	if err := t.o.Store.Read(ctx, func(tx *store.Tx) (err error) {
		organization, err = tx.Organization()
		return err
	}); err != nil {
		return engine.Compiled{}, err
	}
	i := signalbox.InitializationOf(organization, project)
	if i.MachineType == "" && len(i.Commands) == 0 {
		return t.compileFile(ctx, repo, project, w, p, engine.Source{})
	}
	text, err := repo.FileAt(ctx, w.CommitSHA, p.File)
	if err != nil && failed(err) {
		return engine.Compiled{}, err
	}
	if err != nil || len(i.Commands) == 0 && !compiler.Needed(text) {
		return t.compileFile(ctx, repo, project, w, p, engine.Source{YAML: text, Err: err})
	}
	static := spec.Parse(text, spec.Options{File: p.File})
	c := engine.Compiled{YAML: string(text), Name: static.Name}
	switch {
	case static.Problems.HasErrors():
		c.Err = static.Problems.Error()
	case i.MachineType == "":
		c.Err = "There are pre-flight checks, but no agent is set for initialization jobs; \"signalbox initialization set --agent TYPE\" names one."
	default:
		c.Init = initializationJob(i, p.File)
	}
	return c, nil
}

// initializationJob is the job that compiles a pipeline file. What it does is the interface of existing compilers, so that
// an agent with the official toolbox can run it.
func initializationJob(i signalbox.Initialization, file string) *signalbox.PlanJob {
	commands := []string{
		"export GIT_LFS_SKIP_SMUDGE=1",
		"checkout",
		`export INPUT_FILE="$SEMAPHORE_YAML_FILE_PATH"`,
		`export OUTPUT_FILE="$INPUT_FILE.output.yml"`,
		`export LOGS_FILE="$INPUT_FILE.logs.jsonl"`,
		`cat "$INPUT_FILE"`,
		`spc compile --input "$INPUT_FILE" --output "$OUTPUT_FILE" --logs "$LOGS_FILE"`,
	}
	push := func(what, suffix string) string {
		return fmt.Sprintf(`if [ -f "$%[1]s" ]; then artifact push workflow "$%[1]s" --force --destination "compilation/$SEMAPHORE_PIPELINE_ID-${INPUT_FILE##*/}%[2]s"; fi`, what, suffix)
	}
	return &signalbox.PlanJob{
		Name: "Compilation", Priority: initializationPriority, TimeLimit: initializationMinutes,
		Spec: signalbox.JobSpec{
			MachineType: i.MachineType, OSImage: i.OSImage, Secrets: i.Secrets, Commands: append(commands, i.Commands...),
			EnvVars:        []signalbox.EnvVar{{Name: "SEMAPHORE_YAML_FILE_PATH", Value: strings.TrimPrefix(path.Clean("/"+file), "/")}},
			EpilogueAlways: []string{push("LOGS_FILE", ".logs"), push("OUTPUT_FILE", "")},
		},
	}
}

// compiled goes on with what an initialization job has left: the compiled file, or what is wrong with the file.
func (t *Trigger) compiled(ctx context.Context, repo Repository, project *signalbox.Project, w *signalbox.Workflow, p *signalbox.Pipeline, ran ranInitialization) (engine.Compiled, error) {
	c := engine.Compiled{YAML: p.YAML, Name: p.Name}
	read := func(suffix string) ([]byte, error) {
		if t.o.Artifacts == nil || ran.job == nil {
			return nil, signalbox.Errorf(signalbox.CodeNotFound, "there are no artifacts")
		}
		name := path.Base(p.File) + suffix
		data, err := t.o.Artifacts.Content(ctx, signalbox.ArtifactsOfWorkflow, w.ID, "compilation/"+p.ID+"-"+name, ran.job.ID, maxCompiled)
		if signalbox.ErrorCode(err) == signalbox.CodeNotFound {
			return t.o.Artifacts.Content(ctx, signalbox.ArtifactsOfWorkflow, w.ID, "compilation/"+name, ran.job.ID, maxCompiled)
		}
		return data, err
	}
	if ran.block.Result != signalbox.ResultPassed {
		log, err := read(".logs")
		if err != nil && signalbox.ErrorCode(err) != signalbox.CodeNotFound {
			return c, err
		}
		if c.Err = findings(log, p.File); c.Err == "" {
			c.Err, c.Why = "The initialization job failed; its log says why.", signalbox.ReasonStuck
		}
		return c, nil
	}
	text, err := read("")
	switch {
	case signalbox.ErrorCode(err) == signalbox.CodeNotFound:
		c.Err, c.Why = fmt.Sprintf("The initialization job passed but pushed no compiled file of at most %d MB.", maxCompiled>>20), signalbox.ReasonStuck
		return c, nil
	case err != nil:
		return c, err
	}
	return t.compileFile(ctx, repo, project, w, p, engine.Source{YAML: text, Shown: p.File + ".output.yml"})
}

// findings makes lines for people of a compiler's log; what is no line of such a log stays as it is.
func findings(log []byte, file string) string {
	var out []string
	for line := range bytes.Lines(log) {
		line = bytes.TrimSpace(line)
		var f compiler.Finding
		switch {
		case len(line) == 0:
			continue
		case json.Unmarshal(line, &f) != nil || f.Message == "":
			out = append(out, string(line))
			continue
		}
		if f.Location.File != "" {
			file = f.Location.File
		}
		at := file
		if len(f.Location.Path) > 0 {
			at += ": " + strings.Join(f.Location.Path, ".")
		}
		out = append(out, strings.ToValidUTF8(at+": "+f.Message, "\uFFFD"))
	}
	return strings.Join(out, "\n")
}
