package persistent

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// Options configure a Hub. Engine is required.
type Options struct {
	Engine *engine.Engine
	Logger *slog.Logger // nil means none
}

// Hub has all groups of a log. Its methods may be called concurrently.
type Hub struct {
	engine *engine.Engine
	logger *slog.Logger
	ctx    context.Context // ends with the hub
	end    context.CancelCauseFunc

	mu     sync.Mutex // held while the set of groups changes
	loaded bool
	groups map[Key]*running
}

// running is a group and how to end it.
type running struct {
	*group

	stop context.CancelCauseFunc
}

// New makes a hub. Groups are read from the log when they are first asked for.
func New(o Options) *Hub {
	h := &Hub{engine: o.Engine, logger: o.Logger, groups: make(map[Key]*running)}
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	h.ctx, h.end = context.WithCancelCause(context.Background())
	return h
}

// Close ends all groups, whose consumers get the cause. It must be called before
// the log is closed.
func (h *Hub) Close(cause error) {
	h.end(cause)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, g := range h.groups {
		<-g.ended
	}
}

// load reads the groups from the log. It needs the lock.
func (h *Hub) load(ctx context.Context) error {
	if h.loaded {
		return nil
	}
	definitions, err := loadConfig(ctx, h.engine)
	if err != nil {
		return err
	}
	for _, d := range definitions {
		if err := h.start(d); err != nil {
			h.stopAll(err)
			return err
		}
	}
	h.loaded = true
	return nil
}

func (h *Hub) start(d definition) error {
	ctx, stop := context.WithCancelCause(h.ctx)
	g := &group{
		definition: d, engine: h.engine, logger: h.logger, ctx: ctx, last: context.WithoutCancel(ctx),
		calls: make(chan func()), ended: make(chan struct{}), feed: make(chan engine.Message),
	}
	if err := g.load(); err != nil {
		stop(err)
		return err
	}
	h.groups[d.key] = &running{g, stop}
	go g.run()
	return nil
}

// stop ends a group, if it runs.
func (h *Hub) stop(k Key, cause error) {
	if g := h.groups[k]; g != nil {
		g.stop(cause)
		<-g.ended
		delete(h.groups, k)
	}
}

func (h *Hub) stopAll(cause error) {
	for k := range h.groups {
		h.stop(k, cause)
	}
}

func (h *Hub) definitions() []definition {
	var out []definition
	for _, g := range h.groups {
		out = append(out, g.definition)
	}
	slices.SortFunc(out, func(a, b definition) int { return cmp.Compare(a.key.String(), b.key.String()) })
	return out
}

// Create makes a group. The error is ErrExists, an *InvalidError, or the log's.
func (h *Hub) Create(ctx context.Context, k Key, s Settings) error {
	if err := s.check(k); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.load(ctx); err != nil {
		return err
	}
	if h.groups[k] != nil {
		return ErrExists
	}
	d, err := h.define(ctx, k, s)
	if err != nil {
		return err
	}
	if err := saveConfig(ctx, h.engine, append(h.definitions(), d)); err != nil {
		return err
	}
	return h.start(d)
}

// define finds out where the end is, for a group that begins there.
func (h *Hub) define(ctx context.Context, k Key, s Settings) (definition, error) {
	d := definition{key: k, settings: s, after: s.Start.before(k.Stream)}
	if !s.Start.End {
		return d, nil
	}
	var last *storage.Event
	var err error
	if k.Stream == All {
		last, err = h.lastOfLog(ctx)
	} else {
		last, err = lastEvent(ctx, h.engine, k.Stream)
	}
	if err != nil || last == nil {
		return d, err
	}
	d.after = &place{revision: last.Revision, position: engine.Position{Commit: last.Position, Prepare: last.Position}}
	return d, nil
}

func (h *Hub) lastOfLog(ctx context.Context) (*storage.Event, error) {
	for r, err := range h.engine.ReadAll(ctx, engine.AllRead{FromEnd: true, Backwards: true, Count: 1}) {
		return r.Event, err
	}
	return nil, nil //nolint:nilnil // an empty log has none
}

