// Package template fills in the parameters of a pipeline file: "${{ … }}" becomes text and "%{{ … }}" a value such as a
// list or a number. An expression is a chain of functions from a fixed list, none of which can see the environment,
// files, the network or the clock. Whatever an expression asks for, it ends soon and its result stays small.
package template
