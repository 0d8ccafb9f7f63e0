// Package e2e tests the whole system with the real program: servers, agents and the command line as processes of their
// own, on both databases, with real git. Nothing imports it. What it proves is what a user relies on: a push runs, a
// killed server loses nothing, and the command line tells the truth.
package e2e
