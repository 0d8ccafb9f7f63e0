package agent

import (
	"os"
	"strings"
)

// bootID tells one start of the machine from another.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
