// Package when is the language of conditions in a pipeline file, such as "branch = 'main' and tag !~ '.*'". Parse turns
// the text into a tree or one error that says where and how to mend it; Check adds what a grammar cannot see: unknown
// functions, keywords that have no value yet, patterns that do not compile, and habits that look like mistakes. Evaluate
// gives the value and why, from keywords and functions that its caller provides, so the package needs neither a
// repository nor a clock.
package when
