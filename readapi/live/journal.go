package live

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

const (
	// ringSize is how many events of a watched journal are kept for its streams,
	// and ringBytes how much of them: whoever needs more reads the log.
	ringSize  = 256
	ringBytes = 1 << 20
)

// entry is an event of a journal. Its frame is made once for all streams, by the
// first that needs it: whoever watches the log has no time for that.
type entry struct {
	revision int64
	size     int

	encoding sync.Once
	record   eventlog.Record
	frame    frame
	err      error

	settling atomic.Bool
	settled  chan struct{} // closed when read models show the event, or take too long
}

func newEntry(r eventlog.Record) *entry {
	return &entry{revision: r.Revision, size: len(r.Stored.Data), record: r, settled: make(chan struct{})}
}

// settle waits for the read models, once for all streams: the first of them asks,
// for the others too, whether it leaves or not.
func (e *entry) settle(ctx context.Context, await func(context.Context, eventlog.Position)) {
	if e.settling.CompareAndSwap(false, true) {
		defer close(e.settled)
		await(context.WithoutCancel(ctx), e.frame.settles)
		return
	}
	select {
	case <-e.settled:
	case <-ctx.Done():
	}
}

func (e *entry) encoded(s eventschema.Sealer) (frame, error) {
	e.encoding.Do(func() {
		e.frame, e.err = newFrame(e.record, s)
		e.record = eventlog.Record{}
	})
	return e.frame, e.err
}

// journal is a stream of the log that somebody follows.
type journal struct {
	mu    sync.Mutex
	ring  []*entry // contiguous, oldest first
	bytes int
	last  int64 // revision of the last event that the feed told of, or none
	wake  chan struct{}

	streams int // the hub's
}

const none = -1

func newJournal() *journal { return &journal{last: none, wake: make(chan struct{})} }

// push adds the journal's next event.
func (j *journal) push(r eventlog.Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r.Revision <= j.last {
		return
	}
	if r.Revision != j.last+1 { // what is missing is read from the log
		j.ring, j.bytes = nil, 0
	}
	e := newEntry(r)
	j.ring, j.bytes, j.last = append(j.ring, e), j.bytes+e.size, r.Revision
	surplus := 0
	for ; len(j.ring)-surplus > ringSize || j.bytes > ringBytes; surplus++ {
		j.bytes -= j.ring[surplus].size
	}
	j.ring = slices.Delete(j.ring, 0, surplus)
	close(j.wake)
	j.wake = make(chan struct{})
}

// from returns the events from a revision on, if the ring has them all. Behind
// says that the log has some that the ring does not have any more. When there is
// nothing yet, wake is closed as soon as there is.
func (j *journal) from(revision int64) (entries []*entry, behind bool, wake <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.last < revision:
		return nil, false, j.wake
	case len(j.ring) == 0 || j.ring[0].revision > revision:
		return nil, true, nil
	default:
		return slices.Clone(j.ring[revision-j.ring[0].revision:]), false, nil
	}
}
