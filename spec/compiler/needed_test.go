package compiler

import "testing"

func TestNeeded(t *testing.T) {
	for text, want := range map[string]bool{
		"":                        false,
		"a: [":                    false,
		"name: x":                 false,
		"name: ${{parameters.X}}": true,
		"name: \"%{{ X }}\"":      true,
		"a: {when: \"branch = 'main' and change_in('/x')\"}": true,
		"a: {when: \"branch = 'main'\"}":                     false,
		"a: {description: \"change_in('/x')\"}":              false,
		"a: {b: [{commands_file: x.sh}]}":                    true,
		"a: {commands: [\"echo ${{parameters.X}}\"]}":        false,
		"a: {commands: \"echo ${{parameters.X}}\"}":          false,
		"dependencies: [\"${{parameters.X}}\"]":              false, // items of lists are not looked at
		"b: &x {when: \"change_in('/x')\"}\nc: {run: *x}":    true,
		"b: &x [*x]": false,
	} {
		if got := Needed([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
