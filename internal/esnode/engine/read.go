package engine

import (
	"context"
	"iter"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// StreamRead is a request to read a stream. From is inclusive. Forwards from
// past the end gives nothing; backwards from past the end begins at the last
// event.
type StreamRead struct {
	Stream       string
	From         uint64
	Backwards    bool
	Count        uint64
	ResolveLinks bool
}

// AllRead is a request to read the log. From is inclusive forwards and exclusive
// backwards; FromEnd overrides it.
type AllRead struct {
	From         Position
	FromEnd      bool
	Backwards    bool
	Count        uint64
	ResolveLinks bool
	Filter       *Filter // nil gives all
}

// ReadStream reads what a stream held when the reading began. The errors are
// ErrStreamNotFound, *DeletedError, *InvalidError, and the log's own.
func (e *Engine) ReadStream(ctx context.Context, r StreamRead) iter.Seq2[Resolved, error] {
	return func(yield func(Resolved, error) bool) {
		if err := checkName(r.Stream); err != nil {
			yield(Resolved{}, err)
			return
		}
		w, err := e.window(ctx, r.Stream)
		if err == nil && w.missing() {
			err = ErrStreamNotFound
		}
		if err != nil {
			yield(Resolved{}, err)
			return
		}
		e.pages(ctx, r.Count, r.ResolveLinks, e.streamPages(r, w))(yield)
	}
}

// ReadAll reads what the log held when the reading began.
func (e *Engine) ReadAll(ctx context.Context, r AllRead) iter.Seq2[Resolved, error] {
	if r.Backwards {
		return e.pages(ctx, r.Count, r.ResolveLinks, e.allPagesBack(r))
	}
	return e.pages(ctx, r.Count, r.ResolveLinks, e.allPages(r))
}

// nextPage visits the events of one page and tells whether there is another.
type nextPage func(storage.Visit) (more bool, err error)

// pages reads up to count events page by page. Each page is taken out of
// storage before its consumer, who may be slow, sees any of it.
func (e *Engine) pages(ctx context.Context, count uint64, resolveLinks bool, next nextPage) iter.Seq2[Resolved, error] {
	return func(yield func(Resolved, error) bool) {
		var page []*storage.Event
		for more := true; more && count > 0; {
			var err error
			page = page[:0]
			more, err = next(func(event *storage.Event) bool {
				page = append(page, event.Clone())
				return uint64(len(page)) < count
			})
			for i := range page {
				r, err := e.asAsked(ctx, page[i], resolveLinks)
				if !yield(r, err) || err != nil {
					return
				}
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Resolved{}, err)
				return
			}
			count -= uint64(len(page))
		}
	}
}

func (e *Engine) asAsked(ctx context.Context, event *storage.Event, resolveLinks bool) (Resolved, error) {
	if resolveLinks {
		return e.resolve(ctx, event)
	}
	return Resolved{Event: event}, nil
}

func (e *Engine) streamPages(r StreamRead, w window) nextPage {
	from, low, last := r.From, uint64(max(w.low, 0)), uint64(w.Last)
	if r.Backwards {
		from = min(from, last)
		return func(visit storage.Visit) (more bool, err error) {
			if from < low {
				return false, nil
			}
			from, more, err = e.log.ScanStreamBack(r.Stream, from, low, w.since, visit)
			return more, err
		}
	}
	from = max(from, low)
	return func(visit storage.Visit) (more bool, err error) {
		from, err = e.log.ScanStream(r.Stream, from, last, w.since, visit)
		return from <= last, err
	}
}

func (e *Engine) allPages(r AllRead) nextPage {
	head := e.log.Head()
	from, ok := r.From.from()
	if !ok || r.FromEnd {
		from = head + 1
	}
	return func(visit storage.Visit) (more bool, err error) {
		from, err = e.log.ScanAll(from, head, filtered(r.Filter, visit))
		return from <= head, err
	}
}

func (e *Engine) allPagesBack(r AllRead) nextPage {
	head := e.log.Head()
	from, ok := r.From.before()
	if r.FromEnd {
		from, ok = head, true
	}
	from = min(from, head)
	return func(visit storage.Visit) (more bool, err error) {
		if !ok {
			return false, nil
		}
		from, err = e.log.ScanAllBack(from, filtered(r.Filter, visit))
		return from > 0, err
	}
}

func filtered(f *Filter, visit storage.Visit) storage.Visit {
	if f == nil {
		return visit
	}
	return func(event *storage.Event) bool { return !f.wants(event) || visit(event) }
}
