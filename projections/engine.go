package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// Source makes the subscription that delivers everything in the log after a
// position, in order. Its messages are acknowledged in order, once their effect
// is committed, and never refused. It should let some 2,000 messages be in flight.
type Source func(after eventlog.Position) message.Subscriber

// Log is the log as far as it is read without following it. *eventlog.Log
// implements it.
type Log interface {
	// ReadAll returns up to limit events after a position, in log order; next is
	// where to go on, and more is false at the end.
	ReadAll(ctx context.Context, after eventlog.Position, limit int) (page []eventlog.Record, next eventlog.Position, more bool, err error)
	// Head is the position of the last event that a Source delivers.
	Head(ctx context.Context) (eventlog.Position, error)
}

// Options are what an Engine works with. Zero numbers and durations mean the
// defaults given.
type Options struct {
	// Pool has four connections at least: one is held while projectors move
	// together, and as many more as there are others on their way to them.
	Pool       *pgxpool.Pool
	Log        Log
	Source     Source
	Catalogue  *eventschema.Catalogue
	Sealer     eventschema.Sealer
	Projectors []*Projector
	// InstallationID is the id in the log's first event.
	InstallationID string
	// Awaiter, if not nil, hears of progress at once while the engine runs.
	Awaiter *Awaiter
	// Alone says that no other node waits for these read models, so that batches
	// need not notify Channel: of a small one that is the larger part.
	Alone bool
	// Logger may be nil.
	Logger *slog.Logger
	// Registerer may be nil.
	Registerer prometheus.Registerer
	// Now is the clock of logs and status; time.Now if nil.
	Now func() time.Time

	// MaxBatch is how many events one transaction takes at most; 500.
	MaxBatch int
	// MaxBatchBytes is how many bytes of events one transaction takes at most,
	// one event aside; 4 MiB.
	MaxBatchBytes int
	// RetryMin and RetryMax bound the pause before a stuck projector tries again;
	// 1 s and 30 s.
	RetryMin, RetryMax time.Duration
	// OutageMin and OutageMax bound the pause while Postgres or the log is away;
	// 50 ms and 5 s.
	OutageMin, OutageMax time.Duration
}

func (o *Options) defaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.MaxBatch = positive(o.MaxBatch, 500)
	o.MaxBatchBytes = positive(o.MaxBatchBytes, 4<<20)
	o.RetryMin = positive(o.RetryMin, time.Second)
	o.RetryMax = max(positive(o.RetryMax, 30*time.Second), o.RetryMin)
	o.OutageMin = positive(o.OutageMin, 50*time.Millisecond)
	o.OutageMax = max(positive(o.OutageMax, 5*time.Second), o.OutageMin)
}

func positive[N int | time.Duration](n, otherwise N) N {
	if n <= 0 {
		return otherwise
	}
	return n
}

// Engine moves read models forward. Its methods are safe for concurrent use.
type Engine struct {
	options Options
	codec   codec
	metrics *metrics

	mu      sync.Mutex
	current *run // nil while the engine does not run
}

// NewEngine fails when the projectors cannot work together: two of one name, or
// one that handles an event which the catalogue does not have.
func NewEngine(o Options) (*Engine, error) {
	o.defaults()
	seen := map[string]bool{}
	for _, p := range o.Projectors {
		if seen[p.Name] {
			return nil, fmt.Errorf("two projectors are called %s", p.Name)
		}
		seen[p.Name] = true
		for _, event := range p.Events() {
			if o.Catalogue.Version(event) == 0 {
				return nil, fmt.Errorf("projector %s handles %q: %w", p.Name, event, eventschema.ErrUnknownEvent)
			}
		}
	}
	e := &Engine{options: o, codec: codec{o.Catalogue, o.Sealer}}
	e.metrics = newMetrics(o.Registerer, e)
	return e, nil
}

// Run moves the read models until ctx ends, and then returns the cause of that.
// It outlasts outages of Postgres and of the log. Any other error says that the
// read models and this program, or this log, do not fit together: it would come
// again.
//
// One node runs the engine at a time, for speed: two would waste work, but never
// apply an event twice.
func (e *Engine) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &run{Engine: e, groups: map[*group]struct{}{}, stop: stop}
	r.start = func(g *group) { r.running.Go(func() { g.loop(ctx) }) }
	if err := r.claim(); err != nil {
		return err
	}
	defer r.unclaim()
	there, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	if a := e.options.Awaiter; a != nil {
		a.attach()
		defer a.detach()
	}
	r.begin(ctx, there)
	<-ctx.Done()
	r.running.Wait()
	return context.Cause(ctx)
}

