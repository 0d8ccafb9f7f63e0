// Package signalbox is the vocabulary of the CI system: workflow, pipeline, block, job, attempt, agent type,
// agent, project, event and the error that carries a code. It decides nothing and imports only the standard
// library, so that every other package, and anyone reading the code for the first time, can start here.
package signalbox
