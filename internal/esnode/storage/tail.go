package storage

import (
	"slices"
	"sync"
)

// The tail keeps about as much as one page of a scan.
const (
	tailEvents = 1024
	tailBytes  = 1 << 20
)

// tail is the newest part of the log in memory. Those who follow the log read
// the same few events each time it moves; here they share them, where each
// would make an iterator, find its place and check the records again.
//
// The writer adds to it when a commit is applied, so that it is in the log's
// order and without holes. It may hold what is not durable: readers never ask
// for more than the published head.
type tail struct {
	mu sync.RWMutex
	// events have memory of their own. What is in the slice is never changed, since
	// readers keep parts of it: those before start are dropped with all of it.
	events  []*Event
	start   int
	bytes   uint64 // from start on
	dropped uint64 // before start
}

func (t *tail) add(events []*Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range events {
		t.events = append(t.events, e)
		t.bytes += e.Size()
	}
	for n := len(t.events) - t.start; n > 0 && (n > tailEvents || t.bytes > tailBytes); n-- {
		size := t.events[t.start].Size()
		t.bytes -= size
		t.dropped += size
		t.start++
	}
	if t.start > tailEvents || t.dropped > tailBytes {
		t.events = slices.Clone(t.events[t.start:])
		t.start, t.dropped = 0, 0
	}
}

// between gives the events from the first at or after from up to and including
// to, and false if the tail does not reach back that far. Nobody may change them.
func (t *tail) between(from, to uint64) ([]*Event, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	held := t.events[t.start:]
	if len(held) == 0 || held[0].Position > from {
		return nil, false
	}
	at := func(e *Event, position uint64) int {
		if e.Position < position {
			return -1
		}
		return 1
	}
	first, _ := slices.BinarySearchFunc(held, from, at)
	last, _ := slices.BinarySearchFunc(held, to+1, at)
	return held[first:last:last], true
}
