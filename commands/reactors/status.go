package reactors

import (
	"time"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// Status is how one reactor is doing.
type Status struct {
	Name string
	// Position is up to where every event has become its jobs.
	Position eventlog.Position
	// Lag is the age of the last event that was handled, while later ones are
	// waiting; zero when none are.
	Lag time.Duration
	// Stuck is nil while the reactor gets on.
	Stuck *Stuck
}

// Stuck is the event that a reactor does not get past. It is tried again for
// ever.
type Stuck struct {
	Position eventlog.Position
	Event    string
	Stream   string
	Revision int64
	Cause    error
	Since    time.Time
	Attempts int
}

// again is s after one more failure at r.
func (s *Stuck) again(r eventlog.Record, cause error, now time.Time) *Stuck {
	next := &Stuck{
		Position: r.Position, Event: r.Stored.Name, Stream: r.Stream, Revision: r.Revision, Cause: cause, Since: now, Attempts: 1,
	}
	if s != nil && s.Position == r.Position {
		next.Since, next.Attempts = s.Since, s.Attempts+1
	}
	return next
}

// Status is how the reactors are doing, nil while they do not run on this node.
func (r *Reactors) Status() []Status {
	if !r.running.Load() {
		return nil
	}
	all := make([]Status, len(r.followers))
	for i, f := range r.followers {
		all[i] = f.status()
	}
	return all
}

func (f *follower) status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{Name: f.name, Position: f.position, Stuck: f.stuck}
	if f.position.Less(f.feed.Position()) {
		s.Lag = max(f.now().Sub(f.eventAt), 0)
	}
	return s
}
