package engine

import (
	"context"
	"errors"
	"iter"
	"math"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// Kind says what a Message is.
type Kind uint8

// The kinds of message. A subscription's first is Confirmed.
const (
	Confirmed Kind = iota
	EventAppeared
	CaughtUp
	Checkpoint
)

// Message is one step of a subscription.
type Message struct {
	Kind     Kind
	Resolved Resolved // of EventAppeared
	Position Position // of Checkpoint: nothing that follows is at or before it
}

// place is the position in the log that the message speaks of.
func (m Message) place() uint64 {
	switch {
	case m.Resolved.Link != nil:
		return m.Resolved.Link.Position
	case m.Resolved.Event != nil:
		return m.Resolved.Event.Position
	default:
		return m.Position.Commit
	}
}

// Start is where a subscription begins: after something, or, when neither field
// is set, with the first event.
type Start[T any] struct {
	After *T
	End   bool // only what is new
}

// StreamSubscription is a request to follow a stream, which need not exist.
type StreamSubscription struct {
	Stream       string
	Start        Start[uint64]
	ResolveLinks bool
}

// AllSubscription is a request to follow the log.
type AllSubscription struct {
	Start        Start[Position]
	ResolveLinks bool
	// Filter, if set, also brings checkpoints: one after every CheckpointEvery
	// events of the log, whether they match or not, and one before catching up.
	Filter          *Filter
	CheckpointEvery uint64
}

// SubscribeStream follows a stream until ctx ends, whose cause it then ends
// with, or until the stream is closed. A reader may be as slow as it likes.
func (e *Engine) SubscribeStream(ctx context.Context, s StreamSubscription) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if err := checkName(s.Stream); err != nil {
			yield(Message{}, err)
			return
		}
		w, err := e.window(ctx, s.Stream)
		if err != nil {
			yield(Message{}, err)
			return
		}
		f := &streamFollower{engine: e, stream: s.Stream, resolveLinks: s.ResolveLinks}
		switch {
		case s.Start.End:
			f.next = uint64(w.Last + 1)
		case s.Start.After != nil && *s.Start.After >= storage.TombstoneRevision:
			f.next = storage.TombstoneRevision
		case s.Start.After != nil:
			f.next = *s.Start.After + 1
		}
		watch := e.log.WatchStream(s.Stream)
		defer watch.Close()
		e.follow(ctx, watch, f, yield)
	}
}

// SubscribeAll follows the log until ctx ends, whose cause it then ends with. A
// reader may be as slow as it likes.
func (e *Engine) SubscribeAll(ctx context.Context, s AllSubscription) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		if s.Filter != nil && s.CheckpointEvery == 0 {
			yield(Message{}, invalid("the checkpoint interval is zero"))
			return
		}
		f := &allFollower{engine: e, filter: s.Filter, every: s.CheckpointEvery, resolveLinks: s.ResolveLinks, next: 1}
		switch {
		case s.Start.End:
			f.next = e.log.Head() + 1
		case s.Start.After != nil:
			next, ok := s.Start.After.after()
			f.next, f.never = next, !ok
		}
		watch := e.log.WatchAll()
		defer watch.Close()
		e.follow(ctx, watch, f, yield)
	}
}

// follower walks a source of events towards its end, page by page.
type follower interface {
	// page appends the messages of the next page to dst. It reports whether it
	// has come to the end of what is there now.
	page(ctx context.Context, dst []Message) (messages []Message, atEnd bool, err error)
	// start is a position of the log before which nothing is of interest.
	start() uint64
	// caughtUp appends what is to be said before CaughtUp.
	caughtUp(dst []Message) []Message
}

// follow is the only loop that subscriptions have. There is no queue of live
// events and so no hand-over to it, where events could be lost or repeated: a
// subscription reads the log up to the head, says so once, and waits for the
// head to move. One that cannot keep up is behind, and says so again when it is
// not.
func (e *Engine) follow(ctx context.Context, watch *storage.Watch, f follower, yield func(Message, error) bool) {
	if !yield(Message{Kind: Confirmed}, nil) {
		return
	}
	handedOver := e.progress.begin(f.start())
	defer e.progress.end(handedOver)
	var messages []Message
	for live := false; ; {
		var atEnd bool
		var err error
		head := e.log.Head()
		messages, atEnd, err = f.page(ctx, messages[:0])
		if atEnd && !live && err == nil {
			messages = append(f.caughtUp(messages), Message{Kind: CaughtUp})
		}
		live = atEnd
		for _, m := range messages {
			if !yield(m, nil) {
				return
			}
		}
		if atEnd {
			handedOver.Store(waiting)
		} else if n := len(messages); n > 0 {
			handedOver.Store(max(handedOver.Load(), messages[n-1].place()))
		}
		clear(messages) // a subscription that waits holds no events
		if err == nil && !atEnd {
			err = context.Cause(ctx)
		}
		if err == nil && atEnd {
			select {
			case <-watch.C():
				handedOver.Store(head)
			case <-ctx.Done():
				err = context.Cause(ctx)
			case <-e.log.Failed():
				err = e.log.Err()
			}
		}
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			yield(Message{}, err)
			return
		}
	}
}

