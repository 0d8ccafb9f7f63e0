package storetest

import (
	"context"
	"time"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func newSecret(projectID, name string) *signalbox.Secret {
	return &signalbox.Secret{
		ID: signalbox.NewID(), ProjectID: projectID, Name: name, Access: signalbox.SecretAccess{Projects: signalbox.ProjectsAll},
	}
}

func version(s *signalbox.Secret, n int) *signalbox.SecretVersion {
	return &signalbox.SecretVersion{
		SecretID: s.ID, Version: n, EnvVars: []string{"A", "B"}, Files: []string{"~/.x"}, Key: []byte{0, 1, byte(n)}, Data: []byte("\x00\xff"),
	}
}

func testSecret(s *suite) {
	w := s.world()
	x := newSecret("", "deploy")
	x.Description = "for ships"
	x.Access = signalbox.SecretAccess{Projects: signalbox.ProjectsAllowed, ProjectIDs: []string{w.project.ID}, NoDebug: true, NoAttach: true}
	s.write(func(t *store.Tx) error { return t.CreateSecret(x, version(x, 1), "user:ann") })
	for _, key := range []string{x.ID, x.Name} {
		s.equal("found by "+key, get(s, func(t *store.Tx) (*signalbox.Secret, error) { return t.FindSecret("", key) }), x)
		s.missing("in a project by "+key, func(t *store.Tx) error { _, err := t.FindSecret(w.project.ID, key); return err })
	}
	s.equal("version", get(s, func(t *store.Tx) (*signalbox.SecretVersion, error) { return t.SecretVersion(x.ID, 1) }), version(x, 1))
	twin := newSecret("", "deploy")
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.CreateSecret(twin, version(twin, 1), "test") })
	own := newSecret(w.project.ID, "deploy")
	s.write(func(t *store.Tx) error { return t.CreateSecret(own, version(own, 1), "test") })
	another := newSecret("", "another")
	s.write(func(t *store.Tx) error { return t.CreateSecret(another, version(another, 1), "test") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error {
		taken := *another
		taken.Name = "deploy"
		return t.UpdateSecret(&taken, nil, "test", "")
	})
	names := func(byTime bool, limit, offset int) []string {
		return ids(get(s, func(t *store.Tx) ([]*signalbox.Secret, error) { return t.Secrets("", byTime, limit, offset) }),
			func(x *signalbox.Secret) string { return x.Name })
	}
	s.equal("by name", names(false, 9, 0), []string{"another", "deploy"})
	s.equal("by time", names(true, 9, 0), []string{"deploy", "another"})
	s.equal("second page", names(false, 1, 1), []string{"deploy"})

	old := *x
	x.Name, x.Description, x.Access = "ship", "", signalbox.SecretAccess{Projects: signalbox.ProjectsNone}
	s.write(func(t *store.Tx) error { return t.UpdateSecret(x, version(x, 2), "user:ann", "content") })
	s.equal("after an update", get(s, func(t *store.Tx) (*signalbox.Secret, error) { return t.FindSecret("", x.ID) }), x)
	s.missing("the version that nobody needs", func(t *store.Tx) error { _, err := t.SecretVersion(x.ID, 1); return err })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.UpdateSecret(&old, version(x, 2), "user:bob", "") })
	x.Description = "again"
	s.write(func(t *store.Tx) error { return t.UpdateSecret(x, nil, "user:ann", "description") })
	s.write(func(t *store.Tx) error { return t.SecretUsed(x.ID) })
	if got := get(s, func(t *store.Tx) (*signalbox.Secret, error) { return t.FindSecret("", "ship") }); got.UsedAt.IsZero() || got.Version != 2 {
		s.Errorf("%+v", got)
	}

	s.write(func(t *store.Tx) error { return t.DeleteSecret(x.ID, "user:ann") })
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.DeleteSecret(x.ID, "user:ann") })
	s.missing("deleted", func(t *store.Tx) error { _, err := t.FindSecret("", x.ID); return err })
	for since, want := range map[time.Duration]signalbox.Code{-time.Minute: "", time.Minute: signalbox.CodeNotFound} {
		for _, actor := range []string{"user:ann", "user:bob"} {
			var got *signalbox.Secret
			err := s.s.Read(context.Background(), func(t *store.Tx) (err error) {
				got, err = t.DeletedSecret("", "ship", actor, t.Now.Add(since))
				return err
			})
			if actor == "user:bob" {
				want = signalbox.CodeNotFound
			}
			if signalbox.ErrorCode(err) != want || err == nil && got.ID != x.ID {
				s.Errorf("deleted by ann, asked by %s since %s: %+v, %v", actor, since, got, err)
			}
		}
	}
	s.write(func(t *store.Tx) error {
		gone, err := t.LockSecret(x.ID)
		if err != nil {
			return err
		}
		return t.UpdateSecret(gone, version(x, 3), "user:ann", "")
	})
	s.equal("history", s.reasons("secret", x.ID), []string{"created", "changed", "changed", "deleted", "restored"})
}