// Update gives a group other settings, all but its filter. Its consumers are
// dropped; it goes on from its checkpoint.
func (h *Hub) Update(ctx context.Context, k Key, s Settings) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	g, err := h.find(ctx, k)
	if err != nil {
		return err
	}
	s.Filter = g.settings.Filter
	if err := s.check(k); err != nil {
		return err
	}
	d, err := h.define(ctx, k, s)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(h.definitions(), func(d definition) bool { return d.key == k })
	if err := saveConfig(ctx, h.engine, append(others, d)); err != nil {
		return err
	}
	h.stop(k, ErrDropped)
	return h.start(d)
}

// Delete removes a group and its state. Its consumers are dropped.
func (h *Hub) Delete(ctx context.Context, k Key) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := h.find(ctx, k); err != nil {
		return err
	}
	others := slices.DeleteFunc(h.definitions(), func(d definition) bool { return d.key == k })
	if err := saveConfig(ctx, h.engine, others); err != nil {
		return err
	}
	h.stop(k, ErrDropped)
	for _, stream := range []string{k.checkpoints(), k.parked()} {
		_, err := h.engine.Delete(ctx, stream, engine.Any)
		if _, none := errors.AsType[*engine.ConflictError](err); err != nil && !none {
			return err
		}
	}
	return nil
}

// find needs the lock.
func (h *Hub) find(ctx context.Context, k Key) (*running, error) {
	if err := h.load(ctx); err != nil {
		return nil, err
	}
	g := h.groups[k]
	if g == nil {
		return nil, ErrNotFound
	}
	return g, nil
}

// in has f called by a group's goroutine.
func (h *Hub) in(ctx context.Context, k Key, f func(*group)) error {
	h.mu.Lock()
	g, err := h.find(ctx, k)
	h.mu.Unlock()
	if err != nil {
		return err
	}
	if !g.do(func() { f(g.group) }) {
		return ErrDropped
	}
	return nil
}

// Connect adds a consumer that may have so many events at once.
func (h *Hub) Connect(ctx context.Context, k Key, bufferSize int) (c *Consumer, err error) {
	if bufferSize < 1 || bufferSize > maxCount {
		return nil, invalid("the buffer size is %d, it must be from 1 to %d", bufferSize, maxCount)
	}
	var refused error
	if err := h.in(ctx, k, func(g *group) { c, refused = g.connect(bufferSize) }); err != nil {
		return nil, err
	}
	return c, refused
}

// ReplayParked has what is parked given again, up to a number if there is one.
func (h *Hub) ReplayParked(ctx context.Context, k Key, stopAt *uint64) error {
	return h.in(ctx, k, func(g *group) { g.replayParked(stopAt) })
}

// Restart drops all consumers and reads the groups from the log again.
func (h *Hub) Restart(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopAll(ErrDropped)
	h.loaded = false
	return h.load(ctx)
}

// Info tells how a group is.
func (h *Hub) Info(ctx context.Context, k Key) (info Info, err error) {
	err = h.in(ctx, k, func(g *group) { info = g.info() })
	return info, err
}

// List tells how the groups of a stream are, or all of them if it names none.
// It is ErrNotFound when there are none.
func (h *Hub) List(ctx context.Context, stream string) ([]Info, error) {
	h.mu.Lock()
	if err := h.load(ctx); err != nil {
		h.mu.Unlock()
		return nil, err
	}
	keys := slices.Collect(maps.Keys(h.groups))
	h.mu.Unlock()
	slices.SortFunc(keys, func(a, b Key) int { return cmp.Compare(a.String(), b.String()) })
	var out []Info
	for _, k := range keys {
		if stream != "" && k.Stream != stream {
			continue
		}
		info, err := h.Info(ctx, k)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrDropped) {
			continue // went meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, info)
	}
	if len(out) == 0 {
		return nil, ErrNotFound
	}
	return out, nil
}
