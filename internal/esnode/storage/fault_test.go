package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

const (
	faultCommits  = 32
	faultStreams  = 4
	faultMemTable = 64 << 10 // so that tables are made and merged within the test
)

// faultWork appends batches until it is done, or a commit fails, or the log does.
// It tells what was acknowledged.
type faultWork struct {
	mu           sync.Mutex
	acknowledged [faultStreams]int
}

func (w *faultWork) count() [faultStreams]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acknowledged
}

func (w *faultWork) run(t *testing.T, log *storage.Log) error {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 8))
	data := make([]byte, 3<<10)
	ended := start(func() error {
		for i := range faultCommits {
			for j := range data {
				data[j] = byte(random.Uint32())
			}
			stream := i % faultStreams
			err := log.Commit(t.Context(), func(tx *storage.Tx) error {
				name := fmt.Sprint("s", stream)
				s, err := tx.Stream(name)
				if err != nil {
					return err
				}
				for range batch {
					s.Last++
					tx.Put(name, uint64(s.Last), &storage.NewEvent{ID: [16]byte{1}, Type: "test", Data: data})
				}
				tx.PutStream(name, s)
				return nil
			})
			if err != nil {
				return err
			}
			w.mu.Lock()
			w.acknowledged[stream] += batch
			w.mu.Unlock()
		}
		return nil
	})
	select {
	case err := <-ended:
		return err
	case <-log.Failed():
		return log.Err()
	case <-time.After(bound):
		t.Fatal("a commit does not end, and the log has not failed")
		return nil
	}
}

// wantAll opens what a crash left, and finds what was acknowledged, whole batches
// and a sound log.
func wantAll(t *testing.T, what string, fs vfs.FS, acknowledged [faultStreams]int) {
	t.Helper()
	v, err := storage.Verify(t.Context(), storage.VerifyOptions{FS: fs, Dir: "log"})
	if errors.Is(err, storage.ErrNoLog) && acknowledged == [faultStreams]int{} {
		return // not even the folder was durable
	}
	if err != nil || len(v.Damage) > 0 {
		// A crash within the first start leaves a store without a format.
		if v.Events == 0 && acknowledged == [faultStreams]int{} && err == nil {
			return
		}
		t.Fatalf("%s: %v, %v", what, err, v.Damage)
	}
	log, err := storage.Open(storage.Options{FS: fs, Dir: "log", Logger: quiet})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer func() { _ = log.Close() }()
	events, err := all(log)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	checkRevisions(t, events)
	var there [faultStreams]int
	for _, e := range events {
		there[e.Stream[1]-'0']++
	}
	for i, n := range acknowledged {
		if there[i] < n || there[i]%batch != 0 {
			t.Fatalf("%s: stream %d has %d events, %d were acknowledged", what, i, there[i], n)
		}
	}
	mustPut(t, log, "after", 1)
}

func changes(op errorfs.Op) bool {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpLink, errorfs.OpRename, errorfs.OpReuseForWrite, errorfs.OpMkdirAll, errorfs.OpOpenDir,
		errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpFileClose:
		return true
	default:
		return false
	}
}

// One operation on the disk fails, each in turn, once or for good. Whatever becomes
// of the log: what it acknowledged is there after a crash that drops everything not
// synced.
func TestEveryFault(t *testing.T) {
	t.Parallel()
	count := func() int64 {
		var n atomic.Int64
		fs := errorfs.Wrap(vfs.NewCrashableMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if changes(op) {
				n.Add(1)
			}
			return nil
		}))
		log := openOn(t, storage.Options{FS: fs, Dir: "log", MemTableSize: faultMemTable})
		if err := new(faultWork).run(t, log); err != nil {
			t.Fatal(err)
		}
		return n.Load()
	}()
	if count < 100 {
		t.Fatalf("only %d operations: this proves little", count)
	}
	const runs = 60
	failed, went := 0, 0
	for run := range int64(runs) {
		at, forGood := 1+run*count/runs, run%2 == 0
		disk := vfs.NewCrashableMem()
		var n atomic.Int64
		var what atomic.Value
		fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if !changes(op) {
				return nil
			}
			i := n.Add(1)
			if i == at {
				what.Store(fmt.Sprintf("operation %d (%v of %s) fails, for good: %t", i, op.Kind, op.Path, forGood))
			}
			if i == at || i > at && forGood {
				return errDisk
			}
			return nil
		}))
		var work faultWork
		log, err := storage.Open(storage.Options{FS: fs, Dir: "log", Logger: quiet, MemTableSize: faultMemTable})
		if err == nil {
			err = work.run(t, log)
			if err != nil && !errors.Is(err, storage.ErrFailed) && !errors.Is(err, storage.ErrFull) {
				t.Errorf("%v: a commit got %v", what.Load(), err)
			}
			if err == nil {
				went++
			} else {
				failed++
			}
		}
		acknowledged := work.count()
		wantAll(t, fmt.Sprint(what.Load()), disk.CrashClone(vfs.CrashCloneCfg{}), acknowledged)
		if log != nil {
			_ = log.Close()
		}
	}
	if failed == 0 {
		t.Error("no fault reached a commit: this proves little")
	}
	t.Logf("%d operations; %d runs failed, %d went on", count, failed, went)
}

