//go:build unix

package executor

// Hook is the command that runs the owner's script at path, or reads it into the shell, and how the log shows it.
func Hook(path string, source bool) (text, shown string) {
	word := "bash "
	if source {
		word = "source "
	}
	return word + quote(path), word + path
}

// PrintVariable is the command that prints a variable, and nothing else.
func PrintVariable(name string) string { return `builtin printf %s "${` + name + `-}"` }
