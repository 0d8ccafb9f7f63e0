// Package change answers change_in: whether files that match a pattern changed in what is being built. Parsing the
// options, choosing the range of commits and matching the names are pure; an Evaluator ties them to a Lister, which
// knows the repository, and remembers each list for the length of one evaluation. Every answer comes with a sentence
// that says which file matched which pattern, or over which range none did.
package change
