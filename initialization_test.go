package signalbox

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidateInitialization(t *testing.T) {
	many := make([]string, 101)
	for i := range many {
		many[i] = "true"
	}
	for _, tt := range []struct {
		i    Initialization
		want string
	}{
		{Initialization{}, ""},
		{Initialization{MachineType: "s1-init", OSImage: "x", Commands: []string{"a", "b"}, Secrets: []string{"s"}}, ""},
		{Initialization{Commands: []string{"a"}}, ""}, // a project's checks run on the organization's agent
		{Initialization{OSImage: "x"}, "os_image needs a machine_type"},
		{Initialization{MachineType: strings.Repeat("x", 101)}, "at most 100 characters"},
		{Initialization{MachineType: "s1-init", Commands: many}, "101 commands"},
		{Initialization{MachineType: "s1-init", Commands: []string{"a", " \n"}}, "a command is empty"},
		{Initialization{MachineType: "s1-init", Commands: []string{strings.Repeat("x", 1<<16+1)}}, "65537 bytes"},
		{Initialization{MachineType: "s1-init", Secrets: []string{"s"}}, "there are none"},
		{Initialization{Commands: []string{"a"}, Secrets: []string{""}}, "name of a secret is empty"},
	} {
		err := ValidateInitialization(&tt.i)
		if (err == nil) != (tt.want == "") || err != nil && (ErrorCode(err) != CodeInvalid || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%.100v: %v, want %q", tt.i, err, tt.want)
		}
	}
}

func TestInitializationOfAProject(t *testing.T) {
	o := &Organization{Initialization: Initialization{MachineType: "s1-o", OSImage: "x", Commands: []string{"o"}, Secrets: []string{"os"}}}
	p := &Project{Initialization: Initialization{Commands: []string{"p"}, Secrets: []string{"ps"}}}
	want := Initialization{MachineType: "s1-o", OSImage: "x", Commands: []string{"o", "p"}, Secrets: []string{"os", "ps"}}
	if d := cmp.Diff(want, InitializationOf(o, p)); d != "" {
		t.Error(d)
	}
	p.Initialization.MachineType = "s1-p"
	want.MachineType, want.OSImage = "s1-p", ""
	if d := cmp.Diff(want, InitializationOf(o, p)); d != "" {
		t.Error(d)
	}
}
