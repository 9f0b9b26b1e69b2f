package storage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// gather has commits wait for one that is being decided, in their order, and lets
// them go together. It gives what became of each.
func gather(t *testing.T, log *storage.Log, commits ...func() error) []error {
	t.Helper()
	deciding, release := make(chan struct{}), make(chan struct{})
	first := start(func() error {
		return log.Commit(context.Background(), func(*storage.Tx) error {
			close(deciding)
			<-release
			return nil
		})
	})
	<-deciding
	var ended []<-chan error
	for i, commit := range commits {
		ended = append(ended, start(commit))
		eventually(t, "the next to wait", func() bool { return log.Waiting() == i+1 })
	}
	close(release)
	if err := wantEnd(t, "the first commit", first); err != nil {
		t.Fatal(err)
	}
	var errs []error
	for i := range ended {
		errs = append(errs, wantEnd(t, fmt.Sprintf("commit %d", i), ended[i]))
	}
	return errs
}

func TestGroup(t *testing.T) {
	t.Parallel()

	t.Run("shows each decision what those before it put", func(t *testing.T) {
		t.Parallel()
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log"})
		add := func() error { _, err := put(t.Context(), log, "s", 2); return err }
		var seen []string
		look := func() error {
			return log.Commit(t.Context(), func(tx *storage.Tx) error {
				s, err := tx.Stream("s")
				if err != nil {
					return err
				}
				e, found, err := tx.Event("s", uint64(s.Last))
				if err != nil || !found {
					return fmt.Errorf("event %d: %t, %w", s.Last, found, err)
				}
				seen = append(seen, string(e.Data))
				return nil
			})
		}
		for i, err := range gather(t, log, add, look, add, look) {
			if err != nil {
				t.Errorf("commit %d: %v", i, err)
			}
		}
		if want := []string{"s@1", "s@3"}; !slices.Equal(seen, want) {
			t.Errorf("saw %v, want %v", seen, want)
		}
		if got, want := texts(mustAll(t, log)), []string{"s@0", "s@1", "s@2", "s@3"}; !slices.Equal(got, want) {
			t.Errorf("the log has %v, want %v", got, want)
		}
	})

	t.Run("leaves nothing of a decision that failed", func(t *testing.T) {
		t.Parallel()
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log"})
		refused := errors.New("refused")
		accepted := false
		add := func(stream string) func() error {
			return func() error { _, err := put(t.Context(), log, stream, 1); return err }
		}
		fail := func() error {
			return log.Commit(t.Context(), func(tx *storage.Tx) error {
				tx.Put("b", 0, eventOf("b", 0))
				tx.PutStream("b", storage.Stream{Last: 0})
				tx.OnAccepted(func() { accepted = true })
				return refused
			})
		}
		errs := gather(t, log, add("a"), fail, add("b"), add("a"))
		if errs[0] != nil || !errors.Is(errs[1], refused) || errs[2] != nil || errs[3] != nil {
			t.Errorf("got %v", errs)
		}
		if got, want := texts(mustAll(t, log)), []string{"a@0", "b@0", "a@1"}; !slices.Equal(got, want) || accepted {
			t.Errorf("the log has %v, want %v; the failed one was accepted: %t", got, want, accepted)
		}
	})

	t.Run("is none the worse for a decision that panics", func(t *testing.T) {
		t.Parallel()
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log"})
		add := func() error { _, err := put(t.Context(), log, "s", 1); return err }
		caught := make(chan any, 1)
		errs := gather(t, log, add, func() error {
			defer func() { caught <- recover() }()
			return log.Commit(t.Context(), func(tx *storage.Tx) error {
				tx.Put("s", 7, eventOf("s", 7))
				panic("a fault of the caller's")
			})
		}, add)
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		if p := fmt.Sprint(<-caught); !strings.Contains(p, "a fault of the caller's") {
			t.Errorf("its caller got %v", p)
		}
		if got := texts(mustAll(t, log)); !slices.Equal(got, []string{"s@0", "s@1"}) {
			t.Errorf("the log has %v", got)
		}
	})

	t.Run("lets one that waits leave", func(t *testing.T) {
		t.Parallel()
		d, log := onDisk(t)
		d.set(true, false)
		add := func(ctx context.Context) <-chan error {
			return start(func() error { _, err := put(ctx, log, "s", 1); return err })
		}
		held := add(context.Background())
		d.awaitSync()
		ctx, cancel := context.WithCancel(t.Context())
		first, second := add(ctx), add(context.Background())
		eventually(t, "both to wait", func() bool { return log.Waiting() == 2 })
		cancel()
		if err := wantEnd(t, "the one that leaves", first); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		d.set(false, false)
		if err := errors.Join(wantEnd(t, "the first commit", held), wantEnd(t, "the second commit", second)); err != nil {
			t.Error(err)
		}
		if got := texts(mustAll(t, log)); !slices.Equal(got, []string{"s@0", "s@1"}) {
			t.Errorf("the log has %v", got)
		}
	})

	t.Run("is one sync, and as many commits", func(t *testing.T) {
		t.Parallel()
		var mu sync.Mutex
		var syncs []int
		commits := 0
		log := openOn(t, storage.Options{
			FS: vfs.NewMem(), Dir: "log",
			OnCommit: func(storage.Committed) { mu.Lock(); defer mu.Unlock(); commits++ },
			OnSync: func(s storage.Synced) {
				mu.Lock()
				defer mu.Unlock()
				if s.Commits > 0 {
					syncs = append(syncs, s.Commits)
				}
			},
		})
		mustPut(t, log, "s", 1)
		var adds []func() error
		for range 20 {
			adds = append(adds, func() error { _, err := put(t.Context(), log, "s", 1); return err })
		}
		if errs := errors.Join(gather(t, log, adds...)...); errs != nil {
			t.Fatal(errs)
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(syncs, []int{1, 20}) || commits != 21 {
			t.Errorf("syncs of %v, %d commits", syncs, commits)
		}
	})

	t.Run("is bounded, and the next goes on where it ends", func(t *testing.T) {
		t.Parallel()
		log := openOn(t, storage.Options{FS: vfs.NewMem(), Dir: "log"})
		var adds []func() error
		for range 600 {
			adds = append(adds, func() error { _, err := put(t.Context(), log, "s", 1); return err })
		}
		if errs := errors.Join(gather(t, log, adds...)...); errs != nil {
			t.Fatal(errs)
		}
		checkRevisions(t, mustAll(t, log))
		if s, err := log.Stream(t.Context(), "s"); err != nil || s.Last != 599 {
			t.Errorf("the stream is at %d, %v", s.Last, err)
		}
	})

	t.Run("fails as one", func(t *testing.T) {
		t.Parallel()
		d, log := onDisk(t)
		d.set(true, true)
		add := func() error { _, err := put(context.Background(), log, "s", 1); return err }
		release := start(func() error { d.awaitSync(); d.set(false, true); return nil })
		for i, err := range gather(t, log, add, add, add) {
			if !errors.Is(err, storage.ErrFailed) {
				t.Errorf("commit %d got %v", i, err)
			}
		}
		if err := wantEnd(t, "the sync", release); err != nil {
			t.Fatal(err)
		}
		if err := add(); !errors.Is(err, storage.ErrFailed) {
			t.Errorf("after it: %v", err)
		}
	})
}
