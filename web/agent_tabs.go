package web

import (
	"net/http"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/auth"
	"github.com/signalbox-ci/signalbox/store"
)

// agentTabs lead to the pages about all agents.
type agentTabs struct {
	Current                string // the address of the page
	Types, Agents, Refused int
	Manage                 bool
}

// read counts what the tabs say and returns the refused registrations, to whoever may see them.
func (b *agentTabs) read(tx *store.Tx, r *http.Request) (refused []*signalbox.RefusedRegistration, err error) {
	*b = agentTabs{Current: r.URL.Path, Manage: may(r, auth.AgentTypeManage)}
	counts, err := tx.AgentCounts()
	if err != nil {
		return nil, err
	}
	for _, n := range counts {
		b.Agents += n
	}
	types, err := tx.AgentTypes()
	if err != nil {
		return nil, err
	}
	b.Types = len(types)
	if b.Manage {
		refused, err = tx.Refused("*", 10*signalbox.RefusedLimit)
		b.Refused = len(refused)
	}
	return refused, err
}