// streamFollower follows a stream.
type streamFollower struct {
	engine       *Engine
	stream       string
	resolveLinks bool
	next         uint64
}

func (f *streamFollower) page(ctx context.Context, dst []Message) ([]Message, bool, error) {
	w, err := f.engine.window(ctx, f.stream)
	if _, deleted := errors.AsType[*DeletedError](err); deleted && w.Tombstoned {
		return f.closing(ctx, w, dst, err)
	}
	if _, deleted := errors.AsType[*DeletedError](err); deleted {
		// The stream whose metadata this was is closed: nothing more can come.
		return dst, true, nil
	}
	if err != nil {
		return dst, false, err
	}
	return f.events(ctx, w, dst)
}

func (f *streamFollower) events(ctx context.Context, w window, dst []Message) ([]Message, bool, error) {
	if w.missing() || w.empty() {
		return dst, true, nil
	}
	from, last := max(f.next, uint64(w.low)), uint64(w.Last)
	var page []*storage.Event
	next, err := f.engine.log.ScanStream(f.stream, from, last, w.since, func(event *storage.Event) bool {
		page = append(page, event.Clone())
		return true
	})
	dst, resolveErr := f.engine.appeared(ctx, dst, page, f.resolveLinks)
	f.next = max(f.next, next)
	return dst, next > last, errors.Join(err, resolveErr)
}

// closing gives what is left of a stream that was closed, then its closing
// event, then the error.
func (f *streamFollower) closing(ctx context.Context, w window, dst []Message, closed error) ([]Message, bool, error) {
	dst, atEnd, err := f.events(ctx, f.engine.windowOf(w.Stream), dst)
	if err != nil || !atEnd {
		return dst, atEnd, err
	}
	event, found, err := f.engine.log.Event(f.stream, storage.TombstoneRevision)
	if err != nil || !found {
		return dst, false, errors.Join(err, closed)
	}
	return append(dst, Message{Kind: EventAppeared, Resolved: Resolved{Event: event}}), false, closed
}

// start is the log's first position: where in the log a revision lies is only
// known when it has been read.
func (f *streamFollower) start() uint64 { return 0 }

func (f *streamFollower) caughtUp(dst []Message) []Message { return dst }

// allFollower follows the log.
type allFollower struct {
	engine       *Engine
	filter       *Filter
	resolveLinks bool
	every        uint64 // events considered between two checkpoints
	considered   uint64 // since the last checkpoint
	next         uint64
	never        bool // the start is past anything that there can be
	last         uint64
}

func (f *allFollower) start() uint64 {
	if f.never {
		return math.MaxUint64
	}
	return f.next - 1
}

func (f *allFollower) page(ctx context.Context, dst []Message) ([]Message, bool, error) {
	head := f.engine.log.Head()
	if f.never || f.next > head {
		return dst, true, nil
	}
	var page []*storage.Event
	var marks []mark
	next, err := f.engine.log.ScanAll(f.next, head, func(event *storage.Event) bool {
		if f.filter.wants(event) {
			page = append(page, event.Clone())
		}
		if f.consider(event.Position) {
			marks = append(marks, mark{behind: len(page), position: event.Position})
		}
		return true
	})
	f.next = next
	done := 0
	for _, m := range marks {
		var err error
		if dst, err = f.engine.appeared(ctx, dst, page[done:m.behind], f.resolveLinks); err != nil {
			return dst, false, err
		}
		done = m.behind
		dst = append(dst, Message{Kind: Checkpoint, Position: at(m.position)})
	}
	dst, resolveErr := f.engine.appeared(ctx, dst, page[done:], f.resolveLinks)
	return dst, next > head, errors.Join(err, resolveErr)
}

// mark is a checkpoint's place among a page's events.
type mark struct {
	behind   int // events of the page
	position uint64
}

// consider counts an event and tells whether a checkpoint is due at it.
func (f *allFollower) consider(position uint64) bool {
	if f.filter == nil {
		return false
	}
	f.last = position
	f.considered++
	if f.considered < f.every {
		return false
	}
	f.considered = 0
	return true
}

func (f *allFollower) caughtUp(dst []Message) []Message {
	if f.considered == 0 {
		return dst
	}
	f.considered = 0
	return append(dst, Message{Kind: Checkpoint, Position: at(f.last)})
}

// appeared makes messages of a page's events.
func (e *Engine) appeared(ctx context.Context, dst []Message, page []*storage.Event, resolveLinks bool) ([]Message, error) {
	for _, event := range page {
		r, err := e.asAsked(ctx, event, resolveLinks)
		if err != nil {
			return dst, err
		}
		dst = append(dst, Message{Kind: EventAppeared, Resolved: r})
	}
	return dst, nil
}
