package reservation_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/g4fagent/g4fagent/domain/reservation"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/spec"
)

type event = eventschema.ReservationEvent

var given = spec.Given[reservation.State, event]

func taken(by string) eventschema.EmailReserved {
	return eventschema.EmailReserved{User: eventschema.UserCreated{UserID: by, Name: "n", Email: "e@example.com", Roles: []string{"viewer"}}}
}

func TestTake(t *testing.T) {
	t.Parallel()
	take := func(by string) func(reservation.State) ([]event, error) {
		return func(s reservation.State) ([]event, error) { return s.Take(taken(by)) }
	}
	released := eventschema.EmailReleased{UserID: "a"}
	given(t).When(take("a")).Then(taken("a"))
	given(t, taken("a")).When(take("a")).ThenNothing()
	given(t, taken("a")).When(take("b")).ThenError(reservation.ErrEmailTaken)
	given(t, taken("a"), released).When(take("b")).Then(taken("b"))
}

func TestRelease(t *testing.T) {
	t.Parallel()
	release := func(by string) func(reservation.State) ([]event, error) {
		return func(s reservation.State) ([]event, error) { return s.Release(eventschema.EmailReleased{UserID: by}) }
	}
	given(t, taken("a")).When(release("a")).Then(eventschema.EmailReleased{UserID: "a"})
	given(t, taken("b")).When(release("a")).ThenNothing()
	given(t).When(release("a")).ThenNothing()
}

// However users take and release it, an address has at most one holder: who took it
// and has not released it since. Nobody else can take it or free it.
func TestAnAddressHasOneHolder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var s reservation.State
		holder := ""
		for i := range rapid.IntRange(1, 30).Draw(rt, "moves") {
			who := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "user")
			var events []event
			var err error
			if rapid.Bool().Draw(rt, "take") {
				events, err = s.Take(taken(who))
				if refused := errors.Is(err, reservation.ErrEmailTaken); refused != (holder != "" && holder != who) {
					rt.Fatalf("%q takes what %q holds: %v", who, holder, err)
				}
				if holder == "" {
					holder = who
				}
			} else {
				events, err = s.Release(eventschema.EmailReleased{UserID: who})
				if err != nil || len(events) > 0 && holder != who {
					rt.Fatalf("%q releases what %q holds: %v, %v", who, holder, events, err)
				}
				if holder == who {
					holder = ""
				}
			}
			for _, e := range events {
				s = s.Evolve(e, int64(i))
			}
			if s.Holder != holder {
				rt.Fatalf("%q holds it, want %q", s.Holder, holder)
			}
		}
	})
}
