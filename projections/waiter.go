package projections

import "github.com/g4fagent/g4fagent/internal/eventlog"

// waiter waits for a position in some projectors' queues. All but done is
// guarded by the Awaiter's mutex until done is closed.
type waiter struct {
	position eventlog.Position
	missing  int // projectors that have not answered
	lagging  bool
	places   []place
	done     chan struct{}
}

// place is a waiter's place in one projector's queue.
type place struct {
	waiter    *waiter
	projector int
	index     int
	queued    bool
}

func (w *waiter) queues(projector int) bool {
	for _, p := range w.places {
		if p.projector == projector {
			return true
		}
	}
	return false
}

// queue orders waiters by position: a heap, so that a batch costs those whom it
// answers and nobody else.
type queue []*place

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].waiter.position.Less(q[j].waiter.position) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is for package heap.
func (q *queue) Push(x any) {
	p := x.(*place)
	p.index, p.queued = len(*q), true
	*q = append(*q, p)
}

// Pop is for package heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	p.queued = false
	return p
}
