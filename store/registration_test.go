package store_test

import (
	"net/netip"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// A program that knows no limits looks for the bare hash: of a token with limits there is none.
func TestOlderProgramsDoNotKnowLimitedTokens(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *store.Store{"SQLite": storetest.OpenSQLite, "PostgreSQL": storetest.OpenPostgres} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			if err := s.Write(t.Context(), func(tx *store.Tx) error {
				y := &signalbox.AgentType{Name: "s1-linux"}
				if err := tx.CreateAgentType(y, "test"); err != nil {
					return err
				}
				for _, r := range []*signalbox.RegistrationToken{
					{Name: "once", OneTime: true}, {Name: "near", Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, {Name: "plain"},
				} {
					r.AgentTypeID = y.ID
					if err := tx.CreateRegistrationToken(r, "hash of "+r.Name, "test"); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			db, _ := s.Databases()
			if got := rows(t, db, `SELECT name FROM registration_token WHERE token_hash LIKE 'hash of %'`); len(got) != 1 || got[0] != "plain" {
				t.Errorf("an older program finds the tokens %q", got)
			}
		})
	}
}
