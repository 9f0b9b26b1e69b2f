package storage

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// streamScan walks a stream's index and fetches the events it names.
type streamScan struct {
	name   string
	index  *pebble.Iterator
	events *pebble.Iterator
	key    []byte
}

func (l *Log) streamScan(name string, low, high uint64) (*streamScan, error) {
	index, err := l.db.NewIter(&pebble.IterOptions{
		LowerBound: appendIndexKey(nil, name, low),
		UpperBound: appendIndexKey(nil, name, high+1),
	})
	if err != nil {
		return nil, fmt.Errorf("scan stream %q: %w", name, err)
	}
	// Made after the index's iterator, it sees every event that the index names.
	events, err := l.db.NewIter(eventBounds())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("scan stream %q: %w", name, err), index.Close())
	}
	return &streamScan{name: name, index: index, events: events}, nil
}

func (s *streamScan) close() {
	release(s.index)
	release(s.events)
}

// entry is the index's entry for the revision that must come now.
func (s *streamScan) entry(revision uint64) (indexEntry, error) {
	if found := indexKeyRevision(s.index.Key()); found != revision {
		return indexEntry{}, missingError(s.name, revision)
	}
	value, err := s.index.ValueAndErr()
	if err != nil {
		return indexEntry{}, fmt.Errorf("find event %d of stream %q: %w", revision, s.name, err)
	}
	entry, err := decodeIndexValue(value)
	if err != nil {
		return indexEntry{}, fmt.Errorf("find event %d of stream %q: %w", revision, s.name, err)
	}
	entry.revision = revision
	return entry, nil
}

func (s *streamScan) event(entry indexEntry) (Event, error) {
	s.key = appendEventKey(s.key[:0], entry.position)
	if !s.events.SeekGE(s.key) {
		return Event{}, errors.Join(s.events.Error(), missingError(s.name, entry.revision))
	}
	e, err := eventAt(s.events)
	if err != nil {
		return Event{}, err
	}
	if e.Position != entry.position {
		return Event{}, missingError(s.name, entry.revision)
	}
	if e.Revision != entry.revision || string(e.Stream) != s.name {
		return Event{}, strayError(s.name, entry.revision, &e)
	}
	return e, nil
}

func (s *streamScan) ended(next, to uint64) error {
	if err := s.index.Error(); err != nil {
		return fmt.Errorf("scan stream %q: %w", s.name, err)
	}
	if next <= to {
		return missingError(s.name, next)
	}
	return nil
}
