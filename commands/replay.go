package commands

import (
	"context"
	"fmt"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/fault"
)

const (
	// replayPage is how many events one read of a recorded command asks for: most
	// commands appended one or two.
	replayPage = 8
	// indexWithin bounds one question to the index of keys.
	indexWithin = 2 * time.Second
)

// errIndex refuses a keyed command of which nobody can tell, at the moment,
// whether it was appended before.
var errIndex = fault.New(fault.Unavailable, "unavailable", "It cannot be told at the moment whether this request was made before; try again.").After(time.Second)

// indexed is what the index of keys said of a command's key.
type indexed struct {
	asked    bool
	found    bool
	revision int64
	// upTo is how far the index had come: of later commands it says nothing.
	upTo eventlog.Position
}

// replay answers a keyed command that was appended before. A creation is the
// first event of its stream, which nobody else can have made. Any other command
// is in the state's ring, or else in the index of all keys; the index counts only
// as far as it has come, and the ring holds everything newer.
func (a *attempt[S, E]) replay(ctx context.Context) (Receipt, bool, error) {
	if a.meta.IdempotencyKey == "" || a.past.Revision == eventlog.NoStream {
		return Receipt{}, false, nil
	}
	if a.target.fresh {
		return a.recorded(ctx, 0)
	}
	if k, ok := a.past.Keys.find(a.meta.IdempotencyKey); ok {
		return a.recorded(ctx, k.revision)
	}
	if err := a.ask(ctx, a.past.Keys); err != nil {
		return Receipt{}, false, err
	}
	if !a.index.found {
		return Receipt{}, false, nil
	}
	receipt, found, err := a.recorded(ctx, a.index.revision)
	if err == nil && !found {
		err = fmt.Errorf("%s has no command at %d, which the index of keys names", a.target.stream, a.index.revision)
	}
	return receipt, found, err
}

// askAhead asks the index, if that will be necessary, before the stream's lane is
// entered: the others must not wait for Postgres. What is cached of the stream
// says enough, since whatever is newer will be in the ring.
func (a *attempt[S, E]) askAhead(ctx context.Context) error {
	if a.meta.IdempotencyKey == "" || a.target.fresh {
		return nil
	}
	past, cached := glance[S](a.h.states, a.target.stream)
	if !cached {
		return nil
	}
	if _, ok := past.Keys.find(a.meta.IdempotencyKey); ok {
		return nil
	}
	return a.ask(ctx, past.Keys)
}

// ask asks the index for the command, unless the ring holds every keyed command
// of the stream or the index has said enough already.
func (a *attempt[S, E]) ask(ctx context.Context, ring *keyRing) error {
	if ring.complete() || a.h.keys == nil || a.index.found {
		return nil
	}
	oldest, err := a.oldest(ctx, ring)
	if err != nil || a.index.asked && !a.index.upTo.Less(oldest) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, indexWithin)
	defer cancel()
	revision, found, upTo, err := a.h.keys.FindKey(ctx, a.target.stream, a.meta.IdempotencyKey)
	if err != nil {
		return fmt.Errorf("%w (look for the idempotency key: %w)", errIndex, err)
	}
	a.index = indexed{asked: true, found: found, revision: revision, upTo: upTo}
	if !found && upTo.Less(oldest) {
		return errIndex
	}
	return nil
}

// oldest is the position from which on the ring knows every keyed command. On a
// server that tells no positions in stream reads it is the log's end.
func (a *attempt[S, E]) oldest(ctx context.Context, ring *keyRing) (eventlog.Position, error) {
	if p := ring.oldest(); !p.IsZero() {
		return p, nil
	}
	return a.h.log.Head(ctx)
}

// recorded rebuilds a command's receipt from the events that it appended, from
// revision on. It reports false when another command's events are there.
func (a *attempt[S, E]) recorded(ctx context.Context, revision int64) (Receipt, bool, error) {
	receipt := Receipt{Stream: a.target.stream, Replayed: true}
	for {
		page, err := a.h.log.Read(ctx, a.target.stream, revision+int64(len(receipt.Events)), replayPage)
		if err != nil {
			return Receipt{}, false, err
		}
		for _, r := range page {
			if r.Meta.IdempotencyKey != a.meta.IdempotencyKey {
				return receipt, len(receipt.Events) > 0, nil
			}
			if r.Meta.InputHash != a.meta.InputHash {
				return Receipt{}, false, ErrKeyReuse
			}
			if receipt, err = a.with(receipt, r); err != nil {
				return Receipt{}, false, err
			}
		}
		if len(page) < replayPage {
			return receipt, len(receipt.Events) > 0, nil
		}
	}
}

// with is a replayed receipt with one more of the command's events.
func (a *attempt[S, E]) with(receipt Receipt, r eventlog.Record) (Receipt, error) {
	ev, err := eventschema.All.Decode(r.Stored, a.h.vault)
	if err != nil {
		return Receipt{}, fmt.Errorf("read %s at %d: %w", r.Stream, r.Revision, err)
	}
	if len(receipt.Events) == 0 {
		receipt.At, receipt.why = r.Meta.At, r
	}
	receipt.Events = append(receipt.Events, ev)
	receipt.Revision, receipt.Position = r.Revision, r.Position
	return receipt, nil
}
