package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Tx is one commit in the making: what it reads includes every earlier commit,
// durable or not; what it puts becomes one atomic, contiguous piece of the log.
// It is valid only inside Commit.
type Tx struct {
	log     *Log
	batch   *pebble.Batch
	created int64
	first   uint64
	next    uint64
	last    uint64
	events  []*Event
	streams []string // that got events, for those who watch them
	states  []streamState
	applied []func()
}

type streamState struct {
	name string
	Stream
}

// Commit runs decide under the writer's lock and makes what it put durable, all
// or nothing. It returns when everything that decide could see or put is
// durable, also when decide put nothing or failed: an answer may rest on a
// commit that is not yet safe, and must not outlive it.
//
// The error is decide's own if it failed, ctx's if it ended before, or one that
// matches ErrFull (nothing is written then in all of these), ErrFailed or
// ErrClosed. Once decide has put
// events the wait does not heed ctx, which could only leave the caller without
// an answer to a commit that is made.
func (l *Log) Commit(ctx context.Context, decide func(*Tx) error) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	tx, restsOn, err := l.apply(ctx, decide)
	if err != nil {
		if errors.Is(err, ErrFailed) || tx == nil {
			return err
		}
		if unsafe := l.await(ctx, restsOn); unsafe != nil {
			return unsafe
		}
		return err
	}
	if len(tx.events) == 0 {
		return l.await(ctx, restsOn)
	}
	return l.settle(tx)
}

func (l *Log) await(ctx context.Context, position uint64) error {
	return l.head.wait(ctx, position, l.Failed(), l.Err)
}

// apply is the part under the writer's lock. A nil Tx means that decide has not
// run.
func (l *Log) apply(ctx context.Context, decide func(*Tx) error) (tx *Tx, restsOn uint64, err error) {
	l.writer.Lock()
	defer l.writer.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	tx = &Tx{log: l, created: l.now().UnixNano() / 100, first: l.next, next: l.next, last: l.last}
	if err := decide(tx); err != nil || len(tx.events) == 0 {
		tx.discard()
		return tx, l.last, err
	}
	if err := l.space.take(tx.bytes()); err != nil {
		tx.discard()
		return tx, l.last, err
	}
	tx.writeStates()
	l.unsynced.Add(1)
	if err := l.applyBatch(tx.batch); err != nil {
		return tx, 0, err
	}
	l.next, l.last = tx.next, tx.last
	l.tail.add(tx.events)
	for _, s := range tx.states {
		l.states.put(s.name, s.Stream)
	}
	for _, f := range tx.applied {
		f()
	}
	return tx, tx.last, nil
}

// applyBatch hands the batch to Pebble, which panics when it cannot write to
// its log and is unusable from then on.
func (l *Log) applyBatch(batch *pebble.Batch) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in the store: %v", r)
		}
		if err != nil {
			l.failure.set(fmt.Errorf("write to the store: %w", err))
			err = l.Err()
		}
	}()
	return l.db.ApplyNoSyncWait(batch, pebble.Sync)
}

// syncBatch waits until an applied batch is synced. A sync may have failed for an
// earlier batch and succeed for this one.
func (l *Log) syncBatch(batch *pebble.Batch) error {
	if err := batch.SyncWait(); err != nil {
		l.failure.set(fmt.Errorf("sync the store: %w", err))
	}
	return l.Err()
}

// settle waits until the batch is synced and publishes it. Batches reach the
// write-ahead log in the order of their positions, and a sync covers the log
// from its front, so that all that precedes this batch is durable with it.
func (l *Log) settle(tx *Tx) error {
	start := time.Now()
	if err := l.syncBatch(tx.batch); err != nil {
		return err
	}
	l.head.publish(tx.last, tx.streams)
	l.notify(Committed{Events: len(tx.events), Bytes: tx.bytes(), Wait: time.Since(start)})
	release(tx.batch)
	return nil
}

func (tx *Tx) bytes() int { return int(tx.next - tx.first) }

func (tx *Tx) discard() {
	if tx.batch != nil {
		release(tx.batch)
	}
}

// Stream reads a stream's state, as put in this commit if it was; one that was
// never written is empty.
func (tx *Tx) Stream(name string) (Stream, error) {
	for i := range tx.states {
		if tx.states[i].name == name {
			return tx.states[i].Stream, nil
		}
	}
	return tx.log.stream(name)
}

// Event reads one event of a stream that an earlier commit put, with memory of
// its own.
func (tx *Tx) Event(stream string, revision uint64) (*Event, bool, error) {
	return tx.log.event(stream, revision)
}

// Put appends an event to the log and gives it a revision of a stream. The
// caller sees to it that revisions have no gaps, and calls PutStream after.
func (tx *Tx) Put(stream string, revision uint64, e *NewEvent) (position uint64) {
	b := tx.writable()
	position = tx.next
	size := recordSize(stream, e)

	record := make([]byte, size) // stays, for those who follow the log
	encodeRecord(record, position, revision, tx.created, stream, e)
	op := b.SetDeferred(eventKeyLen, size)
	appendEventKey(op.Key[:0], position)
	copy(op.Value, record)
	tx.finish(op)

	op = b.SetDeferred(indexKeyLen(stream), indexValLen)
	appendIndexKey(op.Key[:0], stream, revision)
	appendIndexValue(op.Value[:0], indexEntry{position: position, created: tx.created})
	tx.finish(op)

	event := view(position, record)
	event.owned = true
	tx.last = position
	tx.next += uint64(size)
	tx.events = append(tx.events, &event)
	if !slices.Contains(tx.streams, stream) {
		tx.streams = append(tx.streams, stream)
	}
	return position
}

// PutStream stores a stream's state. Its At becomes the commit's last event.
func (tx *Tx) PutStream(name string, s Stream) {
	for i := range tx.states {
		if tx.states[i].name == name {
			tx.states[i].Stream = s
			return
		}
	}
	tx.states = append(tx.states, streamState{name, s})
}

// OnApplied has f called, still under the writer's lock, once the commit is
// applied and so seen by the commits that follow.
func (tx *Tx) OnApplied(f func()) { tx.applied = append(tx.applied, f) }

func (tx *Tx) writeStates() {
	for i := range tx.states {
		s := &tx.states[i]
		s.At = tx.last
		op := tx.batch.SetDeferred(1+len(s.name), streamStateLen)
		appendStreamKey(op.Key[:0], s.name)
		encodeStream(op.Value, s.name, s.Stream)
		tx.finish(op)
	}
}

func (tx *Tx) writable() *pebble.Batch {
	if tx.batch == nil {
		tx.batch = tx.log.db.NewBatch()
	}
	return tx.batch
}

// finish cannot fail: only batches with an index of their own look at the
// operation once more.
func (tx *Tx) finish(op *pebble.DeferredBatchOp) {
	if err := op.Finish(); err != nil {
		panic(fmt.Sprintf("finish a batch operation: %v", err))
	}
}
