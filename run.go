package signalbox

import "strings"

// ValidateParameterName refuses what no variable of a job can be called.
func ValidateParameterName(name string) error {
	if name == "" || strings.ContainsAny(name, "= \t\r\n\x00") || len(name) > 255 {
		return Errorf(CodeInvalid, "parameter %.60q becomes a variable of jobs, and no variable has such a name; use letters, digits and _", name)
	}
	return nil
}
