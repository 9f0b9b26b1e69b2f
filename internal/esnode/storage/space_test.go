package storage_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

func TestFloor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		floor storage.Floor
		total uint64
		want  uint64
	}{
		"is 5 % of the disk":                  {storage.Floor{}, 100 * gib, 5 * gib},
		"is at least what Pebble needs":       {storage.Floor{}, 100 * mib, 64 * mib},
		"is at most 10 GiB of a large disk":   {storage.Floor{}, 8000 * gib, 10 * gib},
		"is the share that was asked for":     {storage.Floor{Share: 0.5}, 10 * gib, 5 * gib},
		"is the bytes that were asked for":    {storage.Floor{Bytes: mib, Share: 0.5}, 10 * gib, mib},
		"is nothing when none was wished for": {storage.NoFloor, 10 * gib, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: test.total, TotalBytes: test.total})
			log := openOn(t, storage.Options{FS: fs, Dir: "log", Floor: test.floor})
			want := storage.Space{Free: test.total, Total: test.total, Floor: test.want}
			if got := log.Space(); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// eventually repeats what must come to hold.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(bound); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, bound)
		}
	}
}

func TestLittleSpace(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	free := func(bytes uint64) { fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: bytes, TotalBytes: gib}) }
	free(gib)
	log := openOn(t, storage.Options{FS: fs, Dir: "log", Floor: storage.Floor{Bytes: 100 * mib}})
	mustPut(t, log, "s", 1)
	watch := log.WatchAll()
	defer watch.Close()

	free(99 * mib)
	eventually(t, "an append is refused", func() bool {
		_, err := put(t.Context(), log, "s", 1)
		return errors.Is(err, storage.ErrFull)
	})
	before := texts(mustAll(t, log))
	if _, err := put(t.Context(), log, "s", 1); !errors.Is(err, storage.ErrFull) {
		t.Fatalf("the next append got %v", err)
	}
	if !log.Space().Refusing {
		t.Error("the log does not say that it refuses")
	}
	if got := texts(mustAll(t, log)); !slices.Equal(got, before) {
		t.Errorf("a refused append left %v behind %v", got, before)
	}
	// Answers that need no room are still given.
	if err := log.Commit(t.Context(), func(*storage.Tx) error { return nil }); err != nil {
		t.Errorf("a repetition got %v", err)
	}
	conflict := errors.New("the stream is elsewhere")
	if err := log.Commit(t.Context(), func(*storage.Tx) error { return conflict }); !errors.Is(err, conflict) {
		t.Errorf("a conflict got %v", err)
	}

	free(105 * mib)
	if _, err := put(t.Context(), log, "s", 1); !errors.Is(err, storage.ErrFull) {
		t.Errorf("just above the floor an append got %v", err)
	}
	free(111 * mib)
	mustPut(t, log, "s", 1)
	if log.Space().Refusing || log.Err() != nil {
		t.Errorf("with room again: %+v, %v", log.Space(), log.Err())
	}
	<-watch.C()
	checkRevisions(t, mustAll(t, log))
}

func checkRevisions(t *testing.T, events []storage.Event) {
	t.Helper()
	next := map[string]uint64{}
	for _, e := range events {
		if e.Revision != next[string(e.Stream)] {
			t.Fatalf("event %d of %s comes where %d is due", e.Revision, e.Stream, next[string(e.Stream)])
		}
		next[string(e.Stream)]++
	}
}

// quota is a file system of so many bytes, of which deleted files give theirs
// back.
type quota struct {
	vfs.FS

	mu     sync.Mutex
	left   int64
	frozen bool // nothing changes any more
	sizes  map[string]int64
}

var errFrozen = errors.New("the file system is frozen")

func newQuota(fs vfs.FS, bytes int64) *quota {
	return &quota{FS: fs, left: bytes, sizes: map[string]int64{}}
}

func (q *quota) take(name string, n int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.frozen {
		return errFrozen
	}
	if q.left < n {
		return &os.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
	}
	q.left -= n
	q.sizes[name] += n
	return nil
}

func (q *quota) add(bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left += bytes
}

func (q *quota) freeze() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.frozen = true
}

func (q *quota) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := q.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return quotaFile{f, q, name}, nil
}

func (q *quota) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	q.mu.Lock()
	q.left += q.sizes[old]
	delete(q.sizes, old)
	q.mu.Unlock()
	f, err := q.FS.ReuseForWrite(old, name, c)
	if err != nil {
		return nil, err
	}
	return quotaFile{f, q, name}, nil
}

func (q *quota) Remove(name string) error {
	if err := q.take(name, 0); err != nil {
		return err
	}
	if err := q.FS.Remove(name); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left += q.sizes[name]
	delete(q.sizes, name)
	return nil
}

type quotaFile struct {
	vfs.File

	quota *quota
	name  string
}

