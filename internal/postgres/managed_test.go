package postgres

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patient = 60 * time.Second

func open(t *testing.T, o Options) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	db, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDB(t, db) })
	return db
}

func closeDB(t *testing.T, db *DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patient)
	defer cancel()
	if err := db.Close(ctx); err != nil {
		t.Error(err)
	}
	if pids, err := serving(db.server.cluster.data); err != nil || len(pids) > 0 {
		t.Errorf("after Close: processes %v, %v", pids, err)
	}
}

func show(t *testing.T, db *DB, query string) string {
	t.Helper()
	var value string
	if err := db.Pool().QueryRow(t.Context(), query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

func mustExec(t *testing.T, db *DB, sql string) {
	t.Helper()
	if _, err := db.Pool().Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// eventually asks until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patient)
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestManagedServer(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	db := open(t, Options{Dir: dir, Settings: map[string]string{"work_mem": "7MB"}})

	t.Run("is as the read models need it", func(t *testing.T) {
		for query, want := range map[string]string{
			"show data_checksums":                       "on",
			"show fsync":                                "on",
			"show server_encoding":                      "UTF8",
			"show jit":                                  "off",
			"show shared_buffers":                       "64MB",
			"show max_connections":                      "40",
			"show listen_addresses":                     "",
			"show timezone":                             "UTC",
			"show application_name":                     "g4fagent",
			"show work_mem":                             "7MB",
			"select current_database() || current_user": "g4fagentg4fagent",
			"select string_agg(x, '' order by x) from unnest(array['b','B','a','A','é']) x": "ABabé",
			"select upper('é')": "É",
		} {
			if got := show(t, db, query); got != want {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
	})

	t.Run("is healthy", func(t *testing.T) {
		if !Managed(db) {
			t.Error("not managed")
		}
		if err := db.Health(t.Context()); err != nil {
			t.Error(err)
		}
	})

	t.Run("refuses a second one in its folder, naming the first", func(t *testing.T) {
		second, err := Open(t.Context(), Options{Dir: dir})
		if err == nil {
			t.Fatal(second.Close(t.Context()))
		}
		if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
			t.Errorf("%v; want the folder and process %d", err, os.Getpid())
		}
	})

	t.Run("lets in nobody but the accounts of the server and the process", func(t *testing.T) {
		info, err := os.Stat(db.server.cluster.data)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o700 {
			t.Errorf("the socket's folder has mode %s", mode)
		}
		if rules := show(t, db, "select string_agg(concat_ws(' ', type, database, user_name, auth_method, options), ';') from pg_hba_file_rules"); rules != "local {all} {g4fagent} peer {map=managed}" {
			t.Errorf("rules: %s", rules)
		}
	})

	t.Run("logs what it refuses but not the rows", func(t *testing.T) {
		mustExec(t, db, "create table secrets (s text unique)")
		for range 2 {
			_, _ = db.Pool().Exec(t.Context(), "insert into secrets values ($1)", "anna@example.org") // the second is refused
		}
		var log []byte
		eventually(t, "the refusal to be logged", func() bool {
			log, _ = os.ReadFile(filepath.Join(dir, "postgres.log"))
			return bytes.Contains(log, []byte("duplicate key value"))
		})
		if bytes.Contains(log, []byte("anna@example.org")) {
			t.Errorf("log: %s", log)
		}
	})

	t.Run("keeps what it holds, and ends with the connections in use", func(t *testing.T) {
		mustExec(t, db, "create table t as select 1 as i")
		tx, err := db.Pool().Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pid := db.server.pid.Load()
		released := make(chan struct{})
		go func() { // as a request does that is cut off
			defer close(released)
			_, _ = tx.Exec(context.Background(), "select pg_sleep(600)")
			_ = tx.Rollback(context.Background())
		}()
		eventually(t, "the statement to run", func() bool {
			return show(t, db, "select count(*)::text from pg_stat_activity where query like '%pg_sleep(600)' and pid <> pg_backend_pid()") == "1"
		})
		closeDB(t, db)
		<-released
		if err := syscall.Kill(int(pid), 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("the postmaster %d is there after Close: %v", pid, err)
		}
		select {
		case <-db.Done():
		default:
			t.Error("Done is open after Close")
		}
		if err := db.Err(); err != nil {
			t.Errorf("closed with %v", err)
		}
		if err := db.Health(t.Context()); err == nil {
			t.Error("healthy after Close")
		}
		again := open(t, Options{Dir: dir})
		if n := show(t, again, "select count(*)::text from t"); n != "1" {
			t.Errorf("%s rows", n)
		}
	})
}

func TestParentKilled(t *testing.T) {
	t.Parallel()
	dir := clusterFolder(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	wrote := 0
	for round := range 7 {
		withServer := round%2 == 1
		wrote = killWriter(t, child(t, program, dir), dir, wrote, withServer)
	}
	awaitNoServer(t, filepath.Join(dir, "cluster"))
}

// awaitNoServer waits until the kernel's signal has ended the server of a
// killed parent or, on a system without it, ends it.
func awaitNoServer(t *testing.T, data string) {
	t.Helper()
	if !diesWithParent {
		if _, err := endServer(t.Context(), data, nil); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "the server to end", func() bool {
		pids, err := serving(data)
		return err == nil && len(pids) == 0
	})
}

// killWriter runs the program until it has written 30 rows, kills it, perhaps
// with its server, and checks that it found what the one before it had written.
func killWriter(t *testing.T, cmd *exec.Cmd, dir string, wrote int, withServer bool) int {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	target := wrote + 30
	for wrote < target && lines.Scan() {
		word, number, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(lines.Text())
		}
		switch word {
		case "found":
			t.Logf("found %d rows in %v", n, time.Since(began).Round(time.Millisecond))
			if n < wrote {
				t.Fatalf("found %d rows of %d", n, wrote)
			}
			target = n + 30
		case "wrote":
			wrote = n
		default:
			t.Fatal(lines.Text())
		}
	}
	if withServer {
		if err := syscall.Kill(recordedPostmaster(filepath.Join(dir, "cluster")), syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	for lines.Scan() { // rows that were committed before the kill
		if _, err := fmt.Sscanf(lines.Text(), "wrote %d", &wrote); err != nil {
			break
		}
	}
	_ = cmd.Wait() // killed
	return wrote
}

func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	account, err := serverAccount("")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	program := filepath.Join(dir, "program") // where another user may run it
	copyProgram(t, self, program)
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, account.uid, account.gid); err != nil {
		t.Fatal(err)
	}
	wrote := 0
	for range 3 {
		cmd := child(t, program, filepath.Join(data, "postgres"))
		cmd.SysProcAttr = account.attributes(0)
		wrote = killWriter(t, cmd, filepath.Join(data, "postgres"), wrote, false)
	}
	awaitNoServer(t, filepath.Join(data, "postgres", "cluster"))
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLongFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), strings.Repeat("long/", 12), strings.Repeat("n", 200), "postgres")
	db := open(t, Options{Dir: dir})
	if err := db.Health(t.Context()); err != nil {
		t.Errorf("a folder of %d bytes: %v", len(dir), err)
	}
}
