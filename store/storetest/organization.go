package storetest

import (
	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func testOrganization(s *suite) {
	s.equal("at first", get(s, (*store.Tx).Organization), &signalbox.Organization{})
	for _, i := range []signalbox.Initialization{
		{MachineType: "s1-init", OSImage: "x", Commands: []string{"true", "false"}, Secrets: []string{"a"}}, {Commands: []string{"true"}}, {},
	} {
		o := &signalbox.Organization{Name: "Harbour", PublicURL: "https://ci.example.com", PublicURLProblem: "not reached", Initialization: i}
		s.write(func(t *store.Tx) error {
			if _, err := t.LockOrganization(); err != nil {
				return err
			}
			return t.UpdateOrganization(o, "user:ann", "initialization")
		})
		s.equal("after an update", get(s, (*store.Tx).Organization), o)
	}
	s.equal("history", s.reasons("organization", "organization"), []string{"changed", "changed", "changed"})
}