// run is what one call of Run holds.
type run struct {
	*Engine
	head    eventlog.Position // of the log, when the run began
	stop    context.CancelCauseFunc
	start   func(*group) // for as long as the run, whatever the caller's context
	running sync.WaitGroup

	mu       sync.Mutex
	groups   map[*group]struct{}
	caughtUp bool
}

func (r *run) claim() error {
	r.Engine.mu.Lock()
	defer r.Engine.mu.Unlock()
	if r.current != nil {
		return errors.New("the engine is running already")
	}
	r.current = r
	return nil
}

func (r *run) unclaim() {
	r.Engine.mu.Lock()
	defer r.Engine.mu.Unlock()
	r.current = nil
}

// prepare makes what is missing and reads the checkpoints, for as long as it
// takes to reach Postgres and the log.
func (r *run) prepare(ctx context.Context) (map[string]checkpoint, error) {
	pause := r.options.OutageMin
	for {
		there, err := r.prepareOnce(ctx)
		if err == nil || !recoverable(err) {
			return there, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.options.Logger.WarnContext(ctx, "projections cannot start yet", slog.Any("error", err), slog.Duration("retry_in", pause))
		rest(ctx, pause)
		pause = min(pause*2, r.options.OutageMax)
	}
}

func (r *run) prepareOnce(ctx context.Context) (map[string]checkpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, transactionBound)
	defer cancel()
	if err := Setup(ctx, r.options.Pool, r.options.InstallationID, r.options.Projectors...); err != nil {
		return nil, err
	}
	there, err := checkpoints(ctx, r.options.Pool, names(r.options.Projectors))
	if err != nil {
		return nil, err
	}
	if r.head, err = r.options.Log.Head(ctx); err != nil {
		return nil, fmt.Errorf("find the log's head: %w", err)
	}
	return there, notAhead(r.head, there)
}

// begin starts the projectors in groups by position.
func (r *run) begin(ctx context.Context, there map[string]checkpoint) {
	members := make([]*member, len(r.options.Projectors))
	for i, p := range r.options.Projectors {
		members[i] = &member{projector: p}
	}
	r.regroup(ctx, members, there)
}

// regroup puts the members into groups by their checkpoints, which are read
// unless they are given.
func (r *run) regroup(ctx context.Context, members []*member, there map[string]checkpoint) {
	at := map[eventlog.Position][]*member{}
	if there == nil {
		there = r.reread(ctx, members)
	}
	if ctx.Err() != nil {
		return
	}
	for _, m := range members {
		c, found := there[m.projector.Name]
		if !found {
			r.stop(fmt.Errorf("the checkpoint of %s is gone", m.projector.Name))
			return
		}
		at[c.position] = append(at[c.position], m)
	}
	if !r.loadSkips(ctx, members) {
		return
	}
	for position, members := range at {
		r.spawn(&group{run: r, roster: newRoster(members...), position: position})
	}
}

// spawn adds a group to the run and starts it.
func (r *run) spawn(g *group) {
	r.mu.Lock()
	r.groups[g] = struct{}{}
	r.mu.Unlock()
	r.launch(g)
}

func (r *run) launch(g *group) {
	g.lease.pool, g.lease.notify = r.options.Pool, !r.options.Alone
	r.options.Awaiter.moved(g.roster.names, g.position, false)
	r.start(g)
}

// reread reads the members' checkpoints, for as long as that takes.
func (r *run) reread(ctx context.Context, members []*member) map[string]checkpoint {
	var there map[string]checkpoint
	r.insist(ctx, func(ctx context.Context) (err error) {
		there, err = checkpoints(ctx, r.options.Pool, newRoster(members...).names)
		return err
	})
	return there
}

// loadSkips tells the members what operators told them to leave out. It is false
// when ctx has ended.
func (r *run) loadSkips(ctx context.Context, members []*member) bool {
	return r.insist(ctx, func(ctx context.Context) error {
		found, err := skips(ctx, r.options.Pool)
		if err != nil {
			return err
		}
		for _, m := range members {
			m.skips = found[m.projector.Name]
		}
		return nil
	})
}

// insist calls ask until it succeeds or ctx ends, and reports which.
func (r *run) insist(ctx context.Context, ask func(context.Context) error) bool {
	for pause := r.options.OutageMin; ctx.Err() == nil; pause = min(pause*2, r.options.OutageMax) {
		bounded, cancel := context.WithTimeout(ctx, transactionBound)
		err := ask(bounded)
		cancel()
		if err == nil {
			return true
		}
		if ctx.Err() == nil {
			r.options.Logger.WarnContext(ctx, "projections wait for Postgres", slog.Any("error", err), slog.Duration("retry_in", pause))
			rest(ctx, pause)
		}
	}
	return false
}

func names(projectors []*Projector) []string {
	all := make([]string, len(projectors))
	for i, p := range projectors {
		all[i] = p.Name
	}
	return all
}

// rest pauses for d or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
