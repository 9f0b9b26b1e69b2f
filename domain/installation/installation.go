// Package installation holds the rules of the installation itself: that it is
// made once, and that somebody can always administer it.
package installation

import (
	"maps"
	"slices"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// ErrLastAdmin refuses what would leave nobody to administer the installation.
var ErrLastAdmin = fault.New(fault.Conflict, "last_admin", "This is the last enabled administrator.")

// State is what the decisions below need to know of the installation's past.
type State struct {
	// ID is empty before the installation exists.
	ID string
	// Admins are the enabled administrators, in the order in which they became.
	Admins []string
	// Removed are, of users who are none of them any more, the revisions that were
	// looked at.
	Removed map[string]int64
}

// Evolve folds one event, at its revision, into the state.
func (s State) Evolve(e eventschema.InstallationEvent, _ int64) State {
	switch e := e.(type) {
	case eventschema.InstallationCreated:
		s.ID = e.InstallationID
	case eventschema.AdminAdded:
		s.Admins = append(slices.Clip(s.Admins), e.UserID)
		s.Removed = maps.Clone(s.Removed)
		delete(s.Removed, e.UserID)
	case eventschema.AdminRemoved:
		s.Removed = maps.Clone(s.Removed)
		if s.Removed == nil {
			s.Removed = map[string]int64{}
		}
		s.Removed[e.UserID] = e.UserRevision
		s.Admins = slices.DeleteFunc(slices.Clone(s.Admins), func(id string) bool { return id == e.UserID })
	}
	return s
}

// Create makes the installation, once.
func (s State) Create(e eventschema.InstallationCreated) ([]eventschema.InstallationEvent, error) {
	if s.ID != "" {
		return nil, nil
	}
	return []eventschema.InstallationEvent{e}, nil
}

// AddAdmin counts a user, seen at a revision, among the administrators. Nothing
// is decided on what was seen before the user was removed: the change that the
// removal precedes may be about to follow.
func (s State) AddAdmin(userID string, seen int64) ([]eventschema.InstallationEvent, error) {
	if removed, ok := s.Removed[userID]; slices.Contains(s.Admins, userID) || ok && seen <= removed {
		return nil, nil
	}
	return []eventschema.InstallationEvent{eventschema.AdminAdded{UserID: userID}}, nil
}

// RemoveAdmin takes a user, seen at a revision, out of them, unless nobody would
// be left.
func (s State) RemoveAdmin(userID string, seen int64) ([]eventschema.InstallationEvent, error) {
	switch {
	case !slices.Contains(s.Admins, userID):
		return nil, nil
	case len(s.Admins) == 1:
		return nil, ErrLastAdmin
	}
	return []eventschema.InstallationEvent{eventschema.AdminRemoved{UserID: userID, UserRevision: seen}}, nil
}
