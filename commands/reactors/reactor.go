package reactors

import (
	"fmt"

	"github.com/riverqueue/river"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// reactor names what it makes of events. The name keys its checkpoint and never
// changes: under a new name, everything unfinished would be recovered again.
type reactor struct {
	name      string
	reactions map[string]react
}

// react makes the jobs that an event asks for.
type react func(eventlog.Record) ([]river.InsertManyParams, error)

// reaction is one kind of event and what a reactor makes of it.
type reaction struct {
	event string
	react react
}

// on declares what a reactor makes of events of type E. The function is pure: it
// may run any number of times for one event, of which one counts.
func on[E eventschema.Event](jobs func(eventlog.Record, E) []river.InsertManyParams) reaction {
	var zero E
	return reaction{event: zero.EventName(), react: func(r eventlog.Record) ([]river.InsertManyParams, error) {
		e, err := sightless[E](r)
		if err != nil {
			return nil, err
		}
		return jobs(r, e), nil
	}}
}

func newReactor(name string, reactions ...reaction) reactor {
	r := reactor{name: name, reactions: make(map[string]react, len(reactions))}
	for _, each := range reactions {
		r.reactions[each.event] = each.react
	}
	return r
}

// sightless reads an event without its sealed fields: what is to be done shows in
// its ids, and keys that are away or destroyed must not stop a reactor.
func sightless[E eventschema.Event](r eventlog.Record) (E, error) {
	return decode[E](r, blind{})
}

func decode[E eventschema.Event](r eventlog.Record, s eventschema.Sealer) (E, error) {
	var zero E
	ev, err := eventschema.All.Decode(r.Stored, s)
	if err != nil {
		return zero, fmt.Errorf("read %s at %d: %w", r.Stream, r.Revision, err)
	}
	e, ok := ev.(E)
	if !ok {
		return zero, fmt.Errorf("read %s at %d: %s is not %s", r.Stream, r.Revision, r.Stored.Name, zero.EventName())
	}
	return e, nil
}

// blind is a Sealer to whom every sealed field is erased.
type blind struct{}

func (blind) Seal(string, string, []byte) (string, error) { return "", erased{} }
func (blind) Open(string) ([]byte, error)                 { return nil, erased{} }

type erased struct{}

func (erased) Error() string { return "sealed fields are not read here" }
func (erased) Erased() bool  { return true }
