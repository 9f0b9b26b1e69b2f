// Package login holds the rules of a login family: what one login became.
package login

import (
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// ErrInvalidRefreshToken refuses a token that is unknown, expired or spent.
var ErrInvalidRefreshToken = fault.New(fault.Unauthorized, "invalid_refresh_token", "The refresh token is not valid. Log in again.")

// grace is how long a spent token may be shown once more: the answer that
// carried its successor may have been lost.
const grace = 30 * time.Second

// State is what the decisions below need to know of a family's past.
type State struct {
	Exists  bool
	Ended   bool
	UserID  string
	Method  string
	KeyID   string
	Current string // verifier of the refresh token in force
	Spent   string // verifier of the one before it
	SpentAt time.Time
	Retried bool // the spent one was shown again, in time, and accepted
	Expires time.Time
}

// Evolve folds one event, at its revision, into the state.
func (s State) Evolve(e eventschema.LoginEvent, _ int64) State {
	switch e := e.(type) {
	case eventschema.LoginSucceeded:
		s = State{
			Exists: true, UserID: e.UserID, Method: e.Method, KeyID: e.CredentialID,
			Current: e.RefreshVerifier, Expires: e.RefreshExpires,
		}
	case eventschema.TokenRefreshed:
		if e.Replaces == s.Spent {
			s.Retried = true
		} else {
			s.Spent, s.SpentAt, s.Retried = s.Current, e.At, false
		}
		s.Current, s.Expires = e.RefreshVerifier, e.RefreshExpires
	case eventschema.TokenReuseDetected, eventschema.LoggedOut:
		s.Ended = true
	}
	return s
}

// Start begins a family.
func (s State) Start(e eventschema.LoginSucceeded) ([]eventschema.LoginEvent, error) {
	if s.Exists {
		return nil, nil
	}
	return []eventschema.LoginEvent{e}, nil
}

// Refresh rotates the token whose verifier is shown at e.At. A spent token shown
// again ends the family, except once and soon, while its successor is unused.
// The events of a refusal are appended before the refusal is answered.
func (s State) Refresh(shown string, e eventschema.TokenRefreshed) ([]eventschema.LoginEvent, error) {
	e.UserID, e.Replaces = s.UserID, shown
	switch {
	case !s.Exists || s.Ended || !e.At.Before(s.Expires):
		return nil, ErrInvalidRefreshToken
	case shown == s.Current:
		return []eventschema.LoginEvent{e}, nil
	case shown == s.Spent && !s.Retried && e.At.Sub(s.SpentAt) <= grace:
		return []eventschema.LoginEvent{e}, nil
	default:
		return []eventschema.LoginEvent{eventschema.TokenReuseDetected{Family: e.Family, UserID: s.UserID}}, nil
	}
}

// LogOut ends the family.
func (s State) LogOut(family string) ([]eventschema.LoginEvent, error) {
	if !s.Exists || s.Ended {
		return nil, nil
	}
	return []eventschema.LoginEvent{eventschema.LoggedOut{Family: family, UserID: s.UserID}}, nil
}
