package postgres

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestWhatAnEarlierServerLeft(t *testing.T) {
	t.Parallel()
	dir := clusterFolder(t)
	db := open(t, Options{Dir: dir})
	mustExec(t, db, "create table t as select 1 as i")
	cluster := db.server.cluster
	closeDB(t, db)

	t.Run("a stale pid file that names a living process is removed", func(t *testing.T) {
		sleeper := exec.CommandContext(t.Context(), "sleep", "600")
		sleeper.SysProcAttr = cluster.account.attributes(0)
		if err := sleeper.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sleeper.Wait() }()
		defer func() { _ = sleeper.Process.Kill() }()
		stale := fmt.Sprintf("%d\n%s\n1700000000\n5432\n.\n\n  5432001         0\nready   \n", sleeper.Process.Pid, cluster.data)
		path := filepath.Join(cluster.data, "postmaster.pid")
		if err := os.WriteFile(path, []byte(stale), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, cluster.account.uid, cluster.account.gid); err != nil {
			t.Fatal(err)
		}
		db := open(t, Options{Dir: dir})
		if n := show(t, db, "select count(*)::text from t"); n != "1" {
			t.Errorf("%s rows", n)
		}
		if err := sleeper.Process.Signal(syscall.Signal(0)); err != nil {
			t.Errorf("the process that the file named was ended: %v", err)
		}
		closeDB(t, db)
	})

	t.Run("a server that outlived its parent is ended", func(t *testing.T) {
		orphan := cluster.command()
		orphan.SysProcAttr = cluster.account.attributes(0)
		if err := orphan.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = orphan.Wait(); close(ended) }()
		eventually(t, "the orphan to be there", func() bool {
			return recordedPostmaster(cluster.data) == orphan.Process.Pid
		})
		var log bytes.Buffer
		db := open(t, Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		<-ended
		if n := show(t, db, "select count(*)::text from t"); n != "1" {
			t.Errorf("%s rows", n)
		}
		if !strings.Contains(log.String(), "left over") {
			t.Errorf("log: %s", log.String())
		}
		closeDB(t, db)
	})

	t.Run("half a cluster is made again", func(t *testing.T) {
		dir := folder(t)
		if err := os.Mkdir(filepath.Join(dir, "cluster.new"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cluster.new", "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		db := open(t, Options{Dir: dir})
		if err := db.Health(t.Context()); err != nil {
			t.Error(err)
		}
	})

	t.Run("a cluster of another version is moved aside and said aloud", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(cluster.data, "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		db := open(t, Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if exists := show(t, db, "select (to_regclass('t') is not null)::text"); exists != "false" {
			t.Error("the new cluster has the old one's table")
		}
		if _, err := os.Stat(filepath.Join(dir, "cluster.v9", "PG_VERSION")); err != nil {
			t.Error(err)
		}
		if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "cluster.v9") {
			t.Errorf("log: %s", log.String())
		}
	})
}

func TestServerKilled(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	db := open(t, Options{Dir: clusterFolder(t), Registerer: registry})
	mustExec(t, db, "create table t as select 1 as i")
	for round := range 3 {
		before := db.server.pid.Load()
		if err := syscall.Kill(int(before), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another server", func() bool { return db.server.pid.Load() != before })
		if err := db.Health(t.Context()); err != nil {
			t.Error(err)
		}
		if n := show(t, db, "select count(*)::text from t"); n != "1" {
			t.Errorf("%s rows", n)
		}
		if got := gather(t, registry)["g4fagent_postgres_managed_restarts_total"]; got != float64(round+1) {
			t.Errorf("%v restarts are counted, want %d", got, round+1)
		}
	}
	select {
	case <-db.Done():
		t.Errorf("given up: %v", db.Err())
	default:
	}
}

func TestServerThatCannotComeBack(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	db := open(t, Options{
		Dir: clusterFolder(t), Logger: slog.New(slog.NewTextHandler(&log, nil)),
		patience: &patience{firstPause: time.Millisecond, maxPause: 10 * time.Millisecond, steady: time.Hour, giveUp: 500 * time.Millisecond},
	})
	if err := os.Rename(filepath.Join(db.server.cluster.data, "global"), filepath.Join(db.server.cluster.data, "lost")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(int(db.server.pid.Load()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-db.Done():
	case <-time.After(patient):
		t.Fatal("never given up")
	}
	if err := db.Err(); err == nil || !strings.Contains(err.Error(), "could not find the database system") {
		t.Errorf("%v; want the server's last words", err)
	}
	if err := db.Health(t.Context()); err == nil {
		t.Error("healthy")
	}
	if !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("log: %s", log.String())
	}
}

func TestServerThatNeverStarts(t *testing.T) {
	t.Parallel()
	dir := clusterFolder(t)
	db, err := Open(t.Context(), Options{Dir: dir, Settings: map[string]string{"shared_buffers": "plenty"}})
	if err == nil {
		t.Fatal(db.Close(t.Context()))
	}
	if !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers": "plenty"`) {
		t.Errorf("%v; want the server's last words", err)
	}
	open(t, Options{Dir: dir}) // the folder was given back
}

func TestClosedAncestor(t *testing.T) {
	t.Parallel()
	closed := filepath.Join(folder(t), "closed")
	dir := filepath.Join(closed, "data", "postgres")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Run("is named", func(t *testing.T) {
		t.Parallel()
		err := account{name: "somebody", uid: os.Getuid() + 1, gid: os.Getgid() + 1, switched: true}.reaches(dir)
		if err == nil || !strings.Contains(err.Error(), closed+" (") {
			t.Errorf("%v; want %s named", err, closed)
		}
	})
	t.Run("refuses the start of a server of another account", func(t *testing.T) {
		t.Parallel()
		db, err := Open(t.Context(), Options{Dir: dir})
		if os.Geteuid() != 0 {
			if err != nil {
				t.Error(err)
			} else if err := db.Close(t.Context()); err != nil {
				t.Error(err)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), closed+" (") {
			t.Errorf("%v; want %s named", err, closed)
		}
	})
}