// The power goes before each operation on the disk. What had been acknowledged by
// then is there.
func TestCrashAtEveryOperation(t *testing.T) {
	t.Parallel()
	type moment struct {
		what         string
		fs           *vfs.MemFS
		acknowledged [faultStreams]int
	}
	var mu sync.Mutex
	var moments []moment
	var work faultWork
	disk := vfs.NewCrashableMem()
	writes := 0
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !changes(op) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpFileClose {
			if writes++; writes%4 != 0 {
				return nil // they change nothing that is durable
			}
		}
		acknowledged := work.count()
		moments = append(moments, moment{fmt.Sprintf("before %v of %s", op.Kind, op.Path), disk.CrashClone(vfs.CrashCloneCfg{}), acknowledged})
		return nil
	}))
	log := openOn(t, storage.Options{FS: fs, Dir: "log", MemTableSize: faultMemTable})
	if err := work.run(t, log); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	all := moments
	mu.Unlock()
	if len(all) < 100 {
		t.Fatalf("only %d moments: this proves little", len(all))
	}
	step := max(1, len(all)/60)
	for i := 0; i < len(all); i += step {
		wantAll(t, all[i].what, all[i].fs, all[i].acknowledged)
	}
}

// A file that is torn or has a wrong bit is found out: the log does not open, or
// verification names it, or nothing that was there is missing. The end of the log
// of writes alone may be lost: a crash leaves it torn.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	log := openOn(t, storage.Options{FS: disk, Dir: "log", MemTableSize: faultMemTable})
	if err := new(faultWork).run(t, log); err != nil {
		t.Fatal(err)
	}
	whole := mustAll(t, log)
	dead := disk.CrashClone(vfs.CrashCloneCfg{})
	names, err := dead.List("log")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(9, 10))
	for _, name := range names {
		content := contentOf(t, dead, name)
		if len(content) == 0 {
			continue
		}
		for range 3 {
			at := random.IntN(len(content))
			flipped := bytes.Clone(content)
			flipped[at] ^= 1 << random.IntN(8)
			wantFound(t, fmt.Sprintf("bit at %d of %d of %s", at, len(content), name), replaced(t, dead, name, flipped), name, whole)
			wantFound(t, fmt.Sprintf("%s torn at %d of %d", name, at, len(content)), replaced(t, dead, name, content[:at]), name, whole)
		}
	}
}

func contentOf(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(fs.PathJoin("log", name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// replaced is a copy of a file system with one file's content replaced.
func replaced(t *testing.T, fs vfs.FS, name string, content []byte) vfs.FS {
	t.Helper()
	c := vfs.NewMem()
	if ok, err := vfs.Clone(fs, c, "log", "log", vfs.CloneSkip(func(p string) bool { return filepath.Base(p) == "LOCK" })); err != nil || !ok {
		t.Fatal(err)
	}
	f, err := c.Create(c.PathJoin("log", name), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(bytes.Clone(content))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return c
}

func wantFound(t *testing.T, what string, fs vfs.FS, name string, whole []storage.Event) {
	t.Helper()
	v, err := storage.Verify(t.Context(), storage.VerifyOptions{FS: fs, Dir: "log"})
	if err != nil || len(v.Damage) > 0 {
		return
	}
	if int(v.Events) == len(whole) {
		return
	}
	if filepath.Ext(name) != ".log" {
		t.Errorf("%s: %d of %d events are left and nothing says so", what, v.Events, len(whole))
		return
	}
	log, err := storage.Open(storage.Options{FS: fs, Dir: "log", Logger: quiet})
	if err != nil {
		return
	}
	defer func() { _ = log.Close() }()
	events, err := all(log)
	if err != nil || len(events)%batch != 0 {
		t.Errorf("%s: %d events, %v", what, len(events), err)
	}
	checkContinuation(t, events, whole)
	t.Logf("%s: %d of %d events are left", what, len(events), len(whole))
}

func TestFullDiskUnderACheckpoint(t *testing.T) {
	t.Parallel()
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite && strings.HasPrefix(op.Path, "copy/") {
			return syscall.ENOSPC
		}
		return nil
	}))
	log := openOn(t, storage.Options{FS: fs, Dir: "log"})
	mustPut(t, log, "s", 1)
	if err := log.Checkpoint("copy"); err == nil {
		t.Error("the checkpoint says that it was made")
	}
	mustPut(t, log, "s", 1)
	if err := log.Err(); err != nil {
		t.Errorf("the log has failed: %v", err)
	}
}
