//go:build !linux

package agent

// bootID is not known here.
func bootID() string { return "" }
