package eventlog

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Lanes let one writer of this process at a time decide on a stream, in the
// order of arrival. Without them most commands on a busy stream would conflict.
// The zero value is ready.
type Lanes struct {
	mu    sync.Mutex
	lanes map[string]*lane
}

type lane struct {
	turn chan struct{} // holds one token while somebody has the lane
	uses int
}

// Enter waits for stream's lane as long as ctx allows; leave it with the function
// returned.
func (l *Lanes) Enter(ctx context.Context, stream string) (leave func(), err error) {
	ln := l.join(stream)
	select {
	case ln.turn <- struct{}{}:
		return func() { <-ln.turn; l.part(stream, ln) }, nil
	case <-ctx.Done():
		l.part(stream, ln)
		return nil, fmt.Errorf("wait for the lane of %s: %w", stream, ctx.Err())
	}
}

func (l *Lanes) join(stream string) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lanes == nil {
		l.lanes = map[string]*lane{}
	}
	ln := l.lanes[stream]
	if ln == nil {
		ln = &lane{turn: make(chan struct{}, 1)}
		l.lanes[stream] = ln
	}
	ln.uses++
	return ln
}

func (l *Lanes) part(stream string, ln *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln.uses--; ln.uses == 0 {
		delete(l.lanes, stream)
	}
}

// ObserveLaneWait records how long a command waited for its lane.
func (l *Log) ObserveLaneWait(d time.Duration) { l.metrics.laneWait.Observe(d.Seconds()) }
