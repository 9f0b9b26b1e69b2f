package commands

import (
	"context"
	"fmt"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// maxReplay bounds how many events a command may have appended.
const maxReplay = 256

// replay answers a keyed command that was appended before. Its key is in the
// state's ring, or else in the index of all keys; the index counts only as far as
// it has come, and the ring holds everything newer.
func (a *attempt[S, E]) replay(ctx context.Context) (Receipt, bool, error) {
	if a.meta.IdempotencyKey == "" {
		return Receipt{}, false, nil
	}
	if k, ok := a.past.Keys.find(a.meta.IdempotencyKey); ok {
		receipt, err := a.recorded(ctx, k.revision)
		return receipt, true, err
	}
	if a.past.Keys.complete() || a.h.keys == nil {
		return Receipt{}, false, nil
	}
	revision, found, indexed, err := a.h.keys.FindKey(ctx, a.target.stream, a.meta.IdempotencyKey)
	switch {
	case err != nil:
		return Receipt{}, false, fmt.Errorf("look for the idempotency key: %w", err)
	case found:
		receipt, err := a.recorded(ctx, revision)
		return receipt, true, err
	case indexed.Less(a.past.Keys.oldest()):
		return Receipt{}, false, eventlog.ErrUnavailable.Saying("The index of idempotency keys is catching up; try again.")
	}
	return Receipt{}, false, nil
}

// recorded rebuilds a command's receipt from the events that it appended.
func (a *attempt[S, E]) recorded(ctx context.Context, revision int64) (Receipt, error) {
	page, err := a.h.log.Read(ctx, a.target.stream, revision, maxReplay)
	if err != nil {
		return Receipt{}, err
	}
	receipt := Receipt{Stream: a.target.stream, Replayed: true}
	for _, r := range page {
		if r.Meta.IdempotencyKey != a.meta.IdempotencyKey {
			break
		}
		if r.Meta.InputHash != a.meta.InputHash {
			return Receipt{}, ErrKeyReuse
		}
		ev, err := eventschema.All.Decode(r.Stored, a.h.vault)
		if err != nil {
			return Receipt{}, fmt.Errorf("read %s at %d: %w", r.Stream, r.Revision, err)
		}
		if len(receipt.Events) == 0 {
			receipt.At = r.Meta.At
		}
		receipt.Events = append(receipt.Events, ev)
		receipt.Revision, receipt.Position = r.Revision, r.Position
	}
	if len(receipt.Events) == 0 {
		return Receipt{}, fmt.Errorf("%s has no command at %d that its keys name", a.target.stream, revision)
	}
	return receipt, nil
}
