package schedule

import (
	"slices"
	"strconv"
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
	out, problems := values(parameters, given)
	if err := first(problems); err != nil {
		return nil, err
	}
	return out, nil
}

// values is Values with each problem, by the name of its parameter: parameters.NAME.
func values(parameters []signalbox.TaskParameter, given map[string]string) (out []signalbox.EnvVar, problems []Problem) {
	for _, p := range parameters {
		v, err := value(p, given[p.Name])
		switch {
		case err != nil:
			problems = append(problems, Problem{"parameters." + p.Name, err})
		case v != "":
			out = append(out, signalbox.EnvVar{Name: p.Name, Value: v})
		}
	}
	return out, problems
}

// value is what a parameter is in a run, "" for not set.
func value(p signalbox.TaskParameter, given string) (string, error) {
	v := strings.TrimSpace(given)
	isDefault := v == ""
	if isDefault {
		v = p.Default
	}
	switch {
	case v == "" && p.Required:
		return "", signalbox.Errorf(signalbox.CodeInvalid, "Parameter '%s' is required.", p.Name)
	case v == "":
	case len(v) > maxValue:
		return "", signalbox.Errorf(signalbox.CodeInvalid, "Parameter '%s' value is %d bytes long; at most %d are allowed.", p.Name, len(v), maxValue)
	case p.Validate && !when.Matches(p.Pattern, v) && isDefault:
		return "", signalbox.Errorf(signalbox.CodeInvalid, "Parameter '%s' default value does not match required format; provide an explicit value or fix the default.", p.Name)
	case p.Validate && !when.Matches(p.Pattern, v):
		return "", signalbox.Errorf(signalbox.CodeInvalid, "Parameter '%s' value does not match required format.", p.Name)
	case len(p.Options) > 0 && !isDefault && v != p.Default && !slices.Contains(p.Options, v):
		return "", signalbox.Errorf(signalbox.CodeInvalid, "Parameter '%s' value is not one of its options: %.200s.", p.Name, strings.Join(p.Options, ", "))
	}
	return v, nil
}

// defaultProblems are the defaults that no run would take.
func defaultProblems(parameters []signalbox.TaskParameter) (out []Problem) {
	for i, p := range parameters {
		if p.Default == "" || p.Validate && (p.Pattern == "" || when.InvalidPattern(p.Pattern) != "") { // said of the pattern
			continue
		}
		if _, err := value(p, ""); err != nil {
			out = append(out, Problem{at(i, "default_value"), err})
		}
	}
	return out
}

// at is the name of a field of the parameter in a place.
func at(i int, field string) string { return "parameters." + strconv.Itoa(i) + "." + field }

func checkParameters(parameters []signalbox.TaskParameter) (out []Problem) {
	wrong := func(field, format string, args ...any) {
		out = append(out, Problem{field, signalbox.Errorf(signalbox.CodeInvalid, format, args...)})
	}
	if len(parameters) > maxParameters {
		wrong("parameters", "the task has %d parameters; at most %d are allowed", len(parameters), maxParameters)
		return out
	}
	for i, p := range parameters {
		switch {
		case p.Name == "":
			wrong(at(i, "name"), "parameter %d of the task has no name", i+1)
		case signalbox.ValidateParameterName(p.Name) != nil:
			wrong(at(i, "name"), "%s", signalbox.ErrorMessage(signalbox.ValidateParameterName(p.Name)))
		case slices.IndexFunc(parameters, func(q signalbox.TaskParameter) bool { return q.Name == p.Name }) != i:
			wrong(at(i, "name"), "parameter %q stands in the task twice; give one another name", p.Name)
		}
		switch {
		case len(p.Pattern) > maxPattern:
			wrong(at(i, "regex_pattern"), "regex_pattern of parameter %q is %d bytes long; at most %d are allowed", p.Name, len(p.Pattern), maxPattern)
		case p.Validate && p.Pattern == "":
			wrong(at(i, "regex_pattern"), "parameter %q has validate_input_format but no regex_pattern to check values with; add one", p.Name)
		case p.Pattern != "":
			if why := when.InvalidPattern(p.Pattern); why != "" {
				wrong(at(i, "regex_pattern"), "regex_pattern of parameter %q cannot be read: %s", p.Name, why)
			}
		}
	}
	return out
}
