package feed_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/esnode"
	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/eventlog/eventlogtest"
	"github.com/g4fagent/g4fagent/internal/feed"
)

const patience = 20 * time.Second

// clock is a time that moves when a test says so.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

// seen is what a watcher was told.
type seen struct {
	mu    sync.Mutex
	names []string
}

func (s *seen) watch(r eventlog.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, fmt.Sprint(r.Stream, " ", r.Revision))
}

func (s *seen) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.names)
}

func appendTo(t testing.TB, log *eventlog.Log, stream string) eventlog.Position {
	t.Helper()
	receipt, err := log.Append(t.Context(), stream, eventlog.Any, eventlog.Event{
		ID: uuid.New(), Stored: eventschema.Stored{Name: "test.happened", Version: 1, Data: []byte(`{}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return receipt.Position
}

// run runs the feed until stop, which waits for it.
func run(t testing.TB, f *feed.Feed) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the feed ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestEveryWatcherIsToldOfEverythingFromTheBeginningOn(t *testing.T) {
	t.Parallel()
	log := eventlogtest.Open(t)
	appendTo(t, log, "before")
	f := feed.New(log, time.Now)
	var one, two seen
	f.Watch(one.watch)
	f.Watch(two.watch)
	run(t, f)
	if err := f.Begun(soon(t)); err != nil {
		t.Fatal(err)
	}
	var want []string
	var last eventlog.Position
	for i := range 50 {
		last = appendTo(t, log, "a")
		want = append(want, fmt.Sprint("a ", i))
	}
	if err := f.Wait(soon(t), last); err != nil {
		t.Fatal(err)
	}
	if f.Position() != last {
		t.Errorf("the feed is at %s, the log at %s", f.Position(), last)
	}
	for _, s := range []*seen{&one, &two} {
		if got := s.all(); !slices.Equal(got, want) {
			t.Errorf("told of %q", got)
		}
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f := feed.New(eventlogtest.Open(t), time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Wait(ctx, eventlog.Position{Commit: 1, Prepare: 1}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := f.Begun(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Whoever asks how long the feed was silent must not take a feed that has not
// begun for one that has nothing to tell.
func TestAFeedThatHasNotBegunIsSilentForEver(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := feed.New(eventlogtest.Open(t), c.Now)
	if f.Silent() != math.MaxInt64 {
		t.Errorf("silent for %s", f.Silent())
	}
	run(t, f)
	if err := f.Begun(soon(t)); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Hour)
	if f.Silent() != 0 {
		t.Errorf("silent for %s", f.Silent())
	}
}

func TestAFeedOutlivesTheLogsOutage(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "feed") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	fs := vfs.NewMem()
	start := func() *esnodetest.Node {
		return esnodetest.Start(t, func(o *esnode.Options) { o.FS, o.Listen = fs, "unix:"+filepath.Join(dir, "s") })
	}
	node := start()
	log := eventlogtest.At(t, node.Addr())
	c := newClock()
	f := feed.New(log, c.Now)
	var s seen
	f.Watch(s.watch)
	stop := run(t, f)
	if err := f.Begun(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := f.Wait(soon(t), appendTo(t, log, "a")); err != nil {
		t.Fatal(err)
	}
	if err := node.Close(soon(t)); err != nil {
		t.Fatal(err)
	}
	for late := time.After(patience); f.Silent() == 0; {
		select {
		case <-late:
			t.Fatal("the feed did not notice that the log is away")
		default:
		}
	}
	c.pass(7 * time.Second)
	if f.Silent() < 7*time.Second || f.Silent() == math.MaxInt64 {
		t.Errorf("silent for %s", f.Silent())
	}
	start()
	t.Cleanup(func() { // before the store ends: the client's calls end while they find one
		if err := log.Close(soon(t)); err != nil {
			t.Error(err)
		}
	})
	if err := log.Ready(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := f.Wait(soon(t), appendTo(t, log, "a")); err != nil {
		t.Fatal(err)
	}
	stop()
	if got := s.all(); !slices.Equal(got, []string{"a 0", "a 1"}) {
		t.Errorf("told of %q", got)
	}
}
