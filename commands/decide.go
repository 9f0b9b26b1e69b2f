package commands

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/failpoint"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/logline"
)

const (
	// Other nodes may append to the same stream: a conflict is decided again.
	maxConflicts   = 10
	conflictBudget = time.Second
	// reachWithin is how long a command waits for a log that is away, before it has
	// appended anything.
	reachWithin = 2 * time.Second
)

// target is the stream that a command decides on.
type target struct {
	command string // the operation's name, for metrics and the log line
	stream  string
	project string // for the events' metadata
	// fresh says that the stream does not exist as far as anybody can know: its
	// id was just made. The first attempt does not read it.
	fresh bool
	// cause, when set, fixes the events' ids: a completion is repeated until it
	// holds, and appends the same events each time.
	cause uuid.UUID
	// at, when set, is the events' time instead of now: a completion tells of what
	// was decided then, whoever appends it and however late.
	at time.Time
}

// decide is the whole command side: fold the stream, decide, append at the
// revision that was folded; after a conflict again, from the new tail. A keyed
// command that was appended before is answered from the log instead.
//
// A refusal, or an answer without an append, is never given from cached state
// alone: the stream is read to its end first. With an append, the expected
// revision proves that the state was current.
func decide[S folder[S, E], E eventschema.Event](
	ctx context.Context, h *Handlers, t target, decision func(S) ([]E, error),
) (Receipt, error) {
	start := time.Now()
	receipt, err := decideInLane(ctx, h, t, decision)
	if err == nil {
		receipt, err = positioned(ctx, h, receipt)
	}
	outcome := outcomeOf(receipt, err)
	h.metrics.commands.WithLabelValues(t.command, outcome).Inc()
	h.metrics.latency.WithLabelValues(t.command).Observe(time.Since(start).Seconds())
	logline.Add(ctx, slog.String("stream", t.stream), slog.Int64("revision", receipt.Revision), slog.String("outcome", outcome))
	return receipt, err
}

func outcomeOf(r Receipt, err error) string {
	switch {
	case err == nil && r.Replayed:
		return "replayed"
	case err == nil && len(r.Events) == 0:
		return "unchanged"
	case err == nil:
		return "appended"
	case fault.KindOf(err) == fault.Internal || fault.KindOf(err) == fault.Unavailable:
		return "failed"
	default:
		return "refused"
	}
}

// positioned is r with a position that is late enough, if the log told none: an
// upper bound, since whoever waits for it waits for r's events too.
func positioned(ctx context.Context, h *Handlers, r Receipt) (Receipt, error) {
	if !r.Position.IsZero() || r.Revision == eventlog.NoStream {
		return r, nil
	}
	var err error
	r.Position, err = h.log.Head(ctx)
	return r, err
}

func decideInLane[S folder[S, E], E eventschema.Event](
	ctx context.Context, h *Handlers, t target, decision func(S) ([]E, error),
) (Receipt, error) {
	a := attempt[S, E]{h: h, target: t, meta: h.meta(ctx, t.project)}
	if err := a.askAhead(ctx); err != nil {
		return Receipt{}, err
	}
	leave, err := h.enter(ctx, t.stream)
	if err != nil {
		return Receipt{}, err
	}
	defer leave()
	if a.meta.At = t.at; t.at.IsZero() {
		a.meta.At = h.instant()
	}
	if err := a.begin(ctx); err != nil {
		return Receipt{}, err
	}
	for conflicts, since := 0, time.Now(); ; conflicts++ {
		receipt, err := a.once(ctx, decision)
		if !errors.Is(err, eventlog.ErrConflict) {
			return receipt, err
		}
		h.metrics.conflicts.WithLabelValues(t.command).Inc()
		if conflicts == maxConflicts || time.Since(since) > conflictBudget {
			return Receipt{}, ErrConflict.After(time.Second)
		}
		if conflicts > 0 {
			pause(ctx, rand.N(10*time.Millisecond<<min(conflicts, 4)))
		}
		if err := a.catchUp(ctx); err != nil {
			return Receipt{}, err
		}
	}
}

// enter waits for the stream's lane, and for the log outside of it: while the log
// is away, those who wait for the lane must not wait for each other's append as
// well.
func (h *Handlers) enter(ctx context.Context, stream string) (leave func(), err error) {
	for {
		if err := h.reach(ctx); err != nil {
			return nil, err
		}
		start := time.Now()
		if leave, err = h.lanes.Enter(ctx, stream); err != nil {
			return nil, err
		}
		h.log.ObserveLaneWait(time.Since(start))
		switch {
		case ctx.Err() != nil: // the lane may have come free at the same moment
			leave()
			return nil, fmt.Errorf("wait for the lane of %s: %w", stream, ctx.Err())
		case h.log.Up():
			return leave, nil
		}
		leave()
	}
}

