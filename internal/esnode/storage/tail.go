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
	mu     sync.RWMutex
	events []*Event // with memory of their own; those before start are dropped
	start  int
	bytes  uint64
}

func (t *tail) add(events []*Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range events {
		t.events = append(t.events, e)
		t.bytes += e.Size()
	}
	for n := len(t.events) - t.start; n > 0 && (n > tailEvents || t.bytes > tailBytes); n-- {
		t.bytes -= t.events[t.start].Size()
		t.events[t.start] = nil
		t.start++
	}
	if t.start > tailEvents {
		t.events = slices.Delete(t.events, 0, t.start)
		t.start = 0
	}
}

// between gives the events from the first at or after from up to and including
// to, and false if the tail does not reach back that far.
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
	return slices.Clone(held[first:last]), true
}
