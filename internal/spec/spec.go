// Package spec reads a decision's test as given, when, then.
package spec

import (
	"errors"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/eventschema/eventschematest"
)

// Folder is a state that events fold into, each at its revision.
type Folder[S any, E eventschema.Event] interface{ Evolve(E, int64) S }

// Given is a past. Every event in it, and every one that a decision yields, goes
// through the catalogue first: what cannot be stored cannot pass a test.
func Given[S Folder[S, E], E eventschema.Event](t *testing.T, past ...E) When[S, E] {
	t.Helper()
	var s S
	for i, e := range past {
		s = s.Evolve(roundTrip(t, e), int64(i))
	}
	return When[S, E]{t: t, state: s, past: past}
}

// When is a past that waits for a decision.
type When[S Folder[S, E], E eventschema.Event] struct {
	t     *testing.T
	state S
	past  []E
}

// When asks for a decision.
func (w When[S, E]) When(decide func(S) ([]E, error)) Then[S, E] {
	w.t.Helper()
	got, err := decide(w.state)
	for i, e := range got {
		got[i] = roundTrip(w.t, e)
	}
	return Then[S, E]{w.t, w.state, int64(len(w.past)), decide, got, err}
}

// Then is a decision that waits to be judged.
type Then[S Folder[S, E], E eventschema.Event] struct {
	t      *testing.T
	state  S
	next   int64
	decide func(S) ([]E, error)
	got    []E
	err    error
}

// Then asks for exactly these events, in this order.
func (th Then[S, E]) Then(want ...E) {
	th.t.Helper()
	if th.err != nil {
		th.t.Fatalf("the decision failed: %v", th.err)
	}
	if d := cmp.Diff(want, th.got, cmpopts.EquateEmpty(), cmp.Exporter(func(reflect.Type) bool { return true })); d != "" {
		th.t.Fatalf("events (-want +got):\n%s", d)
	}
}

// ThenNothing asks for no events and no error.
func (th Then[S, E]) ThenNothing() { th.t.Helper(); th.Then() }

// ThenError asks for this failure and no events.
func (th Then[S, E]) ThenError(want error) {
	th.t.Helper()
	if !errors.Is(th.err, want) || len(th.got) != 0 {
		th.t.Fatalf("events %v, error = %v, want %v", th.got, th.err, want)
	}
}

// ThenNothingMoreAfterwards asks that the same decision, taken again after its
// own events, yields nothing new.
func (th Then[S, E]) ThenNothingMoreAfterwards() {
	th.t.Helper()
	s := th.state
	for i, e := range th.got {
		s = s.Evolve(e, th.next+int64(i))
	}
	again, err := th.decide(s)
	if err == nil && len(again) > 0 {
		th.t.Fatalf("decided twice: %+v after %+v", again, th.got)
	}
}

func roundTrip[E eventschema.Event](t *testing.T, e E) E {
	t.Helper()
	stored, err := eventschema.All.Encode(e, eventschematest.Sealer{})
	if err != nil {
		t.Fatal(err)
	}
	back, err := eventschema.All.Decode(stored, eventschematest.Sealer{})
	if err != nil {
		t.Fatal(err)
	}
	return back.(E)
}
