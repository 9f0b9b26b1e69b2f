package projections

import (
	"cmp"
	"slices"
	"time"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// Status is how one projector is doing.
type Status struct {
	Name     string
	Position eventlog.Position
	// LastEventAt is when the last event that was applied happened, zero if none
	// was since the engine started.
	LastEventAt time.Time
	// Pending is how many events have arrived and are not applied: 0 when the read
	// model shows all of the log that can be reached. What was not delivered before
	// the log went away is not counted.
	Pending int
	// Lag is how long ago the oldest of them happened; 0 when none is pending.
	Lag time.Duration
	// Behind says that events of some age are still being applied: the read model
	// is new, rebuilt, or was stuck.
	Behind bool
	// Stuck is nil while the projector gets on.
	Stuck *Stuck
}

// Stuck is the event that a projector does not get past.
type Stuck struct {
	Position eventlog.Position
	Event    string
	Stream   string
	Revision int64
	Cause    error
	Since    time.Time
	Attempts int
}

// Status is how the projectors are doing, by name; nil while the engine does not
// run on this node.
func (e *Engine) Status() []Status {
	r := e.running()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Status
	for g := range r.groups {
		s := g.status(e.options.Now())
		for _, name := range g.roster.names {
			s.Name = name
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// status is what the group's projectors have in common. The caller holds run.mu.
func (g *group) status(now time.Time) Status {
	s := Status{Position: g.position, LastEventAt: g.lastAt, Pending: g.pending, Behind: g.behind}
	oldest := g.oldest
	if g.stuck != nil {
		r := g.stuck.record
		s.Pending, oldest = max(s.Pending, 1), r.Meta.At
		s.Stuck = &Stuck{
			Position: r.Position, Event: r.Stored.Name, Stream: r.Stream, Revision: r.Revision,
			Cause: g.stuck.cause, Since: g.stuck.since, Attempts: g.stuck.attempts,
		}
	}
	if s.Pending > 0 {
		s.Lag = max(now.Sub(oldest), 0)
	}
	return s
}

// CaughtUp reports whether every projector has reached what was the log's head
// when the engine started, those aside that are stuck: they are for an operator,
// not for a load balancer. It stays true until the engine stops, and is false
// while it does not run on this node.
func (e *Engine) CaughtUp() bool {
	r := e.running()
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.caughtUp {
		return true
	}
	there := 0
	for g := range r.groups {
		if g.stuck != nil || !g.position.Less(r.head) {
			there += len(g.roster.names)
		}
	}
	r.caughtUp = there == len(e.options.Projectors)
	return r.caughtUp
}

// Changes counts those of the records that change what the named projector's read
// model shows, or that it would not get past. It writes nothing.
func (e *Engine) Changes(name string, records []eventlog.Record) int {
	var who []*member
	for _, p := range e.options.Projectors {
		if p.Name == name {
			who = append(who, &member{projector: p})
		}
	}
	to, n := newRoster(who...), 0
	for i := range records {
		if statements, err := e.codec.queue(to, records[i:i+1]); err != nil || len(statements) > 0 {
			n++
		}
	}
	return n
}

func (e *Engine) running() *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current
}
