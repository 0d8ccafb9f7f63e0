package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/signalbox-ci/signalbox/agent"
)

// artifactCmd is `signalbox artifact`, for jobs on machines without the program of that name.
type artifactCmd struct {
	Push artifactPushCmd `cmd:"" help:"Put a file onto the server."`
}

// toolErrors is where a tool writes what is not its result.
type toolErrors struct{ io.Writer }

// artifactPushCmd is `signalbox artifact push`.
type artifactPushCmd struct {
	Scope       string `arg:"" enum:"job,workflow,project" help:"Whose file it is: job, workflow or project."`
	Source      string `arg:"" help:"File to push."`
	Destination string `short:"d" help:"Its name on the server; the name of the file when empty." placeholder:"PATH"`
	Force       bool   `short:"f" help:"Replace a file that is there."`
	JobID       string `short:"j" name:"job-id" help:"Another job than this one." placeholder:"ID"`
	WorkflowID  string `short:"w" name:"workflow-id" help:"Another workflow than this one." placeholder:"ID"`
	ProjectID   string `short:"p" name:"project-id" help:"Another project than this one." placeholder:"ID"`
}

// Run pushes one file. Messages and exit codes are those that scripts know.
func (c *artifactPushCmd) Run(ctx context.Context, errOut toolErrors) error {
	say := func(format string, args ...any) {
		fmt.Fprintf(errOut, "[%s] %s\n", time.Now().UTC().Format("Jan 02 15:04:05.000"), fmt.Sprintf(format, args...))
	}
	refuse := func(format string, args ...any) error {
		say("Error pushing artifact: "+format, args...)
		return errReported
	}
	token, server := os.Getenv("SEMAPHORE_ARTIFACT_TOKEN"), os.Getenv("SEMAPHORE_ORGANIZATION_URL")
	for name, value := range map[string]string{"SEMAPHORE_ARTIFACT_TOKEN": token, "SEMAPHORE_ORGANIZATION_URL": server} {
		if value == "" {
			return fmt.Errorf("%s is not set: this command works in a job", name)
		}
	}
	id := ""
	switch c.Scope {
	case "job":
		id = cmp.Or(c.JobID, os.Getenv("SEMAPHORE_JOB_ID"))
	case "workflow":
		id = cmp.Or(c.WorkflowID, os.Getenv("SEMAPHORE_WORKFLOW_ID"))
	case "project":
		id = cmp.Or(c.ProjectID, os.Getenv("SEMAPHORE_PROJECT_ID"))
	}
	if id == "" {
		return fmt.Errorf("which %[1]s? SEMAPHORE_%[2]s_ID is not set and --%[1]s-id not given", c.Scope, strings.ToUpper(c.Scope))
	}
	info, err := os.Stat(c.Source)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return refuse("path '%s' does not exist locally", c.Source)
	case err != nil:
		return refuse("%v", err)
	case !info.Mode().IsRegular():
		return refuse("path '%s' is no file; this command pushes single files", c.Source)
	}
	to := agent.ArtifactTarget{URL: server, Token: token, Path: remotePath(c.Scope, id, c.Source, c.Destination), Force: c.Force}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if t.TLSClientConfig.RootCAs, err = rootsWith(os.Getenv("SIGNALBOX_CA_FILE")); err != nil {
		return err
	}
	err = agent.PushArtifact(ctx, &http.Client{Transport: t}, to, info.Size(), func() (io.ReadCloser, error) { return os.Open(c.Source) })
	if agent.ArtifactExists(err) {
		return refuse("'%s' already exists in the remote storage; delete it first, or use --force flag", to.Path)
	}
	if err != nil {
		return refuse("%v", err)
	}
	say("Successfully pushed artifact for current %s.", c.Scope)
	say("* Local source: %s.", c.Source)
	say("* Remote destination: %s.", to.Path)
	say("Pushed 1 file. Total of %s", artifactSize(info.Size()))
	return nil
}

// remotePath is where a file goes: its own name, or the destination as if it were below a root that nothing leads out of.
func remotePath(scope, id, source, destination string) string {
	name := filepath.Base(source)
	if destination != "" {
		name = strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(destination)), "/")
	}
	return "artifacts/" + scope + "s/" + id + "/" + name
}

// artifactSize is a size as test-results reads it: 3 B, 1.7 KB.
func artifactSize(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/1024, 0
	for size >= 1024 && unit < 4 {
		size, unit = size/1024, unit+1
	}
	return fmt.Sprintf("%.1f %cB", size, "KMGTP"[unit])
}
