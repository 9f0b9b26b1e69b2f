package storage

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// head is the published head: the last position known to be durable, those who
// wait for it to reach a position, and those who want to hear that it moved.
type head struct {
	position atomic.Uint64

	mu      sync.Mutex
	moved   chan struct{} // closed when position moves; nil while nobody waits
	streams map[string]map[*Watch]struct{}

	all  watchers
	kick chan struct{} // capacity 1: the log moved since the last broadcast
}

// watchers is a set with a lock of its own, so that telling hundreds of
// subscribers does not hold up the publishing of the next head.
type watchers struct {
	mu  sync.Mutex
	set map[*Watch]struct{}
}

func newHead(position uint64) *head {
	h := &head{
		streams: make(map[string]map[*Watch]struct{}),
		all:     watchers{set: make(map[*Watch]struct{})},
		kick:    make(chan struct{}, 1),
	}
	h.position.Store(position)
	return h
}

// publish says that everything up to position is durable, and that the named
// streams got events in one of the commits up to there. Commits may publish in
// any order: the write-ahead log is synced from its front, so the highest one
// speaks for all before it.
func (h *head) publish(position uint64, streams []string) {
	h.mu.Lock()
	if position > h.position.Load() {
		h.position.Store(position)
		if h.moved != nil {
			close(h.moved)
			h.moved = nil
		}
	}
	for _, name := range streams {
		for w := range h.streams[name] {
			w.signal()
		}
	}
	h.mu.Unlock()
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

// broadcast tells those who watch the whole log, until stop is closed. It runs
// apart from the commits: with many watchers the wake-ups cost more than an
// append, and under load one round of them serves many appends.
func (h *head) broadcast(stop <-chan struct{}) {
	for {
		select {
		case <-h.kick:
		case <-stop:
			return
		}
		pause := h.all.signal()
		if pause == 0 {
			continue
		}
		select {
		case <-time.After(pause):
		case <-stop:
			return
		}
	}
}

// A round of wake-ups is paced by what it costs, so that following the log,
// however many do, takes a bounded share of the machine from those who append
// to it. A few followers are told at once; 200 are told every 5 ms.
const (
	promptWatchers = 16
	watcherPause   = 25 * time.Microsecond
)

// signal tells all and returns how long not to do so again.
func (s *watchers) signal() (pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.set {
		w.signal()
	}
	if len(s.set) <= promptWatchers {
		return 0
	}
	return time.Duration(len(s.set)) * watcherPause
}

// wait blocks until position is published. It ends early with ctx, or with the
// log's failure.
func (h *head) wait(ctx context.Context, position uint64, failed <-chan struct{}, failure func() error) error {
	for {
		if h.position.Load() >= position {
			return nil
		}
		h.mu.Lock()
		if h.position.Load() >= position {
			h.mu.Unlock()
			return nil
		}
		if h.moved == nil {
			h.moved = make(chan struct{})
		}
		moved := h.moved
		h.mu.Unlock()
		select {
		case <-moved:
		case <-failed:
			return failure()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Watch tells that the log, or one stream of it, got new durable events. It may
// tell so once too often, and never once too few: whoever receives from C, then
// reads, then receives again, misses nothing.
type Watch struct {
	c     chan struct{}
	close func(*Watch)
}

// C gets a value after each move of what is watched; moves that follow each
// other closely may share one.
func (w *Watch) C() <-chan struct{} { return w.c }

// Close ends the watch. C is not closed.
func (w *Watch) Close() { w.close(w) }

func (w *Watch) signal() {
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// WatchAll watches the whole log.
func (l *Log) WatchAll() *Watch {
	a := &l.head.all
	w := &Watch{c: make(chan struct{}, 1), close: func(w *Watch) {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.set, w)
	}}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.set[w] = struct{}{}
	return w
}

// WatchStream watches one stream: events of others do not wake its watcher.
func (l *Log) WatchStream(name string) *Watch {
	h := l.head
	w := &Watch{c: make(chan struct{}, 1), close: func(w *Watch) {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.streams[name], w)
		if len(h.streams[name]) == 0 {
			delete(h.streams, name)
		}
	}}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams[name] == nil {
		h.streams[name] = make(map[*Watch]struct{})
	}
	h.streams[name][w] = struct{}{}
	return w
}
