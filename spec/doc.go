// Package spec reads the pipeline file. Parse turns its text into a signalbox.Plan, or into a list of problems that name
// the line, what is wrong and how to mend it; it finds them all in one go, never panics and works in bounded time and
// memory whatever it is given. What the file may contain is written down once, in the table in table.go; the reader,
// the messages and the manual page docs/pipeline-file.md all follow it.
package spec
