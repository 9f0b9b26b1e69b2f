package projections

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// AwaiterOptions are what an Awaiter works with.
type AwaiterOptions struct {
	Projectors []*Projector
	// Pool is read by Run on nodes that do not run the engine.
	Pool *pgxpool.Pool
	// Every is how often Run reads the checkpoints without being woken while
	// somebody waits; 250 ms if zero.
	Every time.Duration
	// MaxWaiters is how many may wait at once; 4,096 if zero.
	MaxWaiters int
	// Logger and Registerer may be nil.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Awaiter waits until read models have reached a position. On the engine's own
// node it is told of every batch; on others Run must run, and Wake be called. It is safe for concurrent use.
type Awaiter struct {
	options AwaiterOptions
	byName  map[string]int
	byEvent map[string][]int
	kick    chan struct{}
	metrics *awaiterMetrics

	mu       sync.Mutex
	local    bool // the engine runs on this node
	progress []progress
	waiting  int
}

// progress is how far one projector is, and who waits for it.
type progress struct {
	position eventlog.Position
	lagging  bool // stuck or far behind: nobody should wait for it
	queue    queue
}

// NewAwaiter makes an Awaiter of the projectors.
func NewAwaiter(o AwaiterOptions) *Awaiter {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Every = positive(o.Every, 250*time.Millisecond)
	o.MaxWaiters = positive(o.MaxWaiters, 4096)
	a := &Awaiter{
		options:  o,
		byName:   map[string]int{},
		byEvent:  map[string][]int{},
		kick:     make(chan struct{}, 1),
		progress: make([]progress, len(o.Projectors)),
	}
	for i, p := range o.Projectors {
		a.byName[p.Name] = i
		for _, event := range p.Events() {
			a.byEvent[event] = append(a.byEvent[event], i)
		}
	}
	a.metrics = newAwaiterMetrics(o.Registerer, a)
	return a
}

// Wait returns once the named read models have reached position, or ctx ends.
//
// Lagging says that some of them have not and may not soon: the deadline came,
// too many others wait, or a read model is stuck or far behind, and then it is
// not waited for at all. The error is ctx's when it was canceled, or says that a
// name is not a projector's.
func (a *Awaiter) Wait(ctx context.Context, position eventlog.Position, names []string) (lagging bool, err error) {
	which := make([]int, len(names))
	for i, name := range names {
		index, ok := a.byName[name]
		if !ok {
			return false, fmt.Errorf("wait for read model %s: there is no such projector", name)
		}
		which[i] = index
	}
	return a.wait(ctx, position, which)
}

// WaitTypes is Wait for the read models that the events touch: none at all if
// no projector handles them.
func (a *Awaiter) WaitTypes(ctx context.Context, position eventlog.Position, events []string) (lagging bool, err error) {
	if len(events) == 1 {
		return a.wait(ctx, position, a.byEvent[events[0]])
	}
	var which []int
	for _, event := range events {
		for _, index := range a.byEvent[event] {
			if !slices.Contains(which, index) {
				which = append(which, index)
			}
		}
	}
	return a.wait(ctx, position, which)
}

func (a *Awaiter) wait(ctx context.Context, position eventlog.Position, which []int) (bool, error) {
	began := time.Now()
	w, local := a.enter(position, which)
	if w.done != nil {
		if !local {
			a.Wake()
		}
		select {
		case <-w.done:
		case <-ctx.Done():
			if a.abandon(w) && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return true, ctx.Err()
			}
		}
	}
	a.metrics.waited(time.Since(began), w.lagging)
	return w.lagging, nil
}

// enter queues a waiter for what is missing. It has no channel when its answer is
// known already.
func (a *Awaiter) enter(position eventlog.Position, which []int) (w *waiter, local bool) {
	w = &waiter{position: position}
	a.mu.Lock()
	defer a.mu.Unlock()
	missing := 0
	for _, i := range which {
		switch p := &a.progress[i]; {
		case !p.position.Less(position):
		case a.local && p.lagging:
			w.lagging = true
		default:
			missing++
		}
	}
	if missing == 0 {
		return w, a.local
	}
	if a.waiting >= a.options.MaxWaiters {
		w.lagging = true
		return w, a.local
	}
	a.waiting++
	w.done = make(chan struct{})
	w.places = make([]place, 0, missing)
	for _, i := range which {
		if p := &a.progress[i]; p.position.Less(position) && (!a.local || !p.lagging) && !w.queues(i) {
			w.places = append(w.places, place{waiter: w, projector: i})
			heap.Push(&p.queue, &w.places[len(w.places)-1])
		}
	}
	w.missing = len(w.places)
	return w, a.local
}

// abandon takes w out of every queue. It is false when w's answer came first.
func (a *Awaiter) abandon(w *waiter) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.missing == 0 {
		return false
	}
	for i := range w.places {
		if p := &w.places[i]; p.queued {
			heap.Remove(&a.progress[p.projector].queue, p.index)
		}
	}
	a.waiting--
	w.lagging = true
	return true
}

// set moves one projector and answers whoever waited for that. The caller holds
// a.mu.
func (a *Awaiter) set(index int, position eventlog.Position, lagging bool) {
	p := &a.progress[index]
	p.position, p.lagging = position, lagging
	for len(p.queue) > 0 && (lagging || !position.Less(p.queue[0].waiter.position)) {
		next := heap.Pop(&p.queue).(*place)
		w := next.waiter
		w.lagging = w.lagging || position.Less(w.position)
		if w.missing--; w.missing == 0 {
			a.waiting--
			close(w.done)
		}
	}
}

// moved says that the engine moved projectors. A nil Awaiter does not care.
func (a *Awaiter) moved(names []string, position eventlog.Position, behind bool) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range names {
		if i, ok := a.byName[name]; ok {
			a.set(i, position, behind)
		}
	}
}

// stuck says that projectors do not get on.
func (a *Awaiter) stuck(names []string) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range names {
		if i, ok := a.byName[name]; ok {
			a.set(i, a.progress[i].position, true)
		}
	}
}

func (a *Awaiter) attach() { a.locate(true) }

func (a *Awaiter) detach() { a.locate(false) }

func (a *Awaiter) locate(here bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.local = here
}

// Wake asks Run to read the checkpoints, if anybody waits for them. It is to be
// called for notifications on Channel, and never blocks.
func (a *Awaiter) Wake() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// Run reads the checkpoints for those who wait, as long as the engine runs on
// another node. It returns ctx's error once ctx ends.
func (a *Awaiter) Run(ctx context.Context) error {
	tick := time.NewTicker(a.options.Every)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.kick:
		case <-tick.C:
		}
		if !a.asked() {
			continue
		}
		err := a.read(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			a.options.Logger.WarnContext(ctx, "read models' progress cannot be read", slog.Any("error", err))
		}
		failing = err != nil
	}
}

func (a *Awaiter) asked() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.local && a.waiting > 0
}

func (a *Awaiter) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, transactionBound)
	defer cancel()
	there, err := checkpoints(ctx, a.options.Pool, names(a.options.Projectors))
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.local {
		return nil // the engine came here meanwhile, and knows better
	}
	for name, c := range there {
		a.set(a.byName[name], c.position, c.failure != nil)
	}
	return nil
}