// reach waits a moment for a log that is away.
func (h *Handlers) reach(ctx context.Context) error {
	if h.log.Up() {
		return nil
	}
	ready, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	return h.log.Ready(ready)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// attempt is one command on its way through the log.
type attempt[S folder[S, E], E eventschema.Event] struct {
	h       *Handlers
	target  target
	meta    eventlog.Meta
	past    folded[S]
	current bool // past was read to the stream's end
	index   indexed
}

// begin folds what is known without reading, and reads what nobody knows yet.
func (a *attempt[S, E]) begin(ctx context.Context) error {
	if a.target.fresh {
		a.past = nothing[S]()
		return nil
	}
	past, cached := recall[S](a.h.states, a.target.stream)
	a.past = past
	if cached {
		return nil
	}
	return a.catchUp(ctx)
}

// catchUp reads the stream from where past ends to its end. A stream that turns
// out to be long is read on from its snapshot. What was read before a failure is
// not read again.
func (a *attempt[S, E]) catchUp(ctx context.Context) (err error) {
	from := a.past.Revision
	defer func() {
		if a.past.Revision > from {
			a.past = remember(a.h.states, a.target.stream, a.past)
		}
	}()
	for size := sizeAfter(from); ; size = pageSize {
		page, err := a.h.log.Read(ctx, a.target.stream, a.past.Revision+1, size)
		if err != nil {
			return err
		}
		if a.past, err = evolve[S, E](a.past, page, a.h.vault); err != nil {
			return err
		}
		if len(page) < size {
			a.current = true
			return nil
		}
		if size == firstPage {
			a.past = later(a.past, saved[S](ctx, a.h.states, a.target.stream))
		}
	}
}

func sizeAfter(revision int64) int {
	if revision == eventlog.NoStream {
		return firstPage
	}
	return pageSize
}

// once answers from what is folded, or appends. Without an append it reads to the
// end first, and decides again.
func (a *attempt[S, E]) once(ctx context.Context, decision func(S) ([]E, error)) (Receipt, error) {
	for {
		if receipt, replayed, err := a.replay(ctx); replayed || err != nil {
			return receipt, err
		}
		events, err := decision(a.past.State)
		switch {
		case err == nil && len(events) > 0:
			return a.append(ctx, events)
		case a.current && err != nil:
			return Receipt{Revision: a.past.Revision}, err
		case a.current:
			return Receipt{Stream: a.target.stream, Revision: a.past.Revision, Position: a.past.Position}, nil
		}
		if err := a.catchUp(ctx); err != nil {
			return Receipt{}, err
		}
	}
}

func (a *attempt[S, E]) append(ctx context.Context, events []E) (Receipt, error) {
	batch := make([]eventlog.Event, len(events))
	for i, e := range events {
		stored, err := eventschema.All.Encode(e, a.h.vault)
		if err != nil {
			return Receipt{}, storable(err)
		}
		id, err := a.eventID(i)
		if err != nil {
			return Receipt{}, err
		}
		batch[i] = eventlog.Event{ID: id, Stored: stored, Meta: a.meta}
	}
	a.current = false // from now on somebody else may be first
	failpoint.Hit(failpoint.Decided)
	done, err := a.h.log.Append(ctx, a.target.stream, a.past.Revision, batch...)
	if err != nil {
		return Receipt{}, err
	}
	failpoint.Hit(failpoint.Appended)
	return a.appended(done, batch[0].ID, events), nil
}

func (a *attempt[S, E]) eventID(i int) (uuid.UUID, error) {
	if a.target.cause != uuid.Nil {
		return eventID(a.target.cause, i), nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, fmt.Errorf("make an event id: %w", err)
	}
	return id, nil
}

// appended folds the command's own events: nobody needs to read them again.
func (a *attempt[S, E]) appended(done eventlog.Receipt, id uuid.UUID, events []E) Receipt {
	receipt := Receipt{
		Stream: a.target.stream, Revision: done.Revision, Position: done.Position, At: a.meta.At,
		Events: make([]eventschema.Event, len(events)), why: eventlog.Record{ID: id, Meta: a.meta},
	}
	for i, e := range events {
		receipt.Events[i] = e
		revision := a.past.Revision + 1
		if !eventschema.All.Passive(e.EventName()) {
			a.past.State = a.past.State.Evolve(e, revision)
		}
		a.past = a.past.moved(revision, done.Position, a.meta)
	}
	a.past = remember(a.h.states, a.target.stream, a.past)
	return receipt
}

// errNotStorable is the client's mistake. The gate at the edge refuses the same
// with more words: this is the second line.
var errNotStorable = fault.New(fault.Invalid, "invalid_request", "The request holds text or numbers that cannot be stored.")

func storable(err error) error {
	if errors.Is(err, eventschema.ErrNotStorable) {
		return fmt.Errorf("%w (%w)", errNotStorable, err)
	}
	return err
}

// known is the folded state of a stream as the cache has it, or read to its end.
// It serves what cannot change any more, and first glances that a decision
// repeats.
func known[S folder[S, E], E eventschema.Event](ctx context.Context, h *Handlers, stream string) (folded[S], error) {
	past, cached := recall[S](h.states, stream)
	if cached {
		return past, nil
	}
	a := attempt[S, E]{h: h, target: target{stream: stream}, past: past}
	if err := a.catchUp(ctx); err != nil {
		return folded[S]{}, err
	}
	return a.past, nil
}

// current is the folded state of a stream, read to its end.
func current[S folder[S, E], E eventschema.Event](ctx context.Context, h *Handlers, stream string) (folded[S], error) {
	a := attempt[S, E]{h: h, target: target{stream: stream}}
	a.past, _ = recall[S](h.states, stream)
	if err := a.catchUp(ctx); err != nil {
		return folded[S]{}, err
	}
	return a.past, nil
}
