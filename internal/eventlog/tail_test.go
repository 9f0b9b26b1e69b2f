package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/internal/esnode/esnodetest"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// measured is a log with its metrics.
func measured(t *testing.T) (*eventlog.Log, func(name string) float64) {
	t.Helper()
	registry := prometheus.NewRegistry()
	log, err := eventlog.Open(t.Context(), eventlog.Options{
		Address: esnodetest.Start(t).Addr(), Logger: slog.New(slog.DiscardHandler), Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := log.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return log, func(name string) float64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == name {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatalf("there is no metric %s", name)
		return 0
	}
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// witness follows a log and notes what it sees.
type witness struct {
	mu       sync.Mutex
	caughtUp bool
	seen     []string
	blocked  chan struct{} // when not nil, the witness waits for it at each record
	end      func()
}

func witnesses(t *testing.T, log *eventlog.Log, after eventlog.Position, blocked chan struct{}) *witness {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	w := &witness{blocked: blocked}
	ended := make(chan error, 1)
	go func() { ended <- log.Follow(ctx, after, w.take) }()
	w.end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the follower ended with %v", err)
		}
	})
	t.Cleanup(w.end)
	return w
}

func (w *witness) take(item eventlog.Item) error {
	if w.blocked != nil && item.Record.Stream != "" {
		<-w.blocked
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case item.CaughtUp:
		w.caughtUp = true
	case !item.Lost:
		w.seen = append(w.seen, fmt.Sprint(item.Record.Stream, item.Record.Revision))
	}
	return nil
}

func (w *witness) live() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.caughtUp
}

func (w *witness) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.seen, " ")
}

func put(t *testing.T, log *eventlog.Log, stream string, bytes int) eventlog.Position {
	t.Helper()
	e := event("test.put")
	e.Stored.Data = []byte(`"` + strings.Repeat("x", bytes) + `"`)
	receipt, err := log.Append(t.Context(), stream, eventlog.Any, e)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.Position
}

func TestFollowersWhoHaveCaughtUpShareASubscription(t *testing.T) {
	t.Parallel()
	log, gauge := measured(t)
	put(t, log, "a", 1)
	middle := put(t, log, "a", 1)
	put(t, log, "a", 1)
	var all []*witness
	for range 3 {
		all = append(all, witnesses(t, log, eventlog.Position{}, nil), witnesses(t, log, middle, nil))
	}
	for _, w := range all {
		eventually(t, "every follower has caught up", w.live)
	}
	shared := func() bool { return gauge("g4fagent_eventlog_subscriptions") == 1 }
	eventually(t, "one subscription is left", shared)
	if n := gauge("g4fagent_eventlog_followers"); n != float64(len(all)) {
		t.Errorf("%v followers", n)
	}
	for range 3 {
		put(t, log, "a", 1)
	}
	late := witnesses(t, log, middle, nil)
	for i, w := range append(all, late) {
		want := "a0 a1 a2 a3 a4 a5"
		if i%2 == 1 || w == late {
			want = "a2 a3 a4 a5"
		}
		eventually(t, "every follower has seen "+want, func() bool { return w.all() == want })
	}
	eventually(t, "one subscription is left", shared)
	for _, w := range append(all, late) {
		w.end()
	}
	if n := gauge("g4fagent_eventlog_subscriptions"); n != 0 {
		t.Errorf("nobody follows, and there are %v subscriptions", n)
	}
}

// Of 12 MB a tail keeps four.
func TestASlowFollowerKeepsNobodyWaitingAndMissesNothing(t *testing.T) {
	t.Parallel()
	log, gauge := measured(t)
	gate := make(chan struct{})
	slow, quick := witnesses(t, log, eventlog.Position{}, gate), witnesses(t, log, eventlog.Position{}, nil)
	eventually(t, "both have caught up", func() bool { return slow.live() && quick.live() })
	eventually(t, "they share a subscription", func() bool { return gauge("g4fagent_eventlog_subscriptions") == 1 })
	var want []string
	for i := range 15 {
		put(t, log, "a", 800<<10)
		want = append(want, fmt.Sprint("a", i))
	}
	eventually(t, "the quick one has seen everything", func() bool { return quick.all() == strings.Join(want, " ") })
	if got := slow.all(); got != "" {
		t.Fatalf("the slow one has seen %q", got)
	}
	close(gate)
	eventually(t, "the slow one has seen everything", func() bool { return slow.all() == strings.Join(want, " ") })
	put(t, log, "a", 1)
	want = append(want, "a15")
	for _, w := range []*witness{slow, quick} {
		eventually(t, "both go on", func() bool { return w.all() == strings.Join(want, " ") })
	}
	eventually(t, "they share a subscription again", func() bool { return gauge("g4fagent_eventlog_subscriptions") == 1 })
}
