package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

const bound = 30 * time.Second

// put appends n events to a stream in one commit, as every writer must: at the
// stream's next revision.
func put(ctx context.Context, log *storage.Log, stream string, n int) (last uint64, err error) {
	err = log.Commit(ctx, func(tx *storage.Tx) error {
		s, err := tx.Stream(stream)
		if err != nil {
			return err
		}
		for range n {
			s.Last++
			last = tx.Put(stream, uint64(s.Last), eventOf(stream, s.Last))
		}
		tx.PutStream(stream, s)
		return nil
	})
	return last, err
}

func eventOf(stream string, revision int64) *storage.NewEvent {
	text := fmt.Sprintf("%s@%d", stream, revision)
	return &storage.NewEvent{ID: [16]byte{1, byte(revision)}, Type: "test", Data: []byte(text), Metadata: []byte("m"), JSON: true}
}

func mustPut(t *testing.T, log *storage.Log, stream string, n int) uint64 {
	t.Helper()
	position, err := put(t.Context(), log, stream, n)
	if err != nil {
		t.Fatalf("put %d events into %s: %v", n, stream, err)
	}
	return position
}

// all reads the log from front to end, page by page.
func all(log *storage.Log) ([]storage.Event, error) {
	var events []storage.Event
	head := log.Head()
	for from := uint64(1); from <= head; {
		next, err := log.ScanAll(from, head, func(e *storage.Event) bool {
			events = append(events, *e.Clone())
			return true
		})
		if err != nil {
			return events, err
		}
		from = next
	}
	return events, nil
}

func mustAll(t *testing.T, log *storage.Log) []storage.Event {
	t.Helper()
	events, err := all(log)
	if err != nil {
		t.Fatalf("read the log: %v", err)
	}
	return events
}

func texts(events []storage.Event) []string {
	out := []string{}
	for _, e := range events {
		out = append(out, string(e.Data))
	}
	return out
}

