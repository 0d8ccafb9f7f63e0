// Package compiler prepares a pipeline file that needs the repository or parameters to be read: it puts the content of
// commands_file in place, fills in templates, and replaces every change_in by what it says. It rewrites the YAML where
// it lies, so order and comments stay. What is wrong comes back as a list of findings in the form that init jobs log.
package compiler
