// Package reservation holds the rules of what may exist only once: it is taken
// on a stream of its own, which nobody else can start.
package reservation

import (
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// ErrEmailTaken refuses an address that another account has.
var ErrEmailTaken = fault.New(fault.Conflict, "email_taken", "Another account has this e-mail address.")

// State is who holds the reservation, empty when nobody does.
type State struct{ Holder string }

// Evolve folds one event, at its revision, into the state.
func (s State) Evolve(e eventschema.ReservationEvent, _ int64) State {
	switch e := e.(type) {
	case eventschema.EmailReserved:
		s.Holder = e.User.UserID
	case eventschema.EmailReleased:
		s.Holder = ""
	}
	return s
}

// Take gives the address to a user. Taking again what one has changes nothing.
func (s State) Take(e eventschema.EmailReserved) ([]eventschema.ReservationEvent, error) {
	switch s.Holder {
	case "":
		return []eventschema.ReservationEvent{e}, nil
	case e.User.UserID:
		return nil, nil
	default:
		return nil, ErrEmailTaken
	}
}

// Release frees the address, if it still is this user's.
func (s State) Release(e eventschema.EmailReleased) ([]eventschema.ReservationEvent, error) {
	if s.Holder != e.UserID {
		return nil, nil
	}
	return []eventschema.ReservationEvent{e}, nil
}
