package scene

import (
	"net/netip"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

// Fleet adds to an agent type that has the agent build-04 what makes agents look different: registration tokens, refusals, an agent that
// leaves, one in quarantine.
func (s *Scene) Fleet(t *signalbox.AgentType) {
	s.Write(func(tx *store.Tx) error {
		for _, r := range []*signalbox.RegistrationToken{
			{Name: "office", Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1234:5678::/64")}, ExpiresAt: s.Now().Add(720 * time.Hour)},
			{Name: "for-one", OneTime: true},
			{Name: "expired", ExpiresAt: s.Ago(time.Hour)},
			{Name: "plain"},
		} {
			r.AgentTypeID = t.ID
			if err := tx.CreateRegistrationToken(r, "hash of "+r.Name, "user:ana"); err != nil {
				return err
			}
			if r.Name == "office" {
				if err := tx.UseRegistrationToken(r, "10.0.0.7", "build-03"); err != nil {
					return err
				}
			}
		}
		if err := tx.SaveRefused([]*signalbox.RefusedRegistration{
			{AgentTypeID: t.ID, Reason: signalbox.RefusedExpired, Name: "build-09", IP: "10.0.4.31", Host: "build-09.harbour.example", Token: "0a1b2c3d", Count: 12, FirstAt: s.Ago(time.Hour), LastAt: s.Ago(2 * time.Minute), Detail: "Not Found: this registration token expired at 2026-11-21T09:00:00Z; make a new one with \"signalbox agent-type token create\""},
			{Reason: signalbox.RefusedUnknown, Name: "<script>alert(1)</script>", IP: "2001:db8:1234:5678:9abc:def0:1234:5678", Token: "ffffffff", Count: 1, FirstAt: s.Ago(time.Minute), LastAt: s.Ago(3 * time.Minute), Detail: "Not Found"},
		}); err != nil {
			return err
		}
		a, err := tx.AgentByName("build-04")
		if err != nil {
			return err
		}
		a.DrainAt = s.Ago(time.Minute)
		return tx.UpdateAgent(a, a.AttemptID, "user:ana", "drained", "")
	})
	labelled := &signalbox.Agent{
		AgentTypeID: t.ID, Name: "gpu-agent-with-a-rather-long-name-0123456789", State: signalbox.AgentRegistered, Version: "2.0.0", OS: "Debian GNU/Linux 13", Arch: "arm64",
		Hostname: "gpu-01.harbour.example", IP: "192.0.2.8", Labels: map[string]string{"gpu": "", "zone": "eu-1a"},
		Problems:      []signalbox.Problem{{Code: signalbox.ProblemDiskLow, Detail: "0.4 GiB is free in /var/lib/signalbox-agent/1, less than 1 GiB"}, {Code: "odd", Detail: "<script>alert(2)</script>"}},
		QuarantinedAt: s.Ago(time.Minute),
		Quarantine: &signalbox.Quarantine{By: "engine", Why: "3 of its last 4 jobs failed because of the agent", Evidence: []signalbox.Evidence{
			{JobID: "11111111-1111-7111-8111-111111111111", Attempt: 1, Reason: signalbox.ReasonTest, Elsewhere: &signalbox.Elsewhere{Result: signalbox.JobPassed, JobID: "22222222-1111-7111-8111-111111111111", Agent: "build-03"}},
			{JobID: "33333333-1111-7111-8111-111111111111", Attempt: 2, Reason: signalbox.ReasonStartFailed},
		}},
	}
	s.Write(func(tx *store.Tx) error { return tx.CreateAgent(labelled, "hash of labelled") })
}
