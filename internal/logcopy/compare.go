package logcopy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"iter"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// present is what a target has that its ledger does not tell of yet.
type present struct {
	events   []*esdb.RecordedEvent
	metadata map[place]*esdb.RecordedEvent
}

// place is an event's in its stream.
type place struct {
	stream   string
	revision uint64
}

func placeOf(e *esdb.RecordedEvent) place { return place{e.StreamID, e.EventNumber} }

func (p *present) read(ctx context.Context, s *Store, l *ledger) error {
	p.metadata = map[place]*esdb.RecordedEvent{}
	if l.at == (esdb.Position{}) { // the copy has just begun
		return nil
	}
	for e, err := range own(s.events(ctx, l.at)) {
		switch {
		case err != nil:
			return err
		case l.holds(e.StreamID):
		case isMetadata(e):
			p.metadata[placeOf(e)] = e
		default:
			p.events = append(p.events, e)
		}
	}
	return nil
}

// take reports whether the target has the source's next event. It fails if it has
// another there.
func (p *present) take(e *esdb.RecordedEvent) (bool, error) {
	there := p.metadata[placeOf(e)]
	switch {
	case isMetadata(e):
		delete(p.metadata, placeOf(e))
	case len(p.events) > 0:
		there, p.events = p.events[0], p.events[1:]
	}
	if there != nil && !same(e, there) {
		return false, fmt.Errorf("the source has %s, the target %s: %w", describe(e), describe(there), ErrDifferent)
	}
	return there != nil, nil
}

// any is one that was not taken.
func (p *present) any() *esdb.RecordedEvent {
	for _, e := range p.events {
		return e
	}
	for _, e := range p.metadata {
		return e
	}
	return nil
}

// maxDisplaced bounds how many events of streams' metadata may wait for the same
// event of the other side.
const maxDisplaced = 10_000

// comparison walks through two logs side by side.
type comparison struct {
	digest  hash.Hash
	report  Report
	waiting [2]map[place]*esdb.RecordedEvent // metadata that only one side has had yet
}

// compare compares the logs, the source's up to a position, the target's but for
// what skip names. Streams' metadata, which servers write by themselves too, may
// lie a little before or behind.
func compare(ctx context.Context, from, to *Store, end esdb.Position, skip func(string) bool, progress func(Progress)) (Report, error) {
	source, stop := iter.Pull2(own(from.events(ctx, esdb.Position{})))
	defer stop()
	target, stop := iter.Pull2(own(to.events(ctx, esdb.Position{})))
	defer stop()
	c := &comparison{digest: sha256.New(), waiting: [2]map[place]*esdb.RecordedEvent{{}, {}}}
	sides := [2]func() (*esdb.RecordedEvent, error){
		func() (*esdb.RecordedEvent, error) {
			e, err, ok := source()
			if ok && err == nil && before(end, e.Position) {
				return nil, ErrGrown
			}
			return e, err
		},
		func() (*esdb.RecordedEvent, error) {
			for {
				if e, err, ok := target(); !ok || err != nil || !skip(e.StreamID) {
					return e, err
				}
			}
		},
	}
	var heads [2]*esdb.RecordedEvent
	taken := [2]bool{true, true}
	for {
		for side := range sides {
			if !taken[side] {
				continue
			}
			var err error
			if heads[side], err = sides[side](); err != nil {
				return Report{}, err
			}
		}
		if heads[0] == nil && heads[1] == nil {
			return c.finish()
		}
		var err error
		if taken, err = c.step(heads); err != nil {
			return Report{}, err
		}
		if c.report.Events%tellEvery == 0 {
			progress(Progress{Comparing: true, Events: c.report.Events})
		}
	}
}

// step compares the heads, and tells of which sides the next is wanted.
func (c *comparison) step(heads [2]*esdb.RecordedEvent) (taken [2]bool, err error) {
	a, b := heads[0], heads[1]
	switch {
	case a != nil && b != nil && same(a, b):
		c.count(b)
		return [2]bool{true, true}, nil
	case a != nil && isMetadata(a):
		return [2]bool{true, false}, c.displaced(0, a)
	case b != nil && isMetadata(b):
		return [2]bool{false, true}, c.displaced(1, b)
	default:
		return taken, fmt.Errorf("the source has %s, the target %s: %w", describe(a), describe(b), ErrDifferent)
	}
}

// displaced looks for an event among those of the other side that wait for theirs.
func (c *comparison) displaced(side int, e *esdb.RecordedEvent) error {
	there := c.waiting[1-side][placeOf(e)]
	switch {
	case there == nil && len(c.waiting[side]) >= maxDisplaced:
		return fmt.Errorf("one side alone has %s: %w", describe(e), ErrDifferent)
	case there == nil:
		c.waiting[side][placeOf(e)] = e
		return nil
	case !same(e, there):
		return fmt.Errorf("one side has %s, the other %s: %w", describe(e), describe(there), ErrDifferent)
	default:
		delete(c.waiting[1-side], placeOf(e))
		c.count(e)
		return nil
	}
}

func (c *comparison) finish() (Report, error) {
	for side, of := range []string{"source", "target"} {
		for _, e := range c.waiting[side] {
			return Report{}, fmt.Errorf("only the %s has %s: %w", of, describe(e), ErrDifferent)
		}
	}
	c.report.Digest = hex.EncodeToString(c.digest.Sum(nil))
	return c.report, nil
}

// count takes an event that both sides have. Streams' metadata is not in the
// digest: its order and its bytes may be the servers' own.
func (c *comparison) count(e *esdb.RecordedEvent) {
	c.report.Events++
	if isMetadata(e) || e.EventType == tombstoneType {
		return
	}
	if e.EventNumber == 0 {
		c.report.Streams++
	}
	c.put([]byte(e.StreamID))
	c.digest.Write(binary.BigEndian.AppendUint64(nil, e.EventNumber))
	c.digest.Write(e.EventID[:])
	c.put([]byte(e.EventType))
	c.put([]byte(e.ContentType))
	c.put(e.Data)
	c.put(e.UserMetadata)
}

func (c *comparison) put(field []byte) {
	c.digest.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
	c.digest.Write(field)
}
