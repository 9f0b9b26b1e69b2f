package persistent_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/persistent"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

const bound = time.Minute

func newEngine(t *testing.T) *engine.Engine {
	t.Helper()
	log, err := storage.Open(storage.Options{Dir: "log", FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return engine.New(engine.Options{Log: log})
}

func newHub(t *testing.T, e *engine.Engine) *persistent.Hub {
	t.Helper()
	h := persistent.New(persistent.Options{Engine: e})
	t.Cleanup(func() { h.Close(context.Canceled) })
	return h
}

func write(t *testing.T, e *engine.Engine, stream string, events int) {
	t.Helper()
	for range events {
		_, err := e.Append(t.Context(), engine.Append{Stream: stream, Expected: engine.Any, Events: []storage.NewEvent{{ID: uuid.New(), Type: "test"}}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func settings() persistent.Settings {
	return persistent.Settings{
		MaxRetryCount: 3, MessageTimeout: time.Minute, MinCheckpointCount: 1, MaxCheckpointCount: 5,
		LiveBufferSize: 10, ReadBatchSize: 4, HistoryBufferSize: 10,
	}
}

// TestNothingIsLost has consumers do what they like, and the hub restart when it
// likes: every event is settled, parked, or given again.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			chance := rand.New(rand.NewPCG(seed, 1))
			const events = 60
			e := newEngine(t)
			key := persistent.Key{Stream: "s", Group: "g"}
			hub := newHub(t, e)
			if err := hub.Create(ctx, key, settings()); err != nil {
				t.Fatal(err)
			}
			write(t, e, "s", events)
			settled := map[uint64]bool{}
			for len(settled) < events {
				consumer, err := hub.Connect(ctx, key, 1+chance.IntN(8))
				if err != nil {
					t.Fatal(err)
				}
				for range chance.IntN(40) {
					if len(settled) == events || !answer(ctx, t, consumer, chance, settled) {
						break
					}
				}
				switch chance.IntN(3) {
				case 0:
					hub.Close(context.Canceled)
					hub = newHub(t, e)
				case 1:
					if err := hub.ReplayParked(ctx, key, nil); err != nil {
						t.Fatal(err)
					}
					consumer.Close()
				default:
					consumer.Close()
				}
				if len(settled) < events && chance.IntN(4) == 0 {
					if err := hub.ReplayParked(ctx, key, nil); err != nil {
						t.Fatal(err)
					}
				}
				if ctx.Err() != nil {
					t.Fatalf("%d of %d events were settled", len(settled), events)
				}
			}
		})
	}
}

// answer takes one event and says something of it. It is false when nothing
// came for a while, as when the rest is parked.
func answer(ctx context.Context, t *testing.T, c *persistent.Consumer, chance *rand.Rand, settled map[uint64]bool) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	d, err := c.Next(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	id := d.Resolved.Event.ID
	if d.Resolved.Link != nil {
		id = d.Resolved.Link.ID
	}
	switch chance.IntN(6) {
	case 0:
		c.Nack(persistent.Retry, "again", id)
	case 1:
		c.Nack(persistent.Park, "later", id)
	case 2: // says nothing
	default:
		c.Ack(id)
		settled[d.Resolved.Event.Revision] = true
	}
	return true
}

func TestHub(t *testing.T) {
	t.Parallel()

	t.Run("does not give what is settled again", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		defer cancel()
		e := newEngine(t)
		key := persistent.Key{Stream: "s", Group: "g"}
		hub := newHub(t, e)
		if err := hub.Create(ctx, key, settings()); err != nil {
			t.Fatal(err)
		}
		write(t, e, "s", 20)
		for revision := range uint64(20) {
			c, err := hub.Connect(ctx, key, 1)
			if err != nil {
				t.Fatal(err)
			}
			d, err := c.Next(ctx)
			if err != nil || d.Resolved.Event.Revision != revision || d.Retries != 0 {
				t.Fatalf("got %+v, %v, want revision %d", d, err, revision)
			}
			c.Ack(d.Resolved.Event.ID)
			if revision%3 == 0 {
				hub.Close(context.Canceled)
				hub = newHub(t, e)
			} else {
				c.Close()
			}
		}
	})

	t.Run("overlooks answers to what a consumer does not have", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		defer cancel()
		e := newEngine(t)
		key := persistent.Key{Stream: "s", Group: "g"}
		hub := newHub(t, e)
		if err := hub.Create(ctx, key, settings()); err != nil {
			t.Fatal(err)
		}
		write(t, e, "s", 2)
		one, err := hub.Connect(ctx, key, 1)
		if err != nil {
			t.Fatal(err)
		}
		two, err := hub.Connect(ctx, key, 1)
		if err != nil {
			t.Fatal(err)
		}
		d, err := one.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		two.Ack(d.Resolved.Event.ID, uuid.New())
		two.Nack(persistent.Park, "not mine", d.Resolved.Event.ID)
		one.Close()
		one.Ack(d.Resolved.Event.ID) // has gone
		if i, err := hub.Info(ctx, key); err != nil || i.Parked != 0 || i.LastCheckpoint != "" {
			t.Errorf("it is %+v, %v", i, err)
		}
	})

	t.Run("holds no more bytes than it should, whatever a consumer may have", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		defer cancel()
		e := newEngine(t)
		key := persistent.Key{Stream: "s", Group: "g"}
		hub := newHub(t, e)
		s := settings()
		s.HistoryBufferSize = 1000
		if err := hub.Create(ctx, key, s); err != nil {
			t.Fatal(err)
		}
		const events, size, most = 20, 1 << 20, 16<<20 + 1<<20
		for range events {
			_, err := e.Append(ctx, engine.Append{Stream: "s", Expected: engine.Any, Events: []storage.NewEvent{
				{ID: uuid.New(), Type: "t", Data: make([]byte, size-2)},
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		c, err := hub.Connect(ctx, key, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for n := range events {
			d, err := c.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			i, err := hub.Info(ctx, key)
			if err != nil || i.Outstanding*size > most || i.Waiting*size > most {
				t.Fatalf("event %d: it is %+v, %v", n, i, err)
			}
			c.Ack(d.Resolved.Event.ID)
		}
	})

	t.Run("serves nobody once it is closed", func(t *testing.T) {
		t.Parallel()
		hub := newHub(t, newEngine(t))
		key := persistent.Key{Stream: "s", Group: "g"}
		if err := hub.Create(t.Context(), key, settings()); err != nil {
			t.Fatal(err)
		}
		c, err := hub.Connect(t.Context(), key, 1)
		if err != nil {
			t.Fatal(err)
		}
		cause := errors.New("the end")
		hub.Close(cause)
		if _, err := c.Next(t.Context()); !errors.Is(err, cause) {
			t.Errorf("its consumer ends with %v", err)
		}
		if _, err := hub.Connect(t.Context(), key, 1); err == nil {
			t.Error("it takes another")
		}
	})
}
