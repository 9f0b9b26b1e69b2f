package storage_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// disk is a file system in memory whose syncs of the write-ahead log can be
// held up, and made to fail.
type disk struct {
	vfs.FS

	mu      sync.Mutex
	cond    *sync.Cond
	held    bool
	failing bool
	waiting int
	syncs   int
}

var errDisk = errors.New("the disk is gone")

// onDisk opens a log on a disk of its own, which lets go of whatever it holds up
// before the log is closed.
func onDisk(t *testing.T) (*disk, *storage.Log) {
	t.Helper()
	d := newDisk()
	log := openOn(t, storage.Options{FS: d, Dir: "log"})
	t.Cleanup(func() { d.set(false, d.failing) })
	return d, log
}

func newDisk() *disk {
	d := &disk{}
	d.cond = sync.NewCond(&d.mu)
	d.FS = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		isSync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if !isSync || filepath.Ext(op.Path) != ".log" {
			return nil
		}
		return d.sync()
	}))
	return d
}

func (d *disk) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting++
	d.syncs++
	d.cond.Broadcast()
	for d.held {
		d.cond.Wait()
	}
	d.waiting--
	if d.failing {
		return errDisk
	}
	return nil
}

func (d *disk) set(held, failing bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held, d.failing = held, failing
	d.cond.Broadcast()
}

func (d *disk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

// awaitSync waits until a sync is being held up.
func (d *disk) awaitSync() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.waiting == 0 {
		d.cond.Wait()
	}
}

// start runs f and tells when it has ended.
func start(f func() error) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	return ended
}

func wantEnd(t *testing.T, what string, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(bound):
		t.Fatalf("%s does not end", what)
		return nil
	}
}

// stillWaits gives what would be wrong a moment to happen. It can miss a fault,
// it cannot invent one.
func stillWaits(t *testing.T, what string, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		t.Fatalf("%s ended before the sync it rests on: %v", what, err)
	case <-time.After(20 * time.Millisecond):
	}
}