func (f quotaFile) Write(p []byte) (int, error) {
	if err := f.quota.take(f.name, int64(len(p))); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

// A disk that is really full, without a floor that would have kept it from
// being: whatever happens, what was acknowledged is there, batches are whole, and
// the log either goes on by itself or says that it has failed.
func TestFullDisk(t *testing.T) {
	t.Parallel()

	// Where exactly the room ends decides what meets the end: the log of writes, a
	// table, or the list of tables.
	for size := int64(2 * mib); size < 3*mib; size += mib / 4 {
		t.Run(fmt.Sprintf("of %d KiB", size>>10), func(t *testing.T) {
			t.Parallel()
			fs := newQuota(vfs.NewMem(), size)
			fillAndGoOn(t, fs, "log", func() { fs.add(100 * mib) })
		})
	}

	t.Run("of its own", func(t *testing.T) {
		t.Parallel()
		dir, left := t.TempDir(), int64(gib)
		if err := mountSmall(dir, 64); err != nil {
			// The test above is the same on a file system of its own making.
			t.Logf("no small disk can be mounted here (%v): the folder's own disk is not filled", err)
			dir, left = filepath.Join(dir, "quota"), 14*mib
		} else {
			t.Cleanup(func() {
				if err := unmount(dir); err != nil {
					t.Errorf("unmount: %v", err)
				}
			})
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		ballast := filepath.Join(dir, "ballast")
		if err := os.WriteFile(ballast, make([]byte, 50*mib), 0o600); err != nil {
			t.Fatal(err)
		}
		fs := newQuota(vfs.Default, left)
		fillAndGoOn(t, fs, filepath.Join(dir, "log"), func() {
			if err := os.Remove(ballast); err != nil {
				t.Error(err)
			}
			fs.add(100 * mib)
		})
	})
}

// fillAndGoOn appends until the disk is full and somebody makes room.
func fillAndGoOn(t *testing.T, fs *quota, dir string, makeRoom func()) {
	t.Helper()
	log, err := storage.Open(storage.Options{FS: fs, Dir: dir, Floor: storage.NoFloor, Logger: quiet, MemTableSize: mib / 4})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer func() { _ = log.Close() }()
	var mu sync.Mutex
	acknowledged := map[string]int64{}
	one := func() error {
		for w := range 3 {
			stream := fmt.Sprintf("writer-%d", w)
			if err := putLarge(t, log, stream); err != nil {
				return err
			}
			mu.Lock()
			acknowledged[stream] += batch
			mu.Unlock()
		}
		return nil
	}
	var full error
	for i := 0; full == nil; i++ {
		if i > 10_000 {
			t.Fatal("the disk does not get full")
		}
		// An append that Pebble had made wait, when the disk was not full yet, waits
		// for room, and does not hear of a failure: the log's owner does.
		ended := start(one)
		select {
		case full = <-ended:
			continue
		case <-log.Failed():
			full = log.Err()
			continue
		case <-time.After(time.Second):
		}
		makeRoom()
		makeRoom = func() {}
		select {
		case err := <-ended:
			full = errors.Join(err, storage.ErrFull)
		case <-log.Failed():
			full = log.Err()
		case <-time.After(bound):
			t.Fatal("an append that waited for room does not go on")
		}
	}
	makeRoom()
	read := log
	switch {
	case errors.Is(full, storage.ErrFailed) && log.Err() == nil:
		t.Fatalf("an append got %v, the log says nothing", full)
	case errors.Is(full, storage.ErrFull):
		eventually(t, "appends go on", func() bool { return one() == nil })
	case errors.Is(full, storage.ErrFailed):
		if err := one(); !errors.Is(err, storage.ErrFailed) {
			t.Fatalf("an append after the failure got %v", err)
		}
		// Its folder stays locked, so that a copy tells what is there.
		fs.freeze()
		read = openOn(t, storage.Options{FS: fs.FS, Dir: copyOf(t, fs.FS, dir)})
	default:
		t.Fatalf("the full disk is %v", full)
	}
	last := map[string]int64{}
	events := mustAll(t, read)
	checkRevisions(t, events)
	for _, e := range events {
		last[string(e.Stream)]++
	}
	mu.Lock()
	defer mu.Unlock()
	for stream, n := range acknowledged {
		if last[stream] < n || last[stream]%batch != 0 {
			t.Errorf("%s has %d events, %d were acknowledged in batches of %d", stream, last[stream], n, batch)
		}
	}
}

// putLarge appends a batch of what cannot be compressed.
func putLarge(t *testing.T, log *storage.Log, stream string) error {
	t.Helper()
	return log.Commit(t.Context(), func(tx *storage.Tx) error {
		s, err := tx.Stream(stream)
		if err != nil {
			return err
		}
		for range batch {
			s.Last++
			e := storage.NewEvent{ID: [16]byte{1}, Type: "large", Data: make([]byte, 8<<10)}
			_, _ = rand.Read(e.Data) // never fails
			tx.Put(stream, uint64(s.Last), &e)
		}
		tx.PutStream(stream, s)
		return nil
	})
}

func copyOf(t *testing.T, fs vfs.FS, dir string) string {
	t.Helper()
	to := dir + "-copy"
	ok, err := vfs.Clone(fs, fs, dir, to, vfs.CloneSync, vfs.CloneSkip(func(name string) bool { return filepath.Base(name) == "LOCK" }))
	if err != nil || !ok {
		t.Fatalf("copy the log's folder: %v", err)
	}
	return to
}
