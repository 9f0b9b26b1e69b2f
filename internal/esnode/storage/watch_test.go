package storage_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

func TestWatch(t *testing.T) {
	t.Parallel()
	wantWake := func(t *testing.T, w *storage.Watch) {
		t.Helper()
		select {
		case <-w.C():
		case <-time.After(bound):
			t.Fatal("the watch was not told")
		}
	}
	silent := func(t *testing.T, w *storage.Watch) {
		t.Helper()
		select {
		case <-w.C():
			t.Fatal("the watch was told")
		default:
		}
	}

	t.Run("of the log is told of every stream", func(t *testing.T) {
		t.Parallel()
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log"})
		w := log.WatchAll()
		defer w.Close()
		mustPut(t, log, "a", 1)
		wantWake(t, w)
		mustPut(t, log, "b", 1)
		wantWake(t, w)
	})

	t.Run("of a stream is told of that stream alone", func(t *testing.T) {
		t.Parallel()
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log"})
		w := log.WatchStream("a")
		defer w.Close()
		mustPut(t, log, "b", 1)
		silent(t, w)
		mustPut(t, log, "a", 1)
		wantWake(t, w)
	})

	t.Run("is told when there is something to read", func(t *testing.T) {
		t.Parallel()
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log"})
		w := log.WatchAll()
		defer w.Close()
		ended := start(func() error {
			_, err := put(t.Context(), log, "a", 1)
			return err
		})
		wantWake(t, w)
		if len(mustAll(t, log)) != 1 {
			t.Error("the watch was told before the event could be read")
		}
		if err := wantEnd(t, "the commit", ended); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("hears nothing once it is closed", func(t *testing.T) {
		t.Parallel()
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log"})
		closed, open := log.WatchStream("a"), log.WatchStream("a")
		closed.Close()
		mustPut(t, log, "a", 1)
		wantWake(t, open)
		silent(t, closed)
		open.Close()
	})
}
