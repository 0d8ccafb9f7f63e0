package signalbox

import (
	"slices"
	"strings"
)

// Initialization says where the pipeline files of a project or of the whole organization are compiled, and what must
// pass before their pipelines begin. The zero value is on the server, at once, and nothing.
type Initialization struct {
	MachineType string   `json:"machine_type,omitempty"` // of the agent that compiles; "" is the server
	OSImage     string   `json:"os_image,omitempty"`
	Commands    []string `json:"commands,omitempty"` // pre-flight checks: a pipeline does not begin when one fails
	Secrets     []string `json:"secrets,omitempty"`  // what the checks may use
}

// Limits of pre-flight checks.
const (
	maxChecks     = 100
	maxCheckBytes = 64 << 10
)

// ValidateInitialization refuses what no initialization job could be made of.
func ValidateInitialization(i *Initialization) error {
	switch {
	case i.OSImage != "" && i.MachineType == "":
		return Errorf(CodeInvalid, "initialization: an os_image needs a machine_type")
	case len(i.MachineType) > 100 || len(i.OSImage) > 100:
		return Errorf(CodeInvalid, "initialization: machine_type and os_image may have at most 100 characters")
	case len(i.Commands) > maxChecks:
		return Errorf(CodeInvalid, "initialization: %d commands; at most %d are allowed, put more of them into a script", len(i.Commands), maxChecks)
	case len(i.Secrets) > 0 && len(i.Commands) == 0:
		return Errorf(CodeInvalid, "initialization: secrets are for the commands, and there are none")
	}
	n := 0
	for _, c := range i.Commands {
		if strings.TrimSpace(c) == "" {
			return Errorf(CodeInvalid, "initialization: a command is empty")
		}
		n += len(c)
	}
	if n > maxCheckBytes {
		return Errorf(CodeInvalid, "initialization: the commands have %d bytes; at most %d are allowed, put more into a script", n, maxCheckBytes)
	}
	for _, s := range i.Secrets {
		if s == "" {
			return Errorf(CodeInvalid, "initialization: the name of a secret is empty")
		}
	}
	return nil
}

// Equal tells whether two say the same; no list is like an empty one.
func (i Initialization) Equal(o Initialization) bool {
	return i.MachineType == o.MachineType && i.OSImage == o.OSImage && slices.Equal(i.Commands, o.Commands) && slices.Equal(i.Secrets, o.Secrets)
}

// InitializationOf joins what the organization and a project say: the project's agent before the organization's, and
// everybody's checks, the organization's first.
func InitializationOf(o *Organization, p *Project) Initialization {
	i := Initialization{MachineType: o.Initialization.MachineType, OSImage: o.Initialization.OSImage}
	if p.Initialization.MachineType != "" {
		i.MachineType, i.OSImage = p.Initialization.MachineType, p.Initialization.OSImage
	}
	for _, of := range []Initialization{o.Initialization, p.Initialization} {
		i.Commands = append(i.Commands, of.Commands...)
		i.Secrets = append(i.Secrets, of.Secrets...)
	}
	return i
}
