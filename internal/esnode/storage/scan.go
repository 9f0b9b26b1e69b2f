package storage

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// A page bounds what one scan visits, so that no iterator lives long and no
// page takes much memory, however slow its reader is.
const (
	pageEvents = 1000
	pageBytes  = 1 << 20
)

// Visit sees one event, a view that ends with the call, and says whether to go
// on to the next.
type Visit func(*Event) bool

// ScanAll visits events of the log in order, from the first at or after from up
// to and including to, which must not be above the head. It stops after a page.
// It returns where the next page starts: a position past to when all were
// visited.
func (l *Log) ScanAll(from, to uint64, visit Visit) (next uint64, err error) {
	if err := l.enter(); err != nil {
		return from, err
	}
	defer l.leave()
	if from > to {
		return from, nil
	}
	if events, ok := l.tail.between(from, to); ok {
		return visitAll(events, from, visit), nil
	}
	return l.scanAll(from, to, visit)
}

func visitAll(events []*Event, from uint64, visit Visit) (next uint64) {
	next = from
	p := page{}
	for _, e := range events {
		next = e.Position + e.Size()
		if !visit(e) || p.full(e) {
			break
		}
	}
	return next
}

func (l *Log) scanAll(from, to uint64, visit Visit) (next uint64, err error) {
	it, err := l.db.NewIter(eventBounds())
	if err != nil {
		return from, fmt.Errorf("scan the log: %w", err)
	}
	defer release(it)
	// The record before the first tells where the first must be, so that not
	// even a hole between two pages goes unnoticed.
	expected := firstPosition
	ok := it.SeekLT(appendEventKey(nil, from))
	if ok {
		e, err := eventAt(it)
		if err != nil {
			return from, err
		}
		expected = e.Position + e.Size()
		ok = it.Next()
	} else {
		ok = it.First()
	}
	p, e := page{}, Event{}
	for ; ok && expected <= to; ok = it.Next() {
		if e, err = eventAt(it); err != nil {
			return expected, err
		}
		if e.Position != expected {
			return expected, holeError(expected, e.Position)
		}
		expected = e.Position + e.Size()
		if !visit(&e) || p.full(&e) {
			return expected, nil
		}
	}
	if err := it.Error(); err != nil {
		return expected, scanError(err)
	}
	if expected <= to {
		return expected, fmt.Errorf("the log ends before position %d, at %d: %w", to, expected, ErrCorrupt)
	}
	return expected, nil
}

// scanError tells what rots in Pebble's own blocks from what fails otherwise.
func scanError(err error) error {
	if errors.Is(err, pebble.ErrCorruption) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return fmt.Errorf("scan the log: %w", err)
}

// ScanAllBack visits events of the log in reverse order, from the last at or
// below from, which must not be above the head. It stops after a page. It
// returns where the next page starts: zero when all were visited.
func (l *Log) ScanAllBack(from uint64, visit Visit) (next uint64, err error) {
	if err := l.enter(); err != nil {
		return from, err
	}
	defer l.leave()
	if from < firstPosition {
		return 0, nil
	}
	it, err := l.db.NewIter(eventBounds())
	if err != nil {
		return from, fmt.Errorf("scan the log: %w", err)
	}
	defer release(it)
	p, e := page{}, Event{}
	end := uint64(0) // where the event must end that precedes the last visited
	for ok := it.SeekLT(appendEventKey(nil, from+1)); ok; ok = it.Prev() {
		if e, err = eventAt(it); err != nil {
			return from, err
		}
		if end != 0 && e.Position+e.Size() != end {
			return from, holeError(e.Position+e.Size(), end)
		}
		end = e.Position
		from = e.Position - 1
		if !visit(&e) || p.full(&e) {
			return from, nil
		}
	}
	if err := it.Error(); err != nil {
		return from, scanError(err)
	}
	if end != firstPosition {
		return from, holeError(firstPosition, end)
	}
	return 0, nil
}

// ScanStream visits events of one stream in order, from revision from up to and
// including to, which must exist. Events that are older than since (in ticks)
// are passed over without being read. It stops after a page and returns where
// the next one starts: a revision past to when all were visited.
func (l *Log) ScanStream(name string, from, to uint64, since int64, visit Visit) (next uint64, err error) {
	if err := l.enter(); err != nil {
		return from, err
	}
	defer l.leave()
	if from > to {
		return from, nil
	}
	s, err := l.streamScan(name, from, to)
	if err != nil {
		return from, err
	}
	defer s.close()
	p, e := page{}, Event{}
	for ok := s.index.First(); ok; ok = s.index.Next() {
		entry, err := s.entry(from)
		if err != nil {
			return from, err
		}
		from++
		if entry.created < since {
			continue
		}
		if e, err = s.event(entry); err != nil {
			return from, err
		}
		if !visit(&e) || p.full(&e) {
			return from, nil
		}
	}
	return from, s.ended(from, to)
}

