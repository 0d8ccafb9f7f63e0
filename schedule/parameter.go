package schedule

import (
	"slices"
	"strings"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/spec/when"
)

const (
	maxPattern    = 512
	maxParameters = 100
	maxValue      = 64 << 10
)

// Defaults are the variables of a run that nobody is there to ask for: what has no default is not set.
func Defaults(parameters []signalbox.TaskParameter) []signalbox.EnvVar {
	var out []signalbox.EnvVar
	for _, p := range parameters {
		if p.Default != "" {
			out = append(out, signalbox.EnvVar{Name: p.Name, Value: p.Default})
		}
	}
	return out
}

// Values checks the values that somebody gave and adds defaults. One that is empty counts as not given, and one that
// the task does not have is ignored.
func Values(parameters []signalbox.TaskParameter, given map[string]string) ([]signalbox.EnvVar, error) {
	var out []signalbox.EnvVar
	for _, p := range parameters {
		v := strings.TrimSpace(given[p.Name])
		isDefault := v == ""
		if isDefault {
			v = p.Default
		}
		switch {
		case v == "" && p.Required:
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "Parameter '%s' is required.", p.Name)
		case v == "":
			continue
		case len(v) > maxValue:
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "Parameter '%s' value is %d bytes long; at most %d are allowed.", p.Name, len(v), maxValue)
		case p.Validate && !when.Matches(p.Pattern, v) && isDefault:
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "Parameter '%s' default value does not match required format; provide an explicit value or fix the default.", p.Name)
		case p.Validate && !when.Matches(p.Pattern, v):
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "Parameter '%s' value does not match required format.", p.Name)
		case len(p.Options) > 0 && !isDefault && v != p.Default && !slices.Contains(p.Options, v):
			return nil, signalbox.Errorf(signalbox.CodeInvalid, "Parameter '%s' value is not one of its options: %.200s.", p.Name, strings.Join(p.Options, ", "))
		}
		out = append(out, signalbox.EnvVar{Name: p.Name, Value: v})
	}
	return out, nil
}

func checkParameters(parameters []signalbox.TaskParameter) error {
	if len(parameters) > maxParameters {
		return signalbox.Errorf(signalbox.CodeInvalid, "the task has %d parameters; at most %d are allowed", len(parameters), maxParameters)
	}
	for i, p := range parameters {
		switch {
		case p.Name == "":
			return signalbox.Errorf(signalbox.CodeInvalid, "parameter %d of the task has no name", i+1)
		case strings.ContainsAny(p.Name, "= \t\r\n\x00") || len(p.Name) > 255:
			return signalbox.Errorf(signalbox.CodeInvalid, "parameter %.60q becomes a variable of jobs, and no variable has such a name; use letters, digits and _", p.Name)
		case slices.IndexFunc(parameters, func(q signalbox.TaskParameter) bool { return q.Name == p.Name }) != i:
			return signalbox.Errorf(signalbox.CodeInvalid, "parameter %q stands in the task twice; give one another name", p.Name)
		case len(p.Pattern) > maxPattern:
			return signalbox.Errorf(signalbox.CodeInvalid, "regex_pattern of parameter %q is %d bytes long; at most %d are allowed", p.Name, len(p.Pattern), maxPattern)
		case p.Validate && p.Pattern == "":
			return signalbox.Errorf(signalbox.CodeInvalid, "parameter %q has validate_input_format but no regex_pattern to check values with; add one", p.Name)
		}
		if p.Pattern != "" {
			if why := when.InvalidPattern(p.Pattern); why != "" {
				return signalbox.Errorf(signalbox.CodeInvalid, "regex_pattern of parameter %q cannot be read: %s", p.Name, why)
			}
		}
	}
	return nil
}
