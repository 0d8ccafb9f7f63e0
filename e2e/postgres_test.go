package e2e

import (
	"context"
	"database/sql"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-ci/signalbox/server/servertest"
	"github.com/signalbox-ci/signalbox/store/storetest"
)

// postgres is a PostgreSQL of a test's own, which may be killed. It uses the programs and the user of the one that other tests share.
type postgres struct {
	testing.TB
	bin, dir string
	port     string
	as       *syscall.Credential // nil is whoever runs the test
	process  *os.Process
	out      output
}

func newPostgres(t *testing.T) *postgres {
	t.Helper()
	shared, err := url.Parse(storetest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	about := filepath.Dir(shared.Query().Get("host"))
	bin, err := os.ReadFile(filepath.Join(about, "bin"))
	if err != nil {
		t.Fatalf("scripts/setup-test-env notes there where the programs of PostgreSQL are: %v", err)
	}
	name, err := os.ReadFile(filepath.Join(about, "user"))
	if err != nil {
		t.Fatal(err)
	}
	p := &postgres{TB: t, bin: strings.TrimSpace(string(bin)), port: servertest.Port(t)}
	if p.dir, err = os.MkdirTemp("", "signalbox-postgres"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(p.dir) })
	if os.Getuid() == 0 {
		u, err := user.Lookup(strings.TrimSpace(string(name)))
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(p.dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := p.command("initdb", "-D", filepath.Join(p.dir, "data"), "-U", "signalbox", "-A", "trust", "-E", "UTF8", "--locale=C").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *postgres) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, program), args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	return cmd
}

// start starts it and waits until it answers.
func (p *postgres) start() {
	p.Helper()
	for range 200 { // what is left of a killed one must end first
		cmd := p.command("postgres", "-D", filepath.Join(p.dir, "data"), "-p", p.port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
		cmd.Stderr = &p.out
		if err := cmd.Start(); err != nil {
			p.Fatal(err)
		}
		p.process = cmd.Process
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		for {
			if err := p.query("SELECT 1"); err == nil {
				return
			}
			select {
			case <-ended:
			case <-time.After(50 * time.Millisecond):
				continue
			}
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.Fatalf("PostgreSQL does not start:\n%s", p.out.String())
}

// kill is SIGKILL to its first process; the others notice.
func (p *postgres) kill() { _ = p.process.Kill() }

func (p *postgres) url(address string) string {
	return "postgres://signalbox@" + address + "/postgres?sslmode=disable"
}

func (p *postgres) address() string { return net.JoinHostPort("127.0.0.1", p.port) }

func (p *postgres) open() *sql.DB {
	p.Helper()
	db, err := sql.Open("pgx", p.url(p.address()))
	if err != nil {
		p.Fatal(err)
	}
	return db
}

func (p *postgres) query(statement string) error {
	db := p.open()
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := db.ExecContext(ctx, statement)
	return err
}

// TestDatabaseTrouble: PostgreSQL is killed, cut off, frozen, tells every connection to go, and has none left, while agents run jobs.
// Each time the server answers again soon after; in the end everything has passed, once, with its whole log.
func TestDatabaseTrouble(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute; not with -short")
	}
	t.Parallel()
	pg := newPostgres(t)
	p := newProxy(t, pg.address())
	w := emptyWorld(t, pg.url(p.address()))
	w.serve(program)
	w.agentsAt(w.listen, 3)
	l := w.hold(4, 3, 150)
	for _, trouble := range troubles {
		trouble.make(t, pg, p)
		back := time.Now()
		w.until("the server answers after "+trouble.name, func() bool {
			_, _, code := w.try("project", "list")
			return code == 0
		})
		if took := time.Since(back); took > 15*time.Second {
			t.Errorf("after %s it took %v until the server answered", trouble.name, took)
		} else {
			t.Logf("%s: the server answers %v after", trouble.name, took.Round(10*time.Millisecond))
		}
		if l.over(time.Second) {
			t.Fatalf("the pipeline ended after %s, before it was let go", trouble.name)
		}
	}
	l.release()
	w.database = pg.url(pg.address())
	l.check()
}

var troubles = []struct {
	name string
	make func(t *testing.T, pg *postgres, p *proxy)
}{
	{"a kill of the database", func(_ *testing.T, pg *postgres, _ *proxy) { pg.kill(); time.Sleep(time.Second); pg.start() }},
	{"a cut", func(_ *testing.T, _ *postgres, p *proxy) { p.sever(); time.Sleep(2 * time.Second); p.heal() }},
	{"a pause", func(_ *testing.T, _ *postgres, p *proxy) { p.freeze(); time.Sleep(6 * time.Second); p.heal() }},
	{"the end of all connections", func(t *testing.T, pg *postgres, _ *proxy) {
		if err := pg.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"); err != nil {
			t.Error(err)
		}
	}},
	{"others that took all connections", func(t *testing.T, pg *postgres, p *proxy) {
		p.sever()
		db := pg.open()
		defer db.Close()
		var held []*sql.Conn
		for range 200 {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			c, err := db.Conn(ctx)
			cancel()
			if err != nil {
				break
			}
			held = append(held, c)
		}
		p.heal()
		if len(held) < 50 {
			t.Errorf("only %d connections could be taken", len(held))
		}
		time.Sleep(2 * time.Second)
		for _, c := range held {
			_ = c.Close()
		}
	}},
}
