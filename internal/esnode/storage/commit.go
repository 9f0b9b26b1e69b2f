package storage

import (
	"context"
	"slices"
)

// Tx is one commit in the making: what it reads includes every earlier commit,
// durable or not; what it puts becomes one atomic, contiguous piece of the log.
// It is valid only inside Commit.
type Tx struct {
	log      *Log
	group    *group
	created  int64
	first    uint64
	next     uint64
	events   []*Event
	streams  []string // that got events, for those who watch them
	states   []streamState
	accepted []func()
}

type streamState struct {
	name string
	Stream
}

// Commit runs decide while nobody else's runs, and makes what it put durable, all
// or nothing. It returns when everything that decide could see or put is
// durable, also when decide put nothing or failed: an answer may rest on a
// commit that is not yet safe, and must not outlive it. decide may run on
// another goroutine than the caller's; if it panics, the
// caller does.
//
// The error is decide's own if it failed, ctx's if it ended before, or one that
// matches ErrFull (nothing is written then in all of these), ErrFailed or
// ErrClosed. Once decide has put
// events the wait does not heed ctx, which could only leave the caller without
// an answer to a commit that is made.
func (l *Log) Commit(ctx context.Context, decide func(*Tx) error) error {
	return l.CommitInTurn(ctx, func() {}, decide)
}

// CommitInTurn is Commit for a caller that has several commits under way at once
// and wants them decided in its own order. It calls queued, which must not block,
// as soon as every commit that begins from then on is decided after this one. It
// need not call it if it fails.
func (l *Log) CommitInTurn(ctx context.Context, queued func(), decide func(*Tx) error) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	c := &commit{ctx: ctx, decide: decide, done: make(chan struct{})}
	select {
	case l.commits <- c:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.Failed():
		return l.Err()
	}
	queued()
	gone := ctx.Done()
	for {
		select {
		case <-c.done:
			return l.outcome(c)
		case <-l.Failed():
			return l.Err()
		case <-gone:
			if !c.claimed.Swap(true) {
				return ctx.Err()
			}
			gone = nil // it is being written: the wait goes on
		}
	}
}

// outcome is what a commit that is done returns.
func (l *Log) outcome(c *commit) error {
	switch {
	case c.panicked != nil:
		panic(c.panicked)
	case c.events == 0:
		if err := l.await(c.ctx, c.restsOn); err != nil {
			return err
		}
	case c.err == nil:
		l.notify(Committed{Events: c.events, Bytes: c.bytes, Wait: c.wait})
	}
	return c.err
}

// await returns when position is durable.
func (l *Log) await(ctx context.Context, position uint64) error {
	return l.head.wait(ctx, position, l.Failed(), l.Err)
}

func (tx *Tx) bytes() int { return int(tx.next - tx.first) }

func (tx *Tx) last() uint64 { return tx.events[len(tx.events)-1].Position }

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
	if e := tx.group.event(stream, revision); e != nil {
		return e, true, nil
	}
	return tx.log.event(stream, revision)
}

// Put appends an event to the log and gives it a revision of a stream. The
// caller sees to it that revisions have no gaps, and calls PutStream after.
func (tx *Tx) Put(stream string, revision uint64, e *NewEvent) (position uint64) {
	position = tx.next
	record := make([]byte, recordSize(stream, e)) // stays, for those who follow the log
	encodeRecord(record, position, revision, tx.created, stream, e)
	event := view(position, record)
	event.owned = true
	tx.next += event.Size()
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

// OnAccepted has f called once the commit is part of the log, unless the log
// fails, and before another's decide runs.
func (tx *Tx) OnAccepted(f func()) { tx.accepted = append(tx.accepted, f) }
