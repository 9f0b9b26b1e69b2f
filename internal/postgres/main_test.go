package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// childDir, in the environment, makes the test binary a program that runs a
// server in that folder and writes rows until it is killed.
const childDir = "POSTGRES_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := writeRows(context.Background(), dir); err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
		return
	}
	var err error
	if templateDir, err = os.MkdirTemp("", "g4fagent-postgres-template-"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(templateDir); err != nil {
		fmt.Println(err)
	}
	os.Exit(code)
}

// writeRows tells the parent how many rows it found and then each row that was
// committed.
func writeRows(ctx context.Context, dir string) error {
	db, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	if _, err := db.Pool().Exec(ctx, "create table if not exists t (i bigint generated always as identity)"); err != nil {
		return err
	}
	var n int
	if err := db.Pool().QueryRow(ctx, "select count(*) from t").Scan(&n); err != nil {
		return err
	}
	fmt.Println("found", n)
	for {
		if _, err := db.Pool().Exec(ctx, "insert into t default values"); err != nil {
			return err
		}
		n++
		fmt.Println("wrote", n)
	}
}

// child is the test binary as that program. What a shell may have set for other
// Postgres programs must not reach the server.
func child(t *testing.T, program, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), childDir+"="+dir,
		"PGHOST=nowhere.invalid", "PGPORT=1", "PGUSER=nobody", "PGDATABASE=none", "PGDATA=/nowhere", "PGOPTIONS=-c nonsense=1")
	cmd.Stderr = os.Stderr
	return cmd
}

// folder is an empty folder that the server's account can reach, which
// t.TempDir, being closed to others, is not.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "g4fagent-postgres-") //nolint:usetesting // it must be reached by another account
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

var templateDir string

// makeTemplate makes a cluster in templateDir, once.
var makeTemplate = sync.OnceValue(func() error {
	db, err := Open(context.Background(), Options{Dir: templateDir})
	if err != nil {
		return err
	}
	return db.Close(context.Background())
})

// clusterFolder is a folder with a cluster in it, which takes a tenth of the
// time of making one.
func clusterFolder(t *testing.T) string {
	t.Helper()
	if err := makeTemplate(); err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", filepath.Join(templateDir, "cluster"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}
