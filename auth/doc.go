// Package auth answers who somebody is and what they may do: passwords, tokens, the key ring and the table of roles.
// It keeps nothing but the master key file; hashes and sealed values are handed to the caller, who stores them.
// Secrets leave it in plain exactly once, when they are made.
package auth
