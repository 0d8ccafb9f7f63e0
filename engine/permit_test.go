package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func TestJobsRunOnlyWhereTheyMay(t *testing.T) {
	w := newWorld(t)
	set := func(change func(*signalbox.AgentType)) {
		w.write(func(tx *store.Tx) error {
			typ, err := tx.AgentType("s1-linux")
			if err != nil {
				return err
			}
			change(typ)
			return tx.UpdateAgentType(typ, "test", "")
		})
	}
	const yaml = "version: v1.0\nagent: {machine: {type: s1-linux}}\nblocks: [{task: {jobs: [{name: j, commands: [x]}]}}]\n"
	set(func(t *signalbox.AgentType) {
		t.Projects, t.ProjectIDs = signalbox.ProjectsAllowed, []string{"another"}
	})
	p := w.push("a", "", yaml)
	j := w.jobsOf(p.ID)["j"]
	if j.State != signalbox.JobFinished || j.Reason != signalbox.ReasonStartFailed || !strings.Contains(j.FailureReason, "may not use the agent type s1-linux: \"signalbox agent-type set") {
		t.Errorf("a project that may not: %s, %q", j.State, j.FailureReason)
	}
	set(func(t *signalbox.AgentType) { t.Projects, t.ProjectIDs = signalbox.ProjectsAll, nil })
	p = w.push("b", "", yaml)
	if j = w.jobsOf(p.ID)["j"]; j.State != signalbox.JobQueued {
		t.Fatalf("a project that may: %s, %q", j.State, j.FailureReason)
	}
	// A debug session runs the same code in the same place.
	set(func(t *signalbox.AgentType) {
		t.Projects, t.ProjectIDs = signalbox.ProjectsAllowed, []string{"another"}
	})
	err := w.st.Write(t.Context(), func(tx *store.Tx) error {
		_, err := w.eng.Debug(tx, j, time.Hour, "user:ann")
		return err
	})
	if signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), "may not use") {
		t.Errorf("a debug session: %v", err)
	}
}
