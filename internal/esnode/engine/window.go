package engine

import (
	"context"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// window is the part of a stream that may be shown now.
type window struct {
	storage.Stream

	low   int64 // the first revision that may be shown
	since int64 // events created before it (in ticks) may not be
}

// empty is true also when the stream does not exist.
func (w window) empty() bool { return w.low > w.Last }

// missing is true for a stream that was never written or is softly deleted.
func (w window) missing() bool {
	return w.Last == storage.NoRevision || w.Retention.TruncateBefore == deletedBefore
}

// window gives the part of a stream that may be shown. The error is a
// *DeletedError for a stream that is closed, and for the metadata of one.
func (e *Engine) window(ctx context.Context, stream string) (window, error) {
	owner, isMeta := ownerOf(stream)
	if isMeta {
		o, err := e.log.Stream(ctx, owner)
		if err != nil {
			return window{}, err
		}
		if o.Tombstoned {
			return window{}, &DeletedError{Stream: stream}
		}
	}
	s, err := e.log.Stream(ctx, stream)
	if err != nil {
		return window{}, err
	}
	if s.Tombstoned {
		return window{Stream: s}, &DeletedError{Stream: stream}
	}
	if isMeta {
		// A metadata stream shows its last event, whatever its own metadata says.
		s.Retention = storage.Retention{MaxCount: 1}
	}
	return e.windowOf(s), nil
}

func (e *Engine) windowOf(s storage.Stream) window {
	w := window{Stream: s, low: s.Retention.TruncateBefore}
	if n := s.Retention.MaxCount; n > 0 {
		w.low = max(w.low, s.Last-n+1)
	}
	if age := s.Retention.MaxAge; age > 0 {
		const ticksPerSecond = 10_000_000
		// Compared in seconds first: an age may be any number.
		if now := e.now().UnixNano() / 100; age < now/ticksPerSecond {
			w.since = now - age*ticksPerSecond
		}
	}
	return w
}
