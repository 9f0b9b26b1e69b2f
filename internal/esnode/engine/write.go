package engine

import (
	"context"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// Append is a request to append events to a stream, all or none.
type Append struct {
	Stream   string
	Expected Expected
	Events   []storage.NewEvent
}

// Receipt tells where an append went: the revision and position of its last
// event. An append of no events has the stream's last revision, which may be
// storage.NoRevision, and no position.
type Receipt struct {
	Revision int64
	Position uint64
}

// Append appends, or recognises an append that was made before and gives its
// receipt again. It returns when the events are durable and can be read.
//
// Errors: *InvalidError, *TooLargeError, *ConflictError, *DeletedError, and the
// log's own, after which the outcome is unknown.
func (e *Engine) Append(ctx context.Context, a Append) (Receipt, error) {
	return e.AppendInTurn(ctx, a, func() {})
}

// AppendInTurn is Append for a caller that has several appends under way at
// once and wants them decided in its own order. It calls queued, which must
// not block, as soon as every append that begins from then on comes after this
// one. It need not call it if it fails.
func (e *Engine) AppendInTurn(ctx context.Context, a Append, queued func()) (Receipt, error) {
	if err := e.checkAppend(a); err != nil {
		return Receipt{}, err
	}
	var receipt Receipt
	err := e.log.CommitInTurn(ctx, queued, func(tx *storage.Tx) error {
		s, err := writable(tx, a.Stream)
		if err != nil {
			return err
		}
		v, err := e.judge(tx, s, a)
		if err != nil {
			return err
		}
		if v.repeats {
			receipt = v.receipt
			return nil
		}
		receipt, err = e.put(tx, s, a.Events)
		return err
	})
	if err != nil {
		return Receipt{}, err
	}
	return receipt, nil
}

// Delete deletes a stream softly: it reads as if it were not there, and the
// next append continues its numbering. The position is that of the metadata
// event that says so.
func (e *Engine) Delete(ctx context.Context, stream string, expected Expected) (uint64, error) {
	var receipt Receipt
	err := e.commitDelete(ctx, stream, expected, func(tx *storage.Tx, s target) error {
		exists, err := s.known(tx)
		if err != nil {
			return err
		}
		if !exists {
			return s.conflict(expected)
		}
		receipt, err = e.putMetadata(tx, stream, deletedMetadata)
		return err
	})
	if err != nil {
		return 0, err // when the log has failed, the decision may not have ended
	}
	return receipt.Position, nil
}

// Tombstone closes a stream for ever. It may close one that never was. The
// position is that of the closing event.
func (e *Engine) Tombstone(ctx context.Context, stream string, expected Expected) (uint64, error) {
	var position uint64
	err := e.commitDelete(ctx, stream, expected, func(tx *storage.Tx, s target) error {
		event := storage.NewEvent{ID: e.newID(), Type: tombstoneType}
		position = tx.Put(stream, storage.TombstoneRevision, &event)
		s.Tombstoned = true
		tx.PutStream(stream, s.Stream)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return position, nil
}

func (e *Engine) commitDelete(
	ctx context.Context, stream string, expected Expected, write func(*storage.Tx, target) error,
) error {
	if err := checkName(stream); err != nil {
		return err
	}
	return e.log.Commit(ctx, func(tx *storage.Tx) error {
		s, err := writable(tx, stream)
		if err != nil {
			return err
		}
		// A deletion is judged as the append of one event that is not known.
		probe := Append{Stream: stream, Expected: expected, Events: []storage.NewEvent{{ID: e.newID()}}}
		if _, err := e.judge(tx, s, probe); err != nil {
			return err
		}
		return write(tx, s)
	})
}

func (e *Engine) checkAppend(a Append) error {
	if err := checkName(a.Stream); err != nil {
		return err
	}
	size := 0
	for i := range a.Events {
		ev := &a.Events[i]
		switch {
		case ev.Type == "":
			return invalid("event %d has an empty type", i)
		case ev.ID == [16]byte{}:
			return invalid("event %d has an empty id", i)
		}
		size += EventBytes(ev)
	}
	if size > e.maxAppend {
		return &TooLargeError{Max: e.maxAppend}
	}
	// Each event is kept with its stream's name, which the limit does not count.
	if overhead := len(a.Events) * (eventOverhead + len(a.Stream)); overhead > maxOverhead {
		return invalid("%d events with a stream's name of %d bytes are too many at once: %d MiB beside their content, at most %d",
			len(a.Events), len(a.Stream), overhead>>20, maxOverhead>>20)
	}
	return nil
}

const (
	// eventOverhead is about what an event takes beside its content and its stream's
	// name, and maxOverhead bounds all of that in an append: an event may be empty.
	eventOverhead = 128
	maxOverhead   = 32 << 20
)

// EventBytes is what an event counts towards the limit of an append.
func EventBytes(e *storage.NewEvent) int { return len(e.Data) + len(e.Metadata) + 2*len(e.Type) }

// target is a stream that is about to be written.
type target struct {
	storage.Stream

	name string
}

// writable reads the stream's state. A closed stream and the metadata of one
// cannot be written.
func writable(tx *storage.Tx, stream string) (target, error) {
	if owner, ok := ownerOf(stream); ok {
		o, err := tx.Stream(owner)
		if err != nil {
			return target{}, err
		}
		if o.Tombstoned {
			return target{}, &DeletedError{Stream: stream}
		}
	}
	s, err := tx.Stream(stream)
	if err != nil {
		return target{}, err
	}
	if s.Tombstoned {
		return target{}, &DeletedError{Stream: stream}
	}
	return target{Stream: s, name: stream}, nil
}

func (t target) conflict(expected Expected) error {
	return &ConflictError{Stream: t.name, Expected: expected, Current: t.Last}
}

// softDeleted heeds that the metadata of a metadata stream means nothing.
func (t target) softDeleted() bool {
	_, isMeta := ownerOf(t.name)
	return !isMeta && softDeleted(t.Stream)
}

// known tells whether the stream has events or metadata.
func (t target) known(tx *storage.Tx) (bool, error) {
	if t.Last != storage.NoRevision {
		return true, nil
	}
	m, err := tx.Stream(metaOf(t.name))
	return m.Last != storage.NoRevision, err
}

// put appends events to a stream, and to its metadata what follows from that.
func (e *Engine) put(tx *storage.Tx, s target, events []storage.NewEvent) (Receipt, error) {
	if len(events) == 0 {
		return Receipt{Revision: s.Last}, nil
	}
	r := e.write(tx, s, events)
	if owner, ok := ownerOf(s.name); ok {
		last := &events[len(events)-1]
		return r, e.metadataChanged(tx, owner, last)
	}
	if s.softDeleted() {
		return r, e.recreate(tx, s)
	}
	return r, nil
}

// write appends events to a stream and nothing else.
func (e *Engine) write(tx *storage.Tx, s target, events []storage.NewEvent) (r Receipt) {
	for i := range events {
		s.Last++
		r = Receipt{Revision: s.Last, Position: tx.Put(s.name, uint64(s.Last), &events[i])}
	}
	tx.OnAccepted(func() { e.recent.add(s.name, s.Last, events) })
	tx.PutStream(s.name, s.Stream)
	return r
}

// recreate marks that a deleted stream begins anew, after its last revision as
// it was before this commit. Its other properties are kept.
func (e *Engine) recreate(tx *storage.Tx, before target) error {
	m, err := tx.Stream(metaOf(before.name))
	if err != nil {
		return err
	}
	old, found, err := tx.Event(metaOf(before.name), uint64(m.Last))
	if err != nil || !found {
		return err
	}
	if data, ok := recreated(old.Data, before.Last+1); ok {
		_, err = e.putMetadata(tx, before.name, data)
	}
	return err
}

// metadataChanged takes a stream's new metadata into its state. New metadata for
// a deleted stream brings it back, empty.
func (e *Engine) metadataChanged(tx *storage.Tx, stream string, event *storage.NewEvent) error {
	state, err := tx.Stream(stream)
	if err != nil {
		return err
	}
	s := target{Stream: state, name: stream}
	deleted := s.softDeleted()
	s.Retention = parseRetention(event.Data, event.JSON)
	tx.PutStream(stream, s.Stream)
	if !deleted {
		return nil
	}
	if data, ok := recreated(event.Data, s.Last+1); ok {
		_, err = e.putMetadata(tx, stream, data)
	}
	return err
}

// putMetadata appends metadata of the server's own making.
func (e *Engine) putMetadata(tx *storage.Tx, stream string, data []byte) (Receipt, error) {
	m, err := tx.Stream(metaOf(stream))
	if err != nil {
		return Receipt{}, err
	}
	if m.Tombstoned {
		return Receipt{}, &DeletedError{Stream: metaOf(stream)}
	}
	state, err := tx.Stream(stream)
	if err != nil {
		return Receipt{}, err
	}
	event := storage.NewEvent{ID: e.newID(), Type: metadataType, JSON: true, Data: data}
	r := e.write(tx, target{Stream: m, name: metaOf(stream)}, []storage.NewEvent{event})
	state.Retention = parseRetention(data, true)
	tx.PutStream(stream, state)
	return r, nil
}