func TestDurability(t *testing.T) {
	t.Parallel()

	t.Run("is what a commit and all that rests on it wait for", func(t *testing.T) {
		t.Parallel()
		d, log := onDisk(t)
		first := mustPut(t, log, "s", 1)

		d.set(true, false)
		commit := start(func() error { _, err := put(context.Background(), log, "s", 1); return err })
		d.awaitSync()
		refused := errors.New("the stream is elsewhere")
		conflict := start(func() error {
			return log.Commit(context.Background(), func(*storage.Tx) error { return refused })
		})
		repeat := start(func() error {
			return log.Commit(context.Background(), func(*storage.Tx) error { return nil })
		})
		state := start(func() error { _, err := log.Stream(context.Background(), "s"); return err })
		stillWaits(t, "the commit", commit)
		stillWaits(t, "a refusal", conflict)
		stillWaits(t, "a repetition", repeat)
		stillWaits(t, "the stream's state", state)
		if log.Head() != first {
			t.Fatalf("the head is at %d, the sync is at %d", log.Head(), first)
		}
		if got := texts(mustAll(t, log)); !slices.Equal(got, []string{"s@0"}) {
			t.Fatalf("a reader sees %v", got)
		}

		d.set(false, false)
		for what, ended := range map[string]<-chan error{"commit": commit, "repetition": repeat, "state": state} {
			if err := wantEnd(t, what, ended); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := wantEnd(t, "refusal", conflict); !errors.Is(err, refused) {
			t.Errorf("refusal: %v", err)
		}
		if got := texts(mustAll(t, log)); !slices.Equal(got, []string{"s@0", "s@1"}) {
			t.Fatalf("a reader sees %v", got)
		}
	})

	t.Run("lets a waiting reader leave", func(t *testing.T) {
		t.Parallel()
		d, log := onDisk(t)
		d.set(true, false)
		commit := start(func() error { _, err := put(context.Background(), log, "s", 1); return err })
		d.awaitSync()
		ctx, cancel := context.WithCancel(t.Context())
		state := start(func() error { _, err := log.Stream(ctx, "s"); return err })
		stillWaits(t, "the stream's state", state)
		cancel()
		if err := wantEnd(t, "the stream's state", state); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		d.set(false, false)
		if err := wantEnd(t, "the commit", commit); err != nil {
			t.Error(err)
		}
	})

	t.Run("costs concurrent commits one sync together", func(t *testing.T) {
		t.Parallel()
		d, log := onDisk(t)
		const n = 50
		d.set(true, false)
		var commits []<-chan error
		commit := func(i int) {
			commits = append(commits, start(func() error {
				return log.Commit(context.Background(), func(tx *storage.Tx) error {
					tx.Put(fmt.Sprint("s", i), 0, eventOf("s", 0))
					return nil
				})
			}))
		}
		before := d.count()
		commit(0)
		d.awaitSync()
		for i := range n {
			commit(i)
		}
		eventually(t, "all to wait", func() bool { return log.Waiting() == n })
		d.set(false, false)
		for _, c := range commits {
			if err := wantEnd(t, "a commit", c); err != nil {
				t.Fatal(err)
			}
		}
		if syncs := d.count() - before; syncs != 2 {
			t.Errorf("%d commits took %d syncs, want one that was held up and one for all that gathered behind it", n+1, syncs)
		}
	})

	t.Run("that fails ends the log", func(t *testing.T) {
		t.Parallel()
		d, log := onDisk(t)
		head := mustPut(t, log, "s", 1)

		d.set(true, true)
		commit := start(func() error { _, err := put(context.Background(), log, "s", 1); return err })
		d.awaitSync()
		state := start(func() error { _, err := log.Stream(context.Background(), "s"); return err })
		stillWaits(t, "the stream's state", state)
		d.set(false, true)

		if err := wantEnd(t, "the commit", commit); !errors.Is(err, storage.ErrFailed) {
			t.Errorf("the commit got %v", err)
		}
		if err := wantEnd(t, "the stream's state", state); !errors.Is(err, storage.ErrFailed) {
			t.Errorf("the stream's state got %v", err)
		}
		select {
		case <-log.Failed():
		case <-time.After(bound):
			t.Fatal("the log does not say that it failed")
		}
		// A disk that works again proves nothing about what it has lost.
		d.set(false, false)
		if _, err := put(t.Context(), log, "s", 1); !errors.Is(err, storage.ErrFailed) {
			t.Errorf("the next commit got %v", err)
		}
		if log.Head() != head {
			t.Errorf("the head moved to %d", log.Head())
		}
		if err := log.Close(); !errors.Is(err, storage.ErrFailed) {
			t.Errorf("Close got %v", err)
		}
	})
}

// TestCrash cuts the power again and again while writers write. What was
// acknowledged, and what a reader could see, is there afterwards; batches are
// whole or absent; and the log goes on.
func TestCrash(t *testing.T) {
	t.Parallel()
	const (
		rounds  = 10
		writers = 8
	)
	random := rand.New(rand.NewPCG(1, 2))
	fs := vfs.NewCrashableMem()
	acknowledged := map[string]int64{} // by stream: its last revision
	var past []storage.Event
	for round := range rounds {
		log, err := storage.Open(storage.Options{FS: fs, Dir: "log", Logger: quiet})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		events := mustAll(t, log)
		checkContinuation(t, past, events)
		checkWhole(t, events, acknowledged)
		// Whatever can be read after a crash has to survive the next one, even if
		// it comes at once.
		again := openOn(t, storage.Options{FS: fs.CrashClone(vfs.CrashCloneCfg{}), Dir: "log"})
		checkContinuation(t, events, mustAll(t, again))
		if err := again.Close(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}

		crash := writeUntilCrash(log, fs, writers, random)
		past = crash.seen
		acknowledged = crash.acknowledged
		fs = crash.fs
	}
}

type crash struct {
	fs           *vfs.MemFS
	acknowledged map[string]int64
	seen         []storage.Event
}

const batch = 3

// writeUntilCrash has writers append batches and clones what a crash at a random
// moment would leave on the disk.
func writeUntilCrash(log *storage.Log, fs *vfs.MemFS, writers int, random *rand.Rand) crash {
	var mu sync.Mutex
	acks := map[string]int64{}
	enough := make(chan struct{})
	left := 20 + random.IntN(100)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			stream := fmt.Sprint("writer-", w)
			for ctx.Err() == nil {
				if _, err := put(ctx, log, stream, batch); err != nil {
					return
				}
				s, err := log.Stream(ctx, stream)
				if err != nil {
					return
				}
				mu.Lock()
				acks[stream] = s.Last
				if left--; left == 0 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	var c crash
	c.seen, _ = all(log)
	mu.Lock()
	c.acknowledged = maps.Clone(acks)
	mu.Unlock()
	unsynced := []int{0, 0, 50, 100}[random.IntN(4)]
	c.fs = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: random})
	cancel()
	running.Wait()
	_ = log.Close()
	return c
}

func checkContinuation(t *testing.T, past, now []storage.Event) {
	t.Helper()
	if len(now) < len(past) {
		t.Fatalf("a reader saw %d events, %d are left", len(past), len(now))
	}
	for i, e := range past {
		if n := now[i]; n.Position != e.Position || string(n.Data) != string(e.Data) {
			t.Fatalf("a reader saw %s at %d, now it is %s at %d", e.Data, e.Position, n.Data, n.Position)
		}
	}
}

func checkWhole(t *testing.T, events []storage.Event, acknowledged map[string]int64) {
	t.Helper()
	last := map[string]int64{}
	for i, e := range events {
		stream := string(e.Stream)
		if want := last[stream]; int64(e.Revision) != want {
			t.Fatalf("event %d of %s comes where %d is due", e.Revision, stream, want)
		}
		last[stream]++
		if i%batch != 0 && string(events[i-1].Stream) != stream {
			t.Fatalf("a batch of %s is broken before event %d", events[i-1].Stream, e.Revision)
		}
	}
	if len(events)%batch != 0 {
		t.Fatalf("the last of %d events is part of a batch", len(events))
	}
	for stream, revision := range acknowledged {
		if last[stream] <= revision {
			t.Fatalf("%s was acknowledged up to %d and has %d events", stream, revision, last[stream])
		}
	}
}
