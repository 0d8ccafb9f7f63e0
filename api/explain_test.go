package api_test

import (
	"fmt"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func TestExplainAJob(t *testing.T) {
	w := newWorld(t)
	w.fill()
	explain := func(id string) any { return w.expect(200, w.call("GET", "/api/v1alpha/jobs/"+id+"/explain", "")) }
	running := explain(w.jobs[0].ID)
	if at(running, "text") != "The job does not wait: it runs on agent golden-agent-2." || at(running, "position") != 0.0 || at(running, "expected_start") != "0" {
		t.Errorf("%v", running)
	}
	queued := explain(w.jobs[1].ID)
	if at(queued, "text") != "An agent of type s1-linux is free; the job is about to be offered." || at(queued, "position") != 1.0 ||
		fmt.Sprint(at(queued, "agents")) != "map[busy:1 disabled:0 draining:0 free:1 quarantined:0 returning:0 suspect:0]" {
		t.Errorf("%v", queued)
	}
	w.expect(200, w.call("PATCH", "/api/v1alpha/projects/demo", `{"spec":{"max_running_jobs":1}}`))
	held := explain(w.jobs[1].ID)
	if at(held, "text") != "The job waits for room: project demo may run 1 job at once and runs 1." || at(held, "blocked") != false ||
		fmt.Sprint(at(held, "held_by")) != "[map[limit:1 name:demo of:project running:1]]" {
		t.Errorf("%v", held)
	}
	w.write(func(tx *store.Tx) error {
		for _, g := range w.agents {
			row, err := tx.Agent(g.ID)
			if err != nil {
				return err
			}
			row.DisabledAt = tx.Now
			if err := tx.UpdateAgent(row, row.AttemptID, "test", "disabled", ""); err != nil {
				return err
			}
		}
		return nil
	})
	blocked := explain(w.jobs[1].ID)
	if at(blocked, "text") != "No agent can take the job: of those of type s1-linux 2 are disabled." || at(blocked, "blocked") != true ||
		len(at(blocked, "almost").([]any)) != 2 {
		t.Errorf("%v", blocked)
	}
	w.expect(404, w.call("GET", "/api/v1alpha/jobs/"+signalbox.NewID()+"/explain", ""))
	w.expect(400, w.call("GET", "/api/v1alpha/jobs/x/explain", ""))
}

func TestLimitsOfRunningJobs(t *testing.T) {
	w := newWorld(t)
	w.fill()
	limit := func(path string, keys ...string) any {
		return at(w.expect(200, w.call("GET", "/api/v1alpha/"+path, "")), keys...)
	}
	w.expect(200, w.call("PATCH", "/api/v1alpha/organization", `{"max_running_jobs":9}`))
	w.expect(200, w.call("PATCH", "/api/v1alpha/organization", `{}`))
	if got := limit("organization", "max_running_jobs"); got != 9.0 {
		t.Errorf("organization: %v", got)
	}
	w.expect(200, w.call("PATCH", "/api/v1alpha/projects/demo", `{"spec":{"max_running_jobs":8}}`))
	w.expect(200, w.call("PATCH", "/api/v1alpha/projects/demo", `{"spec":{"repository":{"pipeline_file":"x.yml"}}}`))
	if got := limit("projects/demo", "spec", "max_running_jobs"); got != 8.0 {
		t.Errorf("project: %v", got)
	}
	w.expect(200, w.call("PATCH", "/api/v1alpha/self_hosted_agent_types/s1-linux", `{"spec":{"max_running_jobs":7}}`))
	w.expect(200, w.call("PATCH", "/api/v1alpha/self_hosted_agent_types/s1-linux", `{"spec":{"agent_name_settings":{"release_after":60}}}`))
	if got := limit("self_hosted_agent_types/s1-linux", "spec", "max_running_jobs"); got != 7.0 {
		t.Errorf("agent type: %v", got)
	}
	for path, body := range map[string]string{
		"organization":                     `{"max_running_jobs":-1}`,
		"projects/demo":                    `{"spec":{"max_running_jobs":1000001}}`,
		"self_hosted_agent_types/s1-linux": `{"spec":{"max_running_jobs":-5}}`,
	} {
		w.expect(400, w.call("PATCH", "/api/v1alpha/"+path, body))
	}
}
