package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
)

func newProject(name string) *signalbox.Project {
	return &signalbox.Project{Name: name, GitURL: "u", PipelineFile: "f"}
}

func testIsolation(s *suite) {
	s.write(func(t *store.Tx) error { return t.CreateProject(newProject("before"), "test") })
	s.read(func(t *store.Tx) error {
		if list, err := t.Projects(); err != nil || len(list) != 1 {
			return fmt.Errorf("%d projects at first, %w", len(list), err)
		}
		s.write(func(t *store.Tx) error { return t.CreateProject(newProject("meanwhile"), "test") })
		list, err := t.Projects()
		if len(list) != 1 {
			s.Errorf("a view changed while it was looked at: %d projects", len(list))
		}
		return err
	})
	// A transaction that fails leaves nothing, not even what it did before its error.
	s.refused(signalbox.CodeInvalid, func(t *store.Tx) error {
		if err := t.CreateProject(newProject("half"), "test"); err != nil {
			return err
		}
		if _, err := t.FindProject("half"); err != nil {
			s.Errorf("a transaction does not see what it did: %v", err)
		}
		return signalbox.Errorf(signalbox.CodeInvalid, "changed my mind")
	})
	s.missing("what a failed transaction did", func(t *store.Tx) error { _, err := t.FindProject("half"); return err })
}

func testFailingAndPanickingRequests(s *suite) {
	const writers = 60
	var group sync.WaitGroup
	mistake := errors.New("a mistake")
	for i := range writers {
		group.Go(func() {
			err := s.s.Write(context.Background(), func(t *store.Tx) error {
				if err := t.CreateProject(newProject(fmt.Sprint("p", i)), "test"); err != nil {
					return err
				}
				switch i % 4 {
				case 1:
					return mistake
				case 2:
					panic("a panic")
				case 3:
					return t.CreateProject(newProject(fmt.Sprint("p", i)), "test")
				}
				return nil
			})
			switch i % 4 {
			case 0:
				if err != nil {
					s.Errorf("request %d: %v", i, err)
				}
			case 1:
				if !errors.Is(err, mistake) {
					s.Errorf("request %d: %v, want its own error", i, err)
				}
			case 2:
				if err == nil {
					s.Errorf("request %d panicked and succeeded", i)
				}
			case 3:
				if signalbox.ErrorCode(err) != signalbox.CodeConflict {
					s.Errorf("request %d: %v, want a conflict", i, err)
				}
			}
		})
	}
	group.Wait()
	for i := range writers {
		err := s.s.Read(context.Background(), func(t *store.Tx) error {
			_, err := t.FindProject(fmt.Sprint("p", i))
			return err
		})
		if stored := err == nil; stored != (i%4 == 0) {
			s.Errorf("request %d: stored is %t", i, stored)
		}
	}
}

func testCanceled(s *suite) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.s.Write(ctx, func(t *store.Tx) error { return t.CreateProject(newProject("x"), "test") }); !errors.Is(err, context.Canceled) {
		s.Errorf("a write that was called off before it began: %v", err)
	}
	s.missing("what was called off", func(t *store.Tx) error { _, err := t.FindProject("x"); return err })
	// Called off after it began, it is carried through: its answer says what happened.
	ctx, cancel = context.WithCancel(context.Background())
	err := s.s.Write(ctx, func(t *store.Tx) error {
		cancel()
		return t.CreateProject(newProject("y"), "test")
	})
	if err != nil {
		s.Errorf("a write that was called off half way: %v", err)
	}
	s.read(func(t *store.Tx) error { _, err := t.FindProject("y"); return err })
	if err := s.s.Read(ctx, func(t *store.Tx) error { _, err := t.Projects(); return err }); !errors.Is(err, context.Canceled) {
		s.Errorf("a view that was called off: %v", err)
	}
}

func testReadsDoNotWrite(s *suite) {
	if err := s.s.Read(context.Background(), func(t *store.Tx) error { return t.CreateProject(newProject("x"), "test") }); err == nil {
		s.Error("a view let itself be written")
	}
	s.missing("what a view wrote", func(t *store.Tx) error { _, err := t.FindProject("x"); return err })
}
