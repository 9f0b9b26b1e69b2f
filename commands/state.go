package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"sync"

	"github.com/maypok86/otter/v2"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

const (
	// pageSize is how many events one read of a stream asks for.
	pageSize = 500
	// snapshotEvery is how many folded events a snapshot saves the next reader.
	snapshotEvery = 500
	// snapshotQueue bounds the snapshots that wait to be written; one that finds
	// no room is left out, and made at a later event.
	snapshotQueue = 64
	baseWeight    = 512
)

// folder is a state that events fold into, each at its revision.
type folder[S any, E eventschema.Event] interface{ Evolve(E, int64) S }

// folded is a stream's past, added up. It is immutable and shared: commands fold
// further from copies.
type folded[S any] struct {
	State    S
	Revision int64
	Position eventlog.Position
	Keys     *keyRing
	// since counts the events folded after the last snapshot.
	since int
}

func nothing[S any]() folded[S] { return folded[S]{Revision: eventlog.NoStream} }

// evolve folds records into f. A record that does not belong is a loud stop.
func evolve[S folder[S, E], E eventschema.Event](f folded[S], records []eventlog.Record, s eventschema.Sealer) (folded[S], error) {
	for _, r := range records {
		if !eventschema.All.Passive(r.Stored.Name) {
			ev, err := eventschema.All.Decode(r.Stored, s)
			if err != nil {
				return f, fmt.Errorf("fold %s at %d: %w", r.Stream, r.Revision, err)
			}
			e, ok := ev.(E)
			if !ok {
				return f, fmt.Errorf("fold %s at %d: %s does not belong there", r.Stream, r.Revision, r.Stored.Name)
			}
			f.State = f.State.Evolve(e, r.Revision)
			f.since++
		}
		f.Revision = r.Revision
		if !r.Position.IsZero() {
			f.Position = r.Position
		}
		if r.Meta.IdempotencyKey != "" {
			f.Keys = f.Keys.with(r.Meta.IdempotencyKey, r.Meta.InputHash, r.Revision, r.Position)
		}
	}
	return f, nil
}

// weigher is a state that knows how many bytes it holds.
type weigher interface{ Weight() int }

func (f folded[S]) weight() uint32 {
	w := baseWeight + f.Keys.len()*keyWeight
	if s, ok := any(f.State).(weigher); ok {
		w += s.Weight()
	}
	return uint32(w)
}

// stateCache holds folded states, bounded by bytes, and writes snapshots of the
// long ones behind everybody's back.
type stateCache struct {
	cache     *otter.Cache[string, weighed]
	snapshots Snapshots
	queue     chan snapshot
	stop      chan struct{}
	done      chan struct{}
	once      sync.Once
	metrics   *metrics
}

type weighed interface{ weight() uint32 }

type snapshot struct {
	stream, hash string
	revision     int64
	data         func() ([]byte, error)
}

func newStateCache(bytes uint64, snapshots Snapshots, logger *slog.Logger, m *metrics) (*stateCache, error) {
	if bytes == 0 {
		bytes = 32 << 20
	}
	cache, err := otter.New(&otter.Options[string, weighed]{
		MaximumWeight: bytes,
		Weigher:       func(stream string, f weighed) uint32 { return f.weight() + uint32(len(stream)) },
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache of states: %w", err)
	}
	c := &stateCache{cache: cache, snapshots: snapshots, queue: make(chan snapshot, snapshotQueue), stop: make(chan struct{}), done: make(chan struct{}), metrics: m}
	go c.write(logger)
	return c, nil
}

func (c *stateCache) write(logger *slog.Logger) {
	defer close(c.done)
	for {
		select {
		case s := <-c.queue:
			c.save(logger, s)
		case <-c.stop:
			for {
				select {
				case s := <-c.queue:
					c.save(logger, s)
				default:
					return
				}
			}
		}
	}
}

func (c *stateCache) save(logger *slog.Logger, s snapshot) {
	data, err := s.data()
	if err == nil {
		err = c.snapshots.SaveSnapshot(context.Background(), s.stream, s.hash, s.revision, data)
	}
	if err != nil {
		logger.Warn("snapshot not written", slog.String("stream", s.stream), slog.Any("error", err))
	}
}

func (c *stateCache) close(ctx context.Context) error {
	c.once.Do(func() { close(c.stop) })
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("write the last snapshots: %w", ctx.Err())
	}
}

// remember keeps f for the next command on the stream.
func remember[S any](c *stateCache, stream string, f folded[S]) {
	if c.snapshots != nil && f.since >= snapshotEvery {
		select {
		case c.queue <- snapshot{stream, foldHash[S](), f.Revision, func() ([]byte, error) { return json.Marshal(f) }}:
			f.since = 0
		default:
		}
	}
	c.cache.Set(stream, f)
}

// recall is what the cache, or else a snapshot, knows of the stream.
func recall[S any](ctx context.Context, c *stateCache, stream string) (f folded[S], cached bool) {
	if hit, ok := c.cache.GetIfPresent(stream); ok {
		if f, ok := hit.(folded[S]); ok {
			c.metrics.stateHits.Inc()
			return f, true
		}
	}
	c.metrics.stateMisses.Inc()
	if c.snapshots == nil {
		return nothing[S](), false
	}
	data, err := c.snapshots.LoadSnapshot(ctx, stream, foldHash[S]())
	if err != nil || len(data) == 0 {
		return nothing[S](), false // a snapshot is a cache: without it the stream is read from its start
	}
	f = nothing[S]()
	if err := json.Unmarshal(data, &f); err != nil {
		return nothing[S](), false
	}
	return f, false
}

// foldHash names the fold that made a snapshot: another shape of state or another
// catalogue makes the snapshot a miss.
func foldHash[S any]() string {
	return reflect.TypeFor[S]().String() + " " + shape(reflect.TypeFor[S](), 4) + " " + eventschema.All.Hash()
}

func shape(t reflect.Type, depth int) string {
	if depth == 0 {
		return t.String()
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return t.String() + "(" + shape(t.Elem(), depth-1) + ")"
	case reflect.Struct:
		s := t.String() + "{"
		for i := range t.NumField() {
			s += t.Field(i).Name + " " + shape(t.Field(i).Type, depth-1) + ";"
		}
		return s + "}"
	default:
		return t.String()
	}
}
