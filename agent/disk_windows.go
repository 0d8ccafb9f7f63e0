package agent

import "os"

// syncDir has nothing to do here: a folder cannot be synced.
func syncDir(string) error { return nil }

func ownedByUs(os.FileInfo) bool { return true }
