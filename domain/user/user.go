// Package user holds the rules of an account.
package user

import (
	"maps"
	"slices"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// What an account refuses.
var (
	ErrNotFound     = fault.New(fault.NotFound, "user_not_found", "There is no such user.")
	ErrPrecondition = fault.New(fault.Precondition, "precondition_failed", "The user has changed since the version named by If-Match.")
)

// State is what the decisions below need to know of an account's past.
type State struct {
	Exists    bool
	Deleted   bool
	Disabled  bool
	Name      string
	Email     string
	EmailHash string
	Roles     []string
	Verifier  string
	// Keys are the API keys in force, by id, each with its verifier.
	Keys map[string]string
	// Own is the revision of the last event.
	Own int64
}

// Active reports whether the account may act.
func (s State) Active() bool { return s.Exists && !s.Deleted && !s.Disabled }

// Evolve folds one event, at its revision, into the state.
func (s State) Evolve(e eventschema.UserEvent, at int64) State {
	s.Own = at
	switch e := e.(type) {
	case eventschema.UserCreated:
		s.Exists = true
		s.Name, s.Email, s.EmailHash, s.Roles, s.Verifier = e.Name, e.Email, e.EmailHash, e.Roles, e.Verifier
	case eventschema.UserUpdated:
		if e.Name != nil {
			s.Name = *e.Name
		}
		if e.Roles != nil {
			s.Roles = *e.Roles
		}
	case eventschema.UserPasswordChanged:
		s.Verifier = e.Verifier
	case eventschema.UserDisabled:
		s.Disabled = true
	case eventschema.UserEnabled:
		s.Disabled = false
	case eventschema.UserDeleted:
		s.Deleted = true
	case eventschema.UserAPIKeyIssued:
		s.Keys = with(s.Keys, e.KeyID, e.Verifier)
	case eventschema.UserAPIKeyRevoked:
		s.Keys = with(s.Keys, e.KeyID, "")
	}
	return s
}

// with copies the map: states are shared.
func with(keys map[string]string, id, verifier string) map[string]string {
	next := make(map[string]string, len(keys)+1)
	maps.Copy(next, keys)
	if verifier == "" {
		delete(next, id)
	} else {
		next[id] = verifier
	}
	return next
}

// Create starts an account. Creating it again changes nothing: whoever completes
// a reservation may be late.
func (s State) Create(e eventschema.UserCreated) ([]eventschema.UserEvent, error) {
	if s.Exists {
		return nil, nil
	}
	return []eventschema.UserEvent{e}, nil
}

// Change is what an update asks for; a nil field is left alone.
type Change struct {
	UserID   string
	Name     *string
	Roles    *[]string
	Verifier *string
	Disabled *bool
}

// Update changes what c names and differs. With match, the account must still be
// at that revision.
func (s State) Update(c Change, match *int64) ([]eventschema.UserEvent, error) {
	if !s.Exists || s.Deleted {
		return nil, ErrNotFound
	}
	if match != nil && *match != s.Own {
		return nil, ErrPrecondition
	}
	var events []eventschema.UserEvent
	u := eventschema.UserUpdated{UserID: c.UserID}
	if c.Name != nil && *c.Name != s.Name {
		u.Name = c.Name
	}
	if c.Roles != nil && !slices.Equal(*c.Roles, s.Roles) {
		u.Roles = c.Roles
	}
	if u.Name != nil || u.Roles != nil {
		events = append(events, u)
	}
	if c.Verifier != nil {
		events = append(events, eventschema.UserPasswordChanged{UserID: c.UserID, Verifier: *c.Verifier})
	}
	if c.Disabled != nil && *c.Disabled != s.Disabled {
		if *c.Disabled {
			events = append(events, eventschema.UserDisabled{UserID: c.UserID})
		} else {
			events = append(events, eventschema.UserEnabled{UserID: c.UserID})
		}
	}
	return events, nil
}

// Delete ends the account.
func (s State) Delete(userID string, match *int64) ([]eventschema.UserEvent, error) {
	if !s.Exists || s.Deleted {
		return nil, ErrNotFound
	}
	if match != nil && *match != s.Own {
		return nil, ErrPrecondition
	}
	return []eventschema.UserEvent{eventschema.UserDeleted{UserID: userID, EmailHash: s.EmailHash}}, nil
}

// ReplaceKey makes the key with a verifier the only one under its id, and the
// account with it if there never was one; an empty verifier takes the key away. A
// deleted account has no more keys: who ended it meant it, and what is configured
// must not undo that.
func (s State) ReplaceKey(account eventschema.UserCreated, keyID, verifier string) []eventschema.UserEvent {
	old := s.Keys[keyID]
	if s.Deleted || old == verifier {
		return nil
	}
	var events []eventschema.UserEvent
	if !s.Exists {
		events = append(events, account)
	}
	if old != "" {
		events = append(events, eventschema.UserAPIKeyRevoked{UserID: account.UserID, KeyID: keyID})
	}
	if verifier != "" {
		events = append(events, eventschema.UserAPIKeyIssued{UserID: account.UserID, KeyID: keyID, Verifier: verifier})
	}
	return events
}
