//go:build unix

package executor

import (
	"fmt"
	"os"
	"os/user"
	"strconv"

	"github.com/signalbox-ci/signalbox"
)

// LookupUser finds a user of this machine by name and checks that this process may run commands as them.
func LookupUser(name string) (*User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "There is no user %q on this machine to run jobs as: %w", name, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("the user %s has the number %q", name, u.Uid)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("the user %s has the group %q", name, u.Gid)
	}
	switch {
	case os.Geteuid() != 0:
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "Only an agent that runs as root can run jobs as another user (%s). Start it as root, or without a job user.", name)
	case uid == 0:
		return nil, signalbox.Errorf(signalbox.CodeInvalid, "The job user %s is root, from whom nothing can be kept. Name another user.", name)
	}
	out := &User{Name: u.Username, Home: u.HomeDir, UID: uint32(uid), GID: uint32(gid)}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("the groups of the user %s cannot be read: %w", name, err)
	}
	for _, g := range groups {
		if n, err := strconv.ParseUint(g, 10, 32); err == nil {
			out.Groups = append(out.Groups, uint32(n))
		}
	}
	return out, nil
}
