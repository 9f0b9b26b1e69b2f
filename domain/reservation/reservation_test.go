package reservation_test

import (
	"testing"

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
