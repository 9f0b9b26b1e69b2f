package reactors_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// history is the whole log as it grows.
type history struct {
	t    *testing.T
	mu   sync.Mutex
	all  []eventlog.Record
	grew chan struct{}
}

func follow(t *testing.T, log *eventlog.Log) *history {
	t.Helper()
	h := &history{t: t, grew: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := log.Follow(ctx, eventlog.Position{}, func(item eventlog.Item) error {
			if !item.CaughtUp && !item.Lost {
				h.add(item.Record)
			}
			return nil
		})
		if ctx.Err() == nil {
			t.Errorf("follow the log: %v", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return h
}

func (h *history) add(r eventlog.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, r)
	close(h.grew)
	h.grew = make(chan struct{})
}

// records are those of a stream, of all if it is empty, so far.
func (h *history) records(stream string) ([]eventlog.Record, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []eventlog.Record
	for _, r := range h.all {
		if stream == "" || r.Stream == stream {
			found = append(found, r)
		}
	}
	return found, h.grew
}

// names of a stream's events, in order.
func (h *history) names(stream string) []string {
	records, _ := h.records(stream)
	names := make([]string, len(records))
	for i, r := range records {
		names[i] = r.Stored.Name
	}
	return names
}

// await waits until a stream has n events of a name, and returns the nth.
func (h *history) await(stream, name string, n int) eventlog.Record {
	h.t.Helper()
	late := time.After(patience)
	for {
		records, grew := h.records(stream)
		found := 0
		for _, r := range records {
			if r.Stored.Name == name {
				if found++; found == n {
					return r
				}
			}
		}
		select {
		case <-grew:
		case <-late:
			h.t.Fatalf("%s has no %s number %d within %s: %q", stream, name, n, patience, h.names(stream))
		}
	}
}

// mustBe compares the stream's events with these.
func (h *history) mustBe(stream string, want ...string) {
	h.t.Helper()
	if got := h.names(stream); !slices.Equal(got, want) {
		h.t.Errorf("%s holds\n  %q, want\n  %q", stream, got, want)
	}
}

func read[E eventschema.Event](t *testing.T, r eventlog.Record) E {
	t.Helper()
	ev, err := eventschema.All.Decode(r.Stored, keys{})
	if err != nil {
		t.Fatal(err)
	}
	e, ok := ev.(E)
	if !ok {
		t.Fatalf("%s at %d is %s", r.Stream, r.Revision, r.Stored.Name)
	}
	return e
}
