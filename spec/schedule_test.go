package spec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
)

func TestParseSchedule(t *testing.T) {
	yes, no, zone, pattern := true, false, "Europe/Berlin", "^v"
	for _, c := range []struct {
		text string
		want Schedule
	}{
		{
			`{apiVersion: v1.0, kind: Schedule, metadata: {name: nightly}, spec: {project: demo, branch: main, at: "0 3 * * *", pipeline_file: n.yml}}`,
			Schedule{Name: "nightly", Project: "demo", Recurring: true, Ref: "refs/heads/main", At: "0 3 * * *", PipelineFile: "n.yml"},
		},
		{`apiVersion: v1.1
kind: Schedule
metadata: {name: nightly, id: x, description: says what}
spec:
  project: demo
  recurring: false
  branch: refs/tags/v1
  paused: true
  time_zone: Europe/Berlin
  parameters:
    - {name: LEVEL, required: true, default_value: 1, options: [1, two], description: d}
    - {name: TAG, required: false, regex_pattern: ^v, validate_input_format: true}
`, Schedule{
			ID: "x", Name: "nightly", Description: "says what", Project: "demo", Ref: "refs/tags/v1", Paused: &yes, TimeZone: &zone,
			Parameters: []ScheduleParameter{
				{TaskParameter: signalbox.TaskParameter{Name: "LEVEL", Required: true, Default: "1", Options: []string{"1", "two"}, Description: "d"}},
				{TaskParameter: signalbox.TaskParameter{Name: "TAG"}, Validate: &yes, Pattern: &pattern},
			},
		}},
		{
			`{apiVersion: v1.2, kind: Schedule, metadata: {name: n}, spec: {project: demo, recurring: true, paused: false, reference: {type: TAG, name: v1}, at: "@daily", pipeline_file: n.yml}}`,
			Schedule{Name: "n", Project: "demo", Recurring: true, Ref: "refs/tags/v1", At: "@daily", PipelineFile: "n.yml", Paused: &no},
		},
		{
			`{apiVersion: v1.2, kind: Schedule, metadata: {name: n}, spec: {project: demo, recurring: true, reference: {type: pr, name: "7"}}}`,
			Schedule{Name: "n", Project: "demo", Recurring: true, Ref: "refs/pull/7/head"},
		},
		{
			`{apiVersion: v1.2, kind: Schedule, metadata: {name: n}, spec: {project: demo, recurring: true, branch: main}}`,
			Schedule{Name: "n", Project: "demo", Recurring: true, Ref: "refs/heads/main"},
		},
	} {
		got, err := ParseSchedule([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if d := cmp.Diff(&c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.text, d)
		}
	}
	head := "apiVersion: v1.2\nkind: Schedule\nmetadata: {name: n}\n"
	for text, want := range map[string]string{
		"":     "line 1: the document must be a map",
		"- a":  "line 1: the document must be a map",
		"a: [": "the document cannot be read: line",
		"kind: Schedule\nmetadata: {name: n}\nspec: {}\n":                                                                   "the document has no apiVersion",
		strings.Replace(head, "v1.2", "v2", 1) + "spec: {}":                                                                 `line 1: apiVersion is "v2"; it must be v1.0, v1.1 or v1.2`,
		strings.Replace(head, "Schedule", "Project", 1) + "spec: {}":                                                        `line 2: kind is "Project"`,
		strings.Replace(head, "name: n", "title: n", 1) + "spec: {project: x, recurring: true}":                             `line 3: unknown key "title" in metadata`,
		head + "spec: {recurring: true}":                                                                                    "spec has no project",
		head + "spec: {project: x}":                                                                                         "spec has no recurring",
		head + "spec:\n  project: x\n  recurring: true\n  bransh: main":                                                     `line 7: unknown key "bransh" in spec`,
		head + "spec:\n  project: x\n  recurring: true\n  recurring: true":                                                  "recurring",
		head + "spec: {project: x, recurring: yes}":                                                                         "recurring must be true or false",
		head + "spec: {project: [x], recurring: true}":                                                                      "project must be a text",
		head + "spec: {project: x, recurring: true, parameters: {}}":                                                        "parameters must be a list",
		head + "spec: {project: x, recurring: true, parameters: [{name: A}]}":                                               "parameter 1 has no required",
		head + "spec: {project: x, recurring: true, parameters: [{required: true}]}":                                        "parameter 1 has no name",
		head + "spec: {project: x, recurring: true, branch: a, reference: {type: TAG, name: b}}":                            "both branch and reference",
		head + "spec: {project: x, recurring: true, reference: {type: TAG}}":                                                "reference has no name",
		head + "spec: {project: x, recurring: true, reference: {type: SHA, name: b}}":                                       "Reference type must be",
		head + "spec: {project: x, recurring: true, reference: main}":                                                       "reference must be a map",
		strings.Replace(head, "v1.2", "v1.0", 1) + "spec: {project: x, branch: b, at: c}":                                   "spec has no pipeline_file",
		strings.Replace(head, "v1.2", "v1.0", 1) + "spec: {project: x, branch: b, at: c, pipeline_file: d, parameters: []}": `unknown key "parameters"`,
		strings.Replace(head, "v1.2", "v1.1", 1) + "spec: {project: x, recurring: true, reference: {type: TAG, name: b}}":   `unknown key "reference"`,
	} {
		if _, err := ParseSchedule([]byte(text)); signalbox.ErrorCode(err) != signalbox.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