func TestLog(t *testing.T) {
	t.Parallel()

	t.Run("gives back every part of an event", func(t *testing.T) {
		t.Parallel()
		now := time.Date(2026, 1, 2, 3, 4, 5, 678900, time.UTC)
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log", Now: func() time.Time { return now }})
		position := mustPut(t, log, "s", 3)
		e, found, err := log.Event("s", 2)
		if err != nil || !found {
			t.Fatalf("found %v, %v", found, err)
		}
		want := eventOf("s", 2)
		if e.Position != position || e.Revision != 2 || e.ID != want.ID || !e.JSON || e.Created != now.UnixNano()/100 ||
			string(e.Stream) != "s" || string(e.Type) != want.Type ||
			string(e.Data) != string(want.Data) || string(e.Metadata) != string(want.Metadata) {
			t.Fatalf("got %+v, want %+v", e, want)
		}
	})

	t.Run("continues where it ended when it is opened again", func(t *testing.T) {
		t.Parallel()
		fs := vfs.NewMem()
		log := openOn(t, storage.Options{FS: fs, Dir: "log"})
		mustPut(t, log, "a", 2)
		last := mustPut(t, log, "b", 1)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		log = openOn(t, storage.Options{FS: fs, Dir: "log"})
		if log.Head() != last {
			t.Fatalf("the head is at %d, want %d", log.Head(), last)
		}
		if next := mustPut(t, log, "a", 1); next <= last {
			t.Fatalf("position %d follows %d", next, last)
		}
		want := []string{"a@0", "a@1", "b@0", "a@2"}
		if got := texts(mustAll(t, log)); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})

	t.Run("writes nothing when the decision fails", func(t *testing.T) {
		t.Parallel()
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log"})
		refused := errors.New("refused")
		err := log.Commit(t.Context(), func(tx *storage.Tx) error {
			tx.Put("s", 0, eventOf("s", 0))
			return refused
		})
		if !errors.Is(err, refused) {
			t.Fatalf("got %v", err)
		}
		mustPut(t, log, "s", 1)
		if got := texts(mustAll(t, log)); !slices.Equal(got, []string{"s@0"}) {
			t.Fatalf("got %v", got)
		}
	})

	t.Run("writes nothing for a caller who has left", func(t *testing.T) {
		t.Parallel()
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log"})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := put(ctx, log, "s", 1); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		if log.Head() != 0 {
			t.Fatalf("the head moved to %d", log.Head())
		}
	})

	t.Run("keeps a stream apart from those whose names begin alike", func(t *testing.T) {
		t.Parallel()
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log"})
		for _, name := range []string{"a", "a\x00", "a\x00\x00\x00\x00\x00\x00\x00\x00", "ab", "aa"} {
			mustPut(t, log, name, 2)
		}
		var got []string
		if _, err := log.ScanStream("a", 0, 1, 0, func(e *storage.Event) bool {
			got = append(got, string(e.Stream))
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, []string{"a", "a"}) {
			t.Fatalf("got %q", got)
		}
	})

	t.Run("belongs to one owner", func(t *testing.T) {
		t.Parallel()
		for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": nil} {
			dir := t.TempDir()
			openOn(t, storage.Options{FS: fs, Dir: dir})
			if _, err := storage.Open(storage.Options{FS: fs, Dir: dir, Logger: quiet}); err == nil {
				t.Errorf("%s: it was opened twice", name)
			}
		}
	})

	t.Run("keeps its folder to its owner", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "data", "log")
		mustPut(t, openOn(t, storage.Options{Dir: dir}), "s", 1)
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Fatalf("got %v, %v", info, err)
		}
	})

	t.Run("refuses everything once it is closed", func(t *testing.T) {
		t.Parallel()
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log"})
		mustPut(t, log, "s", 1)
		if err := errors.Join(log.Close(), log.Close()); err != nil {
			t.Fatal(err)
		}
		_, putErr := put(t.Context(), log, "s", 1)
		_, allErr := log.ScanAll(1, 1, nil)
		_, backErr := log.ScanAllBack(1, nil)
		_, streamErr := log.ScanStream("s", 0, 0, 0, nil)
		_, _, streamBackErr := log.ScanStreamBack("s", 0, 0, 0, nil)
		_, stateErr := log.Stream(t.Context(), "s")
		_, _, eventErr := log.Event("s", 0)
		for i, err := range []error{putErr, allErr, backErr, streamErr, streamBackErr, stateErr, eventErr} {
			if !errors.Is(err, storage.ErrClosed) {
				t.Errorf("call %d: got %v", i, err)
			}
		}
	})

	t.Run("refuses a store of another format", func(t *testing.T) {
		t.Parallel()
		fs := vfs.NewMem()
		if err := openOn(t, storage.Options{FS: fs, Dir: "log"}).Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, fs, func(db *pebble.DB) error { return db.Set([]byte("f"), []byte{0, 0, 0, 2}, pebble.Sync) })
		if _, err := storage.Open(storage.Options{FS: fs, Dir: "log", Logger: quiet}); err == nil {
			t.Fatal("it was opened")
		}
	})

	t.Run("refuses a store that somebody else made", func(t *testing.T) {
		t.Parallel()
		fs := vfs.NewMem()
		edit(t, fs, func(db *pebble.DB) error { return db.Set([]byte("theirs"), nil, pebble.Sync) })
		if _, err := storage.Open(storage.Options{FS: fs, Dir: "log", Logger: quiet}); !errors.Is(err, storage.ErrCorrupt) {
			t.Fatalf("got %v", err)
		}
	})

	t.Run("tells of its commits", func(t *testing.T) {
		t.Parallel()
		var got []storage.Committed
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log", OnCommit: func(c storage.Committed) { got = append(got, c) }})
		mustPut(t, log, "s", 3)
		var bytes int
		for _, e := range mustAll(t, log) {
			bytes += int(e.Size())
		}
		if len(got) != 1 || got[0].Events != 3 || got[0].Bytes != bytes || got[0].Wait <= 0 {
			t.Fatalf("got %+v, want 3 events of %d bytes", got, bytes)
		}
	})
}

// edit changes a closed store behind the log's back.
func edit(t *testing.T, fs vfs.FS, change func(*pebble.DB) error) {
	t.Helper()
	db, err := pebble.Open("log", &pebble.Options{FS: fs, Logger: discard{}})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	if err := errors.Join(change(db), db.Close()); err != nil {
		t.Fatalf("change the store: %v", err)
	}
}
