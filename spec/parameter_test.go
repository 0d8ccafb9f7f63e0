package spec

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-ci/signalbox"
)

func TestParametersOfAFile(t *testing.T) {
	const file = `version: v1.0
name: "Ship ${{parameters.VERSION}}"
agent: {machine: {type: '%{{parameters.TYPE | default "s1-linux"}}'}}
blocks:
  - &b
    name: "%{{parameters.NOTE | coalesce parameters.OTHER}} ${{ parameters.VERSION | trim }}"
    task: {jobs: [{name: "${{wrong | nothing}}", commands: ['echo ${{parameters.NEVER}}'], env_vars: [{name: A, value: '${{parameters.TYPE}}'}]}]}
  - *b
# ${{parameters.COMMENT}}
`
	want := []signalbox.Parameter{{Name: "VERSION"}, {Name: "TYPE"}, {Name: "NOTE", Optional: true}, {Name: "OTHER", Optional: true}}
	if d := cmp.Diff(want, Parameters([]byte(file))); d != "" {
		t.Error(d)
	}
	// What the list says must be given is what compiling asks for.
	given := map[string]string{}
	for _, p := range want {
		if !p.Optional {
			given[p.Name] = "x"
		}
	}
	const clean = "version: v1.0\nname: '${{parameters.VERSION}}'\nagent: {machine: {type: '%{{parameters.TYPE | default \"s1-linux\"}}'}}\nblocks: [{task: {jobs: [{commands: ['true']}]}}]\n"
	if r := Compile([]byte(clean), Options{}, Build{Branch: "main", Parameters: given}); r.Problems.HasErrors() {
		t.Error(r.Problems)
	}
	for _, text := range []string{"", "a: [", "a: b", "a: '${{parameters.'", "a: '${{parameters.A b}}'", "? '${{parameters.KEY}}'\n: b"} {
		if got := Parameters([]byte(text)); got != nil {
			t.Errorf("%q asks for %v", text, got)
		}
	}
}