func testSecretVersions(s *suite) {
	w := s.world()
	j, ag := s.job(w, 0, 50), s.agent(w, "agent-one")
	a := &signalbox.Attempt{JobID: j.ID, N: 1, AgentID: ag.ID, AgentName: ag.Name, State: signalbox.AttemptOffered}
	x, y := newSecret("", "x"), newSecret("", "y")
	s.write(func(t *store.Tx) error {
		if err := t.CreateSecret(x, version(x, 1), "test"); err != nil {
			return err
		}
		if err := t.CreateSecret(y, version(y, 1), "test"); err != nil {
			return err
		}
		if err := t.CreateAttempt(a, "test"); err != nil {
			return err
		}
		if _, err := t.HoldSecret(x.ID); err != nil {
			return err
		}
		return t.RecordAttemptSecrets(a.ID, []*signalbox.SecretVersion{version(y, 1), version(x, 1)})
	})
	handed := func() []*signalbox.SecretVersion {
		return get(s, func(t *store.Tx) ([]*signalbox.SecretVersion, error) { return t.AttemptSecrets(a.ID) })
	}
	want := []*signalbox.SecretVersion{version(y, 1), version(x, 1)}
	s.equal("handed", handed(), want)
	s.write(func(t *store.Tx) error { return t.UpdateSecret(x, version(x, 2), "test", "") })
	s.write(func(t *store.Tx) error { return t.DeleteSecret(y.ID, "test") })
	s.equal("handed, after a change and a deletion", handed(), want)
	all := get(s, func(t *store.Tx) ([]*signalbox.SecretVersion, error) {
		return t.SecretVersions(signalbox.SecretVersion{}, 2)
	})
	s.equal("all", all, []*signalbox.SecretVersion{version(x, 1), version(x, 2)})
	s.equal("the rest", get(s, func(t *store.Tx) ([]*signalbox.SecretVersion, error) { return t.SecretVersions(*all[1], 2) }),
		[]*signalbox.SecretVersion{version(y, 1)})

	fresh := version(x, 2)
	fresh.Key = []byte("new")
	s.refused(signalbox.CodeConflict, func(t *store.Tx) error { return t.ResealSecret(fresh, []byte("other")) })
	s.write(func(t *store.Tx) error { return t.ResealSecret(fresh, version(x, 2).Key) })
	s.equal("sealed anew", get(s, func(t *store.Tx) (*signalbox.SecretVersion, error) { return t.SecretVersion(x.ID, 2) }), fresh)

	ended := func() []string {
		return get(s, func(t *store.Tx) ([]string, error) { return t.AttemptsWithSecrets(9) })
	}
	s.equal("ended attempts with secrets", ended(), []string{})
	a.State = signalbox.AttemptEnded
	s.write(func(t *store.Tx) error { return t.UpdateAttempt(a, signalbox.AttemptOffered, "test", "x", "") })
	s.equal("ended attempts with secrets", ended(), []string{a.ID})
	s.write(func(t *store.Tx) error { return t.ForgetAttemptSecrets(a.ID) })
	s.equal("nothing is held", len(handed()), 0)
	s.missing("a version that nobody needs", func(t *store.Tx) error { _, err := t.SecretVersion(x.ID, 1); return err })
	s.equal("nothing to prune yet", get(s, (*store.Tx).DeletedSecretsLeft), false)
	s.write((*store.Tx).PruneDeletedSecrets)
	s.equal("a secret that was just deleted has its content",
		get(s, func(t *store.Tx) (*signalbox.SecretVersion, error) { return t.SecretVersion(y.ID, 1) }), version(y, 1))
}

