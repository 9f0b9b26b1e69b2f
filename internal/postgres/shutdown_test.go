package postgres

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestCloseInBadTimes(t *testing.T) {
	t.Parallel()

	t.Run("a server that no longer listens to signals is killed when the caller's time is over", func(t *testing.T) {
		t.Parallel()
		db, err := Open(t.Context(), Options{Dir: clusterFolder(t)})
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(int(db.server.pid.Load()), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_ = db.Close(ctx) // may say that the pool was not given back in time
		if pids, err := serving(db.server.cluster.data); err != nil || len(pids) > 0 {
			t.Errorf("processes %v, %v", pids, err)
		}
	})

	t.Run("nothing that was committed is lost by a close in haste", func(t *testing.T) {
		t.Parallel()
		dir := clusterFolder(t)
		db, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "create table t as select 1 as i")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = db.Close(ctx) // may say that the pool was not given back in time
		if n := show(t, open(t, Options{Dir: dir}), "select count(*)::text from t"); n != "1" {
			t.Errorf("%s rows", n)
		}
	})

	t.Run("a server that is waiting to be started again is not", func(t *testing.T) {
		t.Parallel()
		registry := prometheus.NewRegistry()
		db := open(t, Options{
			Dir: clusterFolder(t), Registerer: registry,
			patience: &patience{firstPause: time.Hour, maxPause: time.Hour, steady: time.Hour, giveUp: time.Hour},
		})
		if err := syscall.Kill(int(db.server.pid.Load()), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "ill health that says why", func() bool {
			err := db.Health(t.Context())
			return err != nil && strings.Contains(err.Error(), "is being restarted") && strings.Contains(err.Error(), "signal: killed")
		})
		if up := gather(t, registry)["g4fagent_postgres_managed_up"]; up != 0 {
			t.Errorf("up is %v", up)
		}
		closeDB(t, db)
		if err := db.Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestOpenGivenUp(t *testing.T) {
	t.Parallel()
	dir := clusterFolder(t)
	for wait := time.Millisecond; wait < 200*time.Millisecond; wait *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		db, err := Open(ctx, Options{Dir: dir})
		cancel()
		if err == nil {
			closeDB(t, db)
		}
		if pids, err := serving(filepath.Join(dir, "cluster")); err != nil || len(pids) > 0 {
			t.Errorf("given up after %v: processes %v, %v", wait, pids, err)
		}
	}
	if err := open(t, Options{Dir: dir}).Health(t.Context()); err != nil {
		t.Error(err)
	}
}