// ScanStreamBack visits events of one stream in reverse order, from revision
// from, which must exist, down to and including to. Otherwise it is as
// ScanStream. It returns where the next page starts, and false when all were
// visited.
func (l *Log) ScanStreamBack(name string, from, to uint64, since int64, visit Visit) (next uint64, more bool, err error) {
	if err := l.enter(); err != nil {
		return from, false, err
	}
	defer l.leave()
	if from < to {
		return from, false, nil
	}
	s, err := l.streamScan(name, to, from)
	if err != nil {
		return from, false, err
	}
	defer s.close()
	p, e := page{}, Event{}
	for ok := s.index.Last(); ok; ok = s.index.Prev() {
		entry, err := s.entry(from)
		if err != nil {
			return from, false, err
		}
		if entry.created >= since {
			if e, err = s.event(entry); err != nil {
				return from, false, err
			}
			if !visit(&e) || p.full(&e) {
				return from - 1, from > to, nil
			}
		}
		if from == to {
			return from, false, nil
		}
		from--
	}
	if err := s.index.Error(); err != nil {
		return from, false, fmt.Errorf("scan stream %q: %w", name, err)
	}
	return from, false, missingError(name, from)
}

// Stream reads a stream's state, and waits until what it rests on is durable.
func (l *Log) Stream(ctx context.Context, name string) (Stream, error) {
	if err := l.enter(); err != nil {
		return Stream{}, err
	}
	defer l.leave()
	s, err := l.stream(name)
	if err != nil {
		return Stream{}, err
	}
	return s, l.await(ctx, s.At)
}

// Event reads one event of a stream, with memory of its own. The caller knows
// from Stream that the revision is durable.
func (l *Log) Event(stream string, revision uint64) (*Event, bool, error) {
	if err := l.enter(); err != nil {
		return nil, false, err
	}
	defer l.leave()
	return l.event(stream, revision)
}

func (l *Log) stream(name string) (Stream, error) {
	if s, ok := l.states.get(name); ok {
		return s, nil
	}
	value, closer, err := l.db.Get(appendStreamKey(make([]byte, 0, 1+len(name)), name))
	if errors.Is(err, pebble.ErrNotFound) {
		return Stream{Last: NoRevision}, nil
	}
	if err != nil {
		return Stream{}, fmt.Errorf("read the state of stream %q: %w", name, err)
	}
	defer release(closer)
	return decodeStream(name, value)
}

func (l *Log) event(stream string, revision uint64) (*Event, bool, error) {
	value, closer, err := l.db.Get(appendIndexKey(make([]byte, 0, indexKeyLen(stream)), stream, revision))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("find event %d of stream %q: %w", revision, stream, err)
	}
	entry, err := decodeIndexValue(value)
	if err := errors.Join(err, closer.Close()); err != nil {
		return nil, false, fmt.Errorf("find event %d of stream %q: %w", revision, stream, err)
	}
	record, closer, err := l.db.Get(appendEventKey(make([]byte, 0, eventKeyLen), entry.position))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, missingError(stream, revision)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read event %d of stream %q: %w", revision, stream, err)
	}
	defer release(closer)
	e, err := decodeRecord(entry.position, record)
	if err != nil {
		return nil, false, err
	}
	if e.Revision != revision || string(e.Stream) != stream {
		return nil, false, strayError(stream, revision, &e)
	}
	return e.Clone(), true, nil
}

// page counts what a scan has visited.
type page struct {
	events int
	bytes  uint64
}

func (p *page) full(e *Event) bool {
	p.events++
	p.bytes += e.Size()
	return p.events >= pageEvents || p.bytes >= pageBytes
}

func eventBounds() *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: []byte{eventPrefix}, UpperBound: []byte{eventPrefix + 1}}
}

// release gives back an iterator, whose error has been looked at where it
// matters, or a value or a batch, which have none.
func release(c io.Closer) { _ = c.Close() }

// eventAt decodes the event that the iterator stands on.
func eventAt(it *pebble.Iterator) (Event, error) {
	position, err := eventKeyPosition(it.Key())
	if err != nil {
		return Event{}, err
	}
	record, err := it.ValueAndErr()
	if err != nil {
		return Event{}, fmt.Errorf("read the event at %d: %w", position, err)
	}
	return decodeRecord(position, record)
}

func holeError(expected, found uint64) error {
	return fmt.Errorf("the log has no event at %d, the next is at %d: %w", expected, found, ErrCorrupt)
}

func missingError(stream string, revision uint64) error {
	return fmt.Errorf("event %d of stream %q is missing: %w", revision, stream, ErrCorrupt)
}

func strayError(stream string, revision uint64, e *Event) error {
	return fmt.Errorf("in place of event %d of stream %q lies event %d of %q: %w",
		revision, stream, e.Revision, e.Stream, ErrCorrupt)
}
