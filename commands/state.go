package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

const (
	// pageSize is how many events one read of a stream asks for. The first read of
	// one that nobody knows asks for fewer: most streams are short, and a long one
	// has a snapshot.
	pageSize  = 500
	firstPage = 64
	// snapshotEvery is how many events a snapshot saves the next reader.
	snapshotEvery = 500
	// snapshotQueue bounds the snapshots that wait to be written; one that finds
	// no room is left out, and made at a later event.
	snapshotQueue = 64
	// snapshotWithin bounds one snapshot's way from and to where they are kept.
	snapshotWithin = 2 * time.Second
	saveWithin     = 10 * time.Second
	// snapshotScope is whose key seals snapshots: the installation's.
	snapshotScope = "secret"

	defaultCacheBytes = 32 << 20
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
	// since counts the events after the last snapshot, those without a part in the
	// state too: they cost the next reader as much.
	since int
	// bytes is what the state holds, when it was remembered.
	bytes uint32
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
		}
		f = f.moved(r.Revision, r.Position, r.Meta)
	}
	return f, nil
}

// moved is f one event further on: it moves, whether it changed the state or not.
func (f folded[S]) moved(revision int64, at eventlog.Position, m eventlog.Meta) folded[S] {
	f.Revision = revision
	f.since++
	if !at.IsZero() {
		f.Position = at
	}
	if m.IdempotencyKey != "" {
		f.Keys = f.Keys.with(m.IdempotencyKey, m.InputHash, revision, at)
	}
	return f
}

// later is the one of two states of a stream that has come further.
func later[S any](a, b folded[S]) folded[S] {
	if a.Revision < b.Revision {
		return b
	}
	return a
}

func (f folded[S]) weight() uint32  { return f.bytes }
func (f folded[S]) revision() int64 { return f.Revision }

// stateCache holds folded states, bounded by bytes, and writes snapshots of the
// long ones behind everybody's back.
type stateCache struct {
	cache     *otter.Cache[string, remembered]
	snapshots Snapshots
	sealer    eventschema.Sealer
	build     string
	hashes    sync.Map // from a state's type to its foldHash
	queue     chan snapshot
	stop      chan struct{}
	done      chan struct{}
	once      sync.Once
	logger    *slog.Logger
	metrics   *metrics
}

// remembered is a folded state of any kind.
type remembered interface {
	weight() uint32
	revision() int64
}

type snapshot struct {
	stream, hash string
	revision     int64
	state        any
}

func newStateCache(o Options, m *metrics) (*stateCache, error) {
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	cache, err := otter.New(&otter.Options[string, remembered]{
		MaximumWeight: o.CacheBytes,
		Weigher:       func(stream string, f remembered) uint32 { return f.weight() + uint32(len(stream)) },
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache of states: %w", err)
	}
	c := &stateCache{
		cache: cache, snapshots: o.Snapshots, sealer: o.Vault, build: o.Build, logger: o.Logger, metrics: m,
		queue: make(chan snapshot, snapshotQueue), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go c.write()
	return c, nil
}

func (c *stateCache) write() {
	defer close(c.done)
	for {
		select {
		case s := <-c.queue:
			c.save(s)
		case <-c.stop:
			for {
				select {
				case s := <-c.queue:
					c.save(s)
				default:
					return
				}
			}
		}
	}
}

func (c *stateCache) save(s snapshot) {
	ctx, cancel := context.WithTimeout(context.Background(), saveWithin)
	defer cancel()
	if err := c.seal(ctx, s); err != nil {
		c.logger.WarnContext(ctx, "snapshot not written", slog.String("stream", s.stream), slog.Any("error", err))
	}
}

// seal writes a snapshot. It is sealed: states hold in clear what events hold
// sealed.
func (c *stateCache) seal(ctx context.Context, s snapshot) error {
	plain, err := json.Marshal(s.state)
	if err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	sealed, err := c.sealer.Seal(snapshotScope, "", plain)
	if err != nil {
		return fmt.Errorf("seal the state: %w", err)
	}
	return c.snapshots.SaveSnapshot(ctx, s.stream, s.hash, s.revision, []byte(sealed))
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

// forget drops what is cached of a stream from before revision.
func (c *stateCache) forget(stream string, revision int64) {
	c.cache.ComputeIfPresent(stream, func(known remembered) (remembered, otter.ComputeOp) {
		if known.revision() < revision {
			return nil, otter.InvalidateOp
		}
		return known, otter.CancelOp
	})
}

// remember keeps f for the next command on the stream, unless what is cached has
// come further: readers without the stream's lane may be late, and so may an
// append that turns out to be a repetition.
func remember[S any](c *stateCache, stream string, f folded[S]) folded[S] {
	if c.snapshots != nil && f.since >= snapshotEvery {
		select {
		case c.queue <- snapshot{stream, foldHash[S](c), f.Revision, f}:
			f.since = 0
		default:
		}
	}
	f.bytes = weigh(f)
	c.cache.Compute(stream, func(known remembered, found bool) (remembered, otter.ComputeOp) {
		if found && known.revision() > f.Revision {
			return known, otter.CancelOp
		}
		return f, otter.WriteOp
	})
	return f
}

// recall is what the cache knows of the stream.
func recall[S any](c *stateCache, stream string) (f folded[S], cached bool) {
	if f, cached = glance[S](c, stream); cached {
		c.metrics.stateHits.Inc()
	} else {
		c.metrics.stateMisses.Inc()
	}
	return f, cached
}

// glance is recall for those who will recall it later.
func glance[S any](c *stateCache, stream string) (f folded[S], cached bool) {
	if hit, ok := c.cache.GetIfPresent(stream); ok {
		if f, ok := hit.(folded[S]); ok {
			return f, true
		}
	}
	return nothing[S](), false
}

// saved is what a snapshot knows of the stream. A snapshot is a cache: without it
// the stream is read from its start.
func saved[S any](ctx context.Context, c *stateCache, stream string) folded[S] {
	if c.snapshots == nil {
		return nothing[S]()
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotWithin)
	defer cancel()
	data, err := c.snapshots.LoadSnapshot(ctx, stream, foldHash[S](c))
	if err == nil && len(data) == 0 {
		return nothing[S]()
	}
	f := nothing[S]()
	if err == nil {
		err = c.open(data, &f)
	}
	if err != nil {
		c.logger.WarnContext(ctx, "snapshot not read", slog.String("stream", stream), slog.Any("error", err))
		return nothing[S]()
	}
	return f
}

func (c *stateCache) open(sealed []byte, state any) error {
	plain, err := c.sealer.Open(string(sealed))
	if err != nil {
		return fmt.Errorf("open the state: %w", err)
	}
	return json.Unmarshal(plain, state)
}

// foldHash names the fold that made a snapshot: another build, another shape of
// state or another catalogue makes the snapshot a miss.
func foldHash[S any](c *stateCache) string {
	of := reflect.TypeFor[S]()
	if hash, ok := c.hashes.Load(of); ok {
		return hash.(string)
	}
	hash := c.build + " " + shape(of, 4) + " " + eventschema.All.Hash()
	c.hashes.Store(of, hash)
	return hash
}

func shape(t reflect.Type, depth int) string {
	if depth == 0 {
		return t.String()
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return t.String() + "(" + shape(t.Elem(), depth-1) + ")"
	case reflect.Struct:
		var fields strings.Builder
		for f := range t.Fields() {
			fields.WriteString(f.Name + " " + shape(f.Type, depth-1) + ";")
		}
		return t.String() + "{" + fields.String() + "}"
	default:
		return t.String()
	}
}
