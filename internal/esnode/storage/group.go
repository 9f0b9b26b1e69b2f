package storage

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// One goroutine writes. Commits that come while it waits for a sync are decided
// and written together when it is back, in the order of their coming and in a
// single batch. So there is one sync under way at a time, as many commits as there
// can be share it, and Pebble's work for a batch is done once for all of them.

// Bounds of a group, and of those that wait for the next. The states that a group
// puts must all find place in the cache, where later decisions look for them.
const (
	groupCommits = 1024
	groupBytes   = 1 << 20 // beyond it no other commit is added
)

// commit is a call of Commit on its way.
type commit struct {
	ctx    context.Context
	decide func(*Tx) error
	// claimed is set by whoever says first what becomes of the commit: the writer,
	// or a caller that gives up on it.
	claimed atomic.Bool
	// done is closed when what follows is known, and the events durable if there are
	// any.
	done chan struct{}

	panicked any // what decide panicked with
	err      error
	events   int
	bytes    int
	restsOn  uint64 // the last position that decide could see
	wait     time.Duration
}

// write makes commits durable until stop is closed, when there are none any more.
func (l *Log) write(stop <-chan struct{}) {
	together := 1 // in the last group
	for {
		c, waited := l.nextCommit(stop)
		if c == nil {
			return
		}
		// Where several write, those whom the last group woke are about to come with
		// their next commits. A group that did not wait for them would be of one commit,
		// and every second sync for it alone.
		if waited || together > 1 {
			runtime.Gosched()
		}
		together = l.writeGroup(c)
	}
}

// nextCommit is nil when stop is closed. It tells whether the commit had to wait.
func (l *Log) nextCommit(stop <-chan struct{}) (c *commit, waited bool) {
	if c = l.waiting(); c != nil {
		return c, true
	}
	select {
	case c = <-l.commits:
		return c, false
	case <-stop:
		return nil, false
	}
}

// waiting is the first commit that waits, or nil.
func (l *Log) waiting() *commit {
	select {
	case c := <-l.commits:
		return c
	default:
		return nil
	}
}

// writeGroup decides a commit and those that wait, and makes durable what they put.
// It returns how many they were.
func (l *Log) writeGroup(c *commit) (n int) {
	g := &group{log: l}
	for c != nil {
		g.add(c)
		if n++; n == groupCommits || g.bytes >= groupBytes {
			break
		}
		c = l.waiting()
	}
	if len(g.commits) > 0 {
		g.write()
	}
	return n
}

// group is what is written together.
type group struct {
	log     *Log
	batch   *pebble.Batch
	commits []*commit // that put events
	events  []*Event
	streams []string
	bytes   int
}

// add decides a commit. One that puts nothing has its answer, and waits by
// itself for what that rests on.
func (g *group) add(c *commit) {
	if c.claimed.Swap(true) {
		return
	}
	l := g.log
	tx := &Tx{log: l, group: g, created: l.now().UnixNano() / 100, first: l.next, next: l.next}
	c.restsOn = l.last
	if c.err = c.ctx.Err(); c.err == nil {
		c.err = c.run(tx)
	}
	if c.err == nil && len(tx.events) > 0 {
		c.err = l.space.take(tx.bytes())
	}
	if c.err != nil || len(tx.events) == 0 {
		close(c.done)
		return
	}
	g.accept(tx)
	c.events, c.bytes = len(tx.events), tx.bytes()
	g.commits = append(g.commits, c)
}

// run keeps a panic for whoever made the commit: the writer has others to see to.
func (c *commit) run(tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.panicked = fmt.Sprintf("%v\n\nwhere it was decided:\n%s", p, debug.Stack())
			err = errPanicked
		}
	}()
	return c.decide(tx)
}

var errPanicked = errors.New("the decision panicked")

// accept makes a commit part of the group, and seen by the decisions after it.
func (g *group) accept(tx *Tx) {
	l := g.log
	if g.batch == nil {
		g.batch = l.db.NewBatch()
	}
	for _, e := range tx.events {
		g.putEvent(e)
	}
	last := tx.last()
	for _, s := range tx.states {
		s.At = last
		g.putState(s)
		l.states.put(s.name, s.Stream)
	}
	l.next, l.last = tx.next, last
	g.events = append(g.events, tx.events...)
	g.streams = append(g.streams, tx.streams...)
	g.bytes += tx.bytes()
	for _, f := range tx.accepted {
		f()
	}
}

func (g *group) putEvent(e *Event) {
	op := g.batch.SetDeferred(eventKeyLen, len(e.raw))
	appendEventKey(op.Key[:0], e.Position)
	copy(op.Value, e.raw)
	finish(op)

	op = g.batch.SetDeferred(indexKeyLen(e.Stream), indexValLen)
	appendIndexKey(op.Key[:0], e.Stream, e.Revision)
	appendIndexValue(op.Value[:0], indexEntry{position: e.Position, created: e.Created})
	finish(op)
}

func (g *group) putState(s streamState) {
	op := g.batch.SetDeferred(1+len(s.name), streamStateLen)
	appendStreamKey(op.Key[:0], s.name)
	encodeStream(op.Value, s.name, s.Stream)
	finish(op)
}

// finish cannot fail: only batches with an index of their own look at the
// operation once more.
func finish(op *pebble.DeferredBatchOp) {
	if err := op.Finish(); err != nil {
		panic(fmt.Sprintf("finish a batch operation: %v", err))
	}
}

// event finds one that the group has put and Pebble does not have yet.
func (g *group) event(stream string, revision uint64) *Event {
	for _, e := range g.events {
		if e.Revision == revision && string(e.Stream) == stream {
			return e
		}
	}
	return nil
}

// write makes the group durable, publishes it, and wakes all whose it is.
func (g *group) write() {
	l := g.log
	l.tail.add(g.events)
	l.unsynced.Add(int64(len(g.commits)))
	start := time.Now()
	err := l.apply(g.batch)
	if err == nil {
		l.head.publish(l.last, g.streams)
		l.mark.acknowledge(l.last)
		release(g.batch)
	}
	for _, c := range g.commits {
		c.err, c.wait = err, time.Since(start)
		close(c.done)
	}
}

// apply hands a batch to Pebble and waits until it is synced. Pebble panics when
// it cannot write to its log, and is unusable from then on. It is asked to sync and
// not to wait: of a failed sync that it waited for itself it would not return.
func (l *Log) apply(batch *pebble.Batch) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in the store: %v", r)
		}
		if err != nil {
			l.failure.set(fmt.Errorf("write to the store: %w", err))
		}
		err = l.Err() // a failure that Pebble was not told of counts too
	}()
	if err := l.db.ApplyNoSyncWait(batch, pebble.Sync); err != nil {
		return err
	}
	return batch.SyncWait()
}
