package eventlog

import (
	"context"
	"errors"
	"slices"
	"sync"
)

const (
	// tailItems and tailBytes bound what a tail keeps for its readers. Whoever is
	// further behind follows the log by itself.
	tailItems = 1024
	tailBytes = 4 << 20
	// tailPage is how much a reader takes at a time.
	tailPage = 64
)

// tail is the log's live end, followed once for everybody who has caught up: the
// log sends each event, and the client reads it, once for each subscription,
// however many of one process want to see it.
//
// It keeps the last items in a ring, from which each reader takes in its own time,
// and never waits for one.
type tail struct {
	stop    context.CancelFunc
	stopped chan struct{}

	mu      sync.Mutex
	readers []*tailReader
	ring    []Item // item n is at n modulo tailItems
	first   uint64 // the oldest item that is kept
	next    uint64 // the one that comes
	bytes   int
	floor   Position // the items kept follow it without a gap
	live    bool     // the log is not lost
}

// tails is the tail of a Log. It runs for as long as somebody reads from it.
type tails struct {
	mu      sync.Mutex
	current *tail // nil when nobody reads
}

// join makes a reader of everything after a position, or nil when the tail cannot
// tell all of that. A tail that nobody reads yet begins there if begin is set, for
// which the caller must have caught up. The reader must leave.
func (t *tails) join(ctx context.Context, l *Log, after Position, begin bool) *tailReader {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == nil && begin {
		t.current = newTail(ctx, l, after)
	}
	if t.current == nil {
		return nil
	}
	return t.current.join(after)
}

// leave ends a reader, and with the last one the tail.
func (t *tails) leave(r *tailReader) {
	t.mu.Lock()
	last := r.tail.part(r)
	if last {
		t.current = nil
	}
	t.mu.Unlock()
	if last {
		r.tail.stop()
		<-r.tail.stopped
	}
}

// newTail follows the log from a position on until it is stopped.
func newTail(ctx context.Context, l *Log, after Position) *tail {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // it outlives the reader it began with
	t := &tail{stop: stop, stopped: make(chan struct{}), ring: make([]Item, tailItems), floor: after, live: true}
	go func() {
		defer close(t.stopped)
		_ = l.subscribed(ctx, &after, func(item Item) error { // it ends with ctx alone
			t.push(item)
			return nil
		})
	}()
	return t
}

func (t *tail) join(after Position) *tailReader {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.live || after.Less(t.floor) {
		return nil
	}
	r := &tailReader{tail: t, next: t.next, news: make(chan struct{}, 1)}
	for r.next > t.first && !t.at(r.next-1).knownTo(after) {
		r.next--
	}
	t.readers = append(t.readers, r)
	r.tell()
	return r
}

// part reports whether r was the last reader.
func (t *tail) part(r *tailReader) (last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readers = slices.DeleteFunc(t.readers, func(other *tailReader) bool { return other == r })
	return len(t.readers) == 0
}

func (t *tail) at(n uint64) *Item { return &t.ring[n%tailItems] }

// push adds an item and tells the readers.
func (t *tail) push(item Item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !item.isRecord() {
		t.live = item.CaughtUp
	}
	if t.next-t.first == tailItems {
		t.drop()
	}
	*t.at(t.next) = item
	t.next++
	for t.bytes += item.size(); t.bytes > tailBytes; {
		t.drop()
	}
	for _, r := range t.readers {
		r.tell()
	}
}

// drop forgets the oldest item.
func (t *tail) drop() {
	item := t.at(t.first)
	if item.isRecord() {
		t.floor = item.Record.Position
	}
	t.bytes -= item.size()
	*item = Item{}
	t.first++
}

func (i *Item) isRecord() bool { return !i.CaughtUp && !i.Lost }

func (i *Item) size() int { return len(i.Record.Stored.Data) }

// knownTo reports whether i is a record at or before a position.
func (i *Item) knownTo(at Position) bool { return i.isRecord() && !at.Less(i.Record.Position) }

// tailReader is a follower at the tail.
type tailReader struct {
	tail *tail
	next uint64
	news chan struct{} // holds a token when there may be something to take
}

func (r *tailReader) tell() {
	select {
	case r.news <- struct{}{}:
	default: // it has not heard the last news yet
	}
}

// take adds what there is to page, as far as it has room. It reports false when
// the ring has left the reader behind.
func (r *tailReader) take(page []Item) ([]Item, bool) {
	t := r.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.next < t.first {
		return page, false
	}
	for ; r.next < t.next && len(page) < cap(page); r.next++ {
		page = append(page, *t.at(r.next))
	}
	return page, true
}

// errBehind says that a reader has to follow the log by itself for a while.
var errBehind = errors.New("the tail has gone on without its reader")

// read hands to handle what comes, and moves after behind it, until ctx ends,
// handle fails, or the reader is left behind.
func (r *tailReader) read(ctx context.Context, after *Position, handle func(Item) error) error {
	page := make([]Item, 0, tailPage)
	for ctx.Err() == nil {
		var with bool
		if page, with = r.take(page[:0]); !with {
			return errBehind
		}
		for i := range page {
			if page[i].knownTo(*after) { // the reader came with more than the tail had read
				continue
			}
			if err := handle(page[i]); err != nil {
				return err
			}
			if page[i].isRecord() {
				*after = page[i].Record.Position
			}
		}
		clear(page) // a reader that waits holds no events
		if len(page) > 0 {
			continue
		}
		select {
		case <-r.news:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}
