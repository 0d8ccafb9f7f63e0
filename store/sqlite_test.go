package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/signalbox-ci/signalbox"
	"github.com/signalbox-ci/signalbox/store"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// childFolder makes this test program a server that is about to be killed; see TestKilledWriterLosesNothing.
const childFolder = "SIGNALBOX_TEST_CHILD_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		writeForever(dir)
	}
	os.Exit(m.Run())
}

func project(name string) *signalbox.Project {
	return &signalbox.Project{Name: name, GitURL: "u", PipelineFile: "f"}
}

// writeForever writes from several goroutines and prints each name once its write was acknowledged.
func writeForever(dir string) {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{Dir: dir})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("p%d-%d", g, i)
				err := s.Write(ctx, func(t *store.Tx) error { return t.CreateProject(project(name), "child") })
				if err == nil {
					err = s.WriteLog(ctx, func(t *store.LogTx) error { _, err := t.LockLog(name, "job"); return err })
				}
				mu.Lock()
				if err != nil {
					fmt.Println("write:", err)
					os.Exit(1)
				}
				fmt.Println("ok", name)
				mu.Unlock()
			}
		})
	}
	group.Wait()
}

func TestKilledWriterLosesNothing(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []string
	for round, lines := range []int{1, 200, 555} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		sub := filepath.Join(dir, fmt.Sprint(round))
		cmd.Env = append(os.Environ(), childFolder+"="+sub)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		scan := bufio.NewScanner(out)
		acknowledged = nil
		for scan.Scan() {
			name, ok := strings.CutPrefix(scan.Text(), "ok ")
			if !ok {
				t.Fatalf("the child says %q", scan.Text())
			}
			if acknowledged = append(acknowledged, name); len(acknowledged) == lines {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || len(acknowledged) < lines {
			t.Fatalf("the child ended by itself after %d writes: %v", len(acknowledged), err)
		}
		s := storetest.Open(t, store.Options{Dir: sub})
		for _, name := range acknowledged {
			err := s.Read(t.Context(), func(t *store.Tx) error {
				p, err := t.FindProject(name)
				if err != nil {
					return err
				}
				events, err := t.Events("project", p.ID)
				if len(events) != 1 {
					return fmt.Errorf("%d events", len(events))
				}
				return err
			})
			if err != nil {
				t.Errorf("%s was acknowledged before the server was killed: %v", name, err)
			}
			if err := s.ReadLog(t.Context(), func(t *store.LogTx) error { _, err := t.Log(name); return err }); err != nil {
				t.Errorf("the log of %s: %v", name, err)
			}
		}
		checkIntegrity(t, s)
		t.Logf("%d acknowledged writes are there", len(acknowledged))
	}
}

func checkIntegrity(t *testing.T, s *store.Store) {
	t.Helper()
	main, logs := s.Databases()
	var answer string
	if err := main.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&answer); err != nil || answer != "ok" {
		t.Errorf("the main database: %s, %v", answer, err)
	}
	if err := logs.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&answer); err != nil || answer != "ok" {
		t.Errorf("the log database: %s, %v", answer, err)
	}
}

func TestDurabilitySettings(t *testing.T) {
	s := storetest.OpenSQLite(t)
	main, logs := s.Databases()
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1"} {
		var a, b string
		err := errors.Join(main.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&a), logs.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&b))
		if err != nil || a != want || b != want {
			t.Errorf("%s is %s and %s (%v), want %s: an answer means that it is on the disk", pragma, a, b, err, want)
		}
	}
}

func TestGroupCommitKeepsRequestsApart(t *testing.T) {
	s := storetest.OpenSQLite(t)
	// The first write holds the writer until all others wait behind it, so they are one batch.
	const others = 40
	started, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		if err := s.Write(t.Context(), func(tx *store.Tx) error { close(started); <-release; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-started
	mistake := errors.New("a mistake")
	errs := make([]error, others)
	for i := range others {
		group.Go(func() {
			errs[i] = s.Write(t.Context(), func(tx *store.Tx) error {
				if err := tx.CreateProject(project(fmt.Sprint("p", i)), "test"); err != nil {
					return err
				}
				switch i % 3 {
				case 1:
					return mistake
				case 2:
					panic("a panic")
				}
				return nil
			})
		})
	}
	for s.Pending() < others {
		runtime.Gosched()
	}
	close(release)
	group.Wait()
	for i, err := range errs {
		switch i % 3 {
		case 0:
			if err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		case 1:
			if !errors.Is(err, mistake) {
				t.Errorf("request %d: %v, want its own mistake", i, err)
			}
		case 2:
			if err == nil || !strings.Contains(err.Error(), "a panic") {
				t.Errorf("request %d: %v, want its own panic", i, err)
			}
		}
		found := s.Read(t.Context(), func(tx *store.Tx) error { _, err := tx.FindProject(fmt.Sprint("p", i)); return err }) == nil
		if found != (i%3 == 0) {
			t.Errorf("request %d: stored is %t", i, found)
		}
	}
}

// fill writes until it is refused and returns the names that were acknowledged.
func fill(t *testing.T, s *store.Store, bound int) []string {
	t.Helper()
	var names []string
	for i := range bound {
		p := project(fmt.Sprint("p", i))
		p.GitURL = strings.Repeat("x", 4000)
		err := s.Write(t.Context(), func(t *store.Tx) error { return t.CreateProject(p, "test") })
		if err != nil {
			if signalbox.ErrorCode(err) != signalbox.CodeUnavailable {
				t.Fatalf("when the disk is full: %v, want code %q", err, signalbox.CodeUnavailable)
			}
			return names
		}
		names = append(names, p.Name)
	}
	t.Fatalf("%d writes were accepted, so the disk never was full", bound)
	return nil
}

// stillThere checks that exactly these projects exist.
func stillThere(t *testing.T, s *store.Store, names []string) {
	t.Helper()
	err := s.Read(t.Context(), func(tx *store.Tx) error {
		all, err := tx.Projects()
		if err == nil && len(all) != len(names) {
			t.Errorf("%d projects are there, want %d", len(all), len(names))
		}
		for _, name := range names {
			if _, err := tx.FindProject(name); err != nil {
				return err
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFullDatabase(t *testing.T) {
	s := storetest.OpenSQLite(t)
	if err := s.LimitPages(50); err != nil {
		t.Fatal(err)
	}
	names := fill(t, s, 1000)
	stillThere(t, s, names)
	// A batch in which one request does not fit: whoever was told "stored" finds it.
	var group sync.WaitGroup
	var mu sync.Mutex
	for i := range 20 {
		group.Go(func() {
			p := project(fmt.Sprint("batch", i))
			if i%2 == 0 {
				p.GitURL = strings.Repeat("x", 100_000)
			}
			err := s.Write(t.Context(), func(t *store.Tx) error { return t.CreateProject(p, "test") })
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				names = append(names, p.Name)
			} else if signalbox.ErrorCode(err) != signalbox.CodeUnavailable {
				t.Errorf("request %d: %v, want code %q", i, err, signalbox.CodeUnavailable)
			}
		})
	}
	group.Wait()
	stillThere(t, s, names)
	if err := s.LimitPages(0); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), func(t *store.Tx) error { return t.CreateProject(project("recovered"), "test") }); err != nil {
		t.Errorf("after there was space again: %v", err)
	}
	stillThere(t, s, append(names, "recovered"))
	checkIntegrity(t, s)
}
