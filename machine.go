package signalbox

import (
	"path"
	"strings"
	"time"
)

// MachineRule says which agent type serves jobs that ask for a machine of a hosted product. Machine and Image are
// patterns in which * stands for any text and ? for one character.
type MachineRule struct {
	ID        string
	Position  int // rules are tried in this order
	Machine   string
	Image     string
	AgentType string
	CreatedAt time.Time
}

// Matches tells whether the rule is about a machine type and image.
func (r *MachineRule) Matches(machine, image string) bool {
	return glob(r.Machine, machine) && glob(r.Image, image)
}

func glob(pattern, s string) bool {
	if pattern == "*" {
		return true
	}
	// A slash has no meaning in these names, so it must not end what a star stands for.
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(s, "/", "\x00"))
	return err == nil && ok
}

// ValidateMachineRule refuses patterns that can never match.
func ValidateMachineRule(r *MachineRule) error {
	if r.Machine == "" {
		return Errorf(CodeInvalid, "a machine rule needs a machine type or a pattern of one, such as e1-standard-* or *")
	}
	for _, p := range []string{r.Machine, r.Image} {
		if _, err := path.Match(p, ""); err != nil {
			return Errorf(CodeInvalid, "%.60q is no pattern: use * for any text and ? for one character", p)
		}
	}
	if r.AgentType == "" {
		return Errorf(CodeInvalid, "a machine rule needs the agent type that serves %.60q", r.Machine)
	}
	return nil
}