func testLogSecret(s *suite) {
	a, b := signalbox.NewID(), signalbox.NewID()
	var head *store.LogHead
	s.writeLog(func(t *store.LogTx) (err error) {
		if _, err := t.LockLog(b, "job"); err != nil {
			return err
		}
		if head, err = t.LockLog(a, "job"); err != nil || len(head.SecretKey) > 0 {
			s.Errorf("a new log has the key %q", head.SecretKey)
			return err
		}
		if err := t.SetLogKey(a, []byte("key")); err != nil {
			return err
		}
		if err := t.AddLogChunk(a, store.LogChunk{First: 0, Count: 2, Data: []byte("x"), Hashes: []byte{0, 1, 2, 3}}); err != nil {
			return err
		}
		for _, x := range []store.LogText{{Before: 2, Data: []byte("old")}, {Before: 2, Data: []byte{0, 255}}, {Before: 5, Data: []byte("gone")}, {Before: 5}} {
			if err := t.SetLogTail(a, x); err != nil {
				return err
			}
		}
		for _, x := range []store.LogText{{Before: 1, Data: []byte("r")}, {Before: 1, Data: []byte{255, 0}}, {Before: 3, Data: []byte("s")}} {
			if err := t.AddLogRest(head, x); err != nil {
				return err
			}
		}
		return t.UpdateLog(head)
	})
	if err := s.s.WriteLog(context.Background(), func(t *store.LogTx) error { return t.SetLogKey(a, []byte("other")) }); signalbox.ErrorCode(err) != signalbox.CodeConflict {
		s.Errorf("a second key: %v", err)
	}
	s.readLog(func(t *store.LogTx) error {
		got, err := t.Log(a)
		s.equal("key", string(got.SecretKey), "key")
		s.equal("rests", got.Rests, int64(2))
		s.equal("rests as counted", head.Rests, int64(2))
		if err != nil {
			return err
		}
		tails, err := t.LogTails(a, 0, 9)
		s.equal("tails", tails, []*store.LogText{{Before: 2, Data: []byte{0, 255}}})
		if err != nil {
			return err
		}
		rests, err := t.LogRests(a, 0, 9, 9)
		s.equal("rests", rests, []*store.LogText{{Before: 1, Data: []byte{'r', 255, 0}}, {Before: 3, Data: []byte("s")}})
		if err != nil {
			return err
		}
		rests, err = t.LogRests(a, 2, 3, 9)
		s.equal("some rests", rests, []*store.LogText{{Before: 3, Data: []byte("s")}})
		if err != nil {
			return err
		}
		chunks, err := t.LogChunks(a, 0, 9, 1<<20)
		if len(chunks) != 1 || string(chunks[0].Hashes) != "\x00\x01\x02\x03" {
			s.Errorf("chunks %+v", chunks)
		}
		if err != nil {
			return err
		}
		keys, err := t.LogKeys("", 9)
		s.equal("logs with keys", keys, []*store.LogHead{{AttemptID: a, SecretKey: []byte("key")}})
		return err
	})
	reseal := func(from string) error {
		return s.s.WriteLog(context.Background(), func(t *store.LogTx) error { return t.ResealLog(a, []byte("new"), []byte(from)) })
	}
	if err := reseal("other"); signalbox.ErrorCode(err) != signalbox.CodeConflict {
		s.Errorf("sealing anew what was changed meanwhile: %v", err)
	}
	if err := reseal("key"); err != nil {
		s.Error(err)
	}
	s.writeLog(func(t *store.LogTx) error { return t.DeleteLog(a) })
	s.readLog(func(t *store.LogTx) error {
		tails, err := t.LogTails(a, 0, 9)
		rests, err2 := t.LogRests(a, 0, 9, 9)
		if len(tails)+len(rests) > 0 || err2 != nil {
			s.Errorf("a deleted log has tails %v and rests %v (%v)", tails, rests, err2)
		}
		return err
	})
}
