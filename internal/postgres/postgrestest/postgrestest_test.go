package postgrestest_test

import (
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
)

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two", "three", "four"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := postgrestest.Pool(t)
			if _, err := pool.Exec(t.Context(), "create table t (i int)"); err != nil {
				t.Fatal(err)
			}
			if _, err := pool.Exec(t.Context(), "insert into t select 1"); err != nil {
				t.Fatal(err)
			}
			var n int
			if err := pool.QueryRow(t.Context(), "select count(*) from t").Scan(&n); err != nil || n != 1 {
				t.Fatalf("%d rows, %v; want the test's own row", n, err)
			}
		})
	}
}

func TestURLNamesADatabaseForAnotherProcess(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestSeveralProcessesAndUsersAtOnce(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, ordinary := self, (*syscall.Credential)(nil)
	if os.Geteuid() == 0 {
		program, ordinary = reachable(t, self), postgresUser(t)
	}
	var runs sync.WaitGroup
	for _, as := range []*syscall.Credential{nil, nil, ordinary, ordinary} {
		runs.Go(func() {
			cmd := exec.CommandContext(t.Context(), program, "-test.run=TestEachTestHasADatabaseOfItsOwn|TestURL")
			cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: as}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("as %+v: %v\n%s", as, err, out)
			}
		})
	}
	runs.Wait()
}

// reachable is a copy of the program that every user may run.
func reachable(t *testing.T, program string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "g4fagent-program-") //nolint:usetesting // it must be reached by another account
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	source, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(filepath.Join(dir, "program"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
	return target.Name()
}

func postgresUser(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
