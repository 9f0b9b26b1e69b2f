// Package installation holds the rules of the installation itself.
package installation

import "github.com/g4fagent/g4fagent/eventschema"

// State is the installation's id, empty before it exists.
type State struct{ ID string }

// Evolve folds one event, at its revision, into the state.
func (s State) Evolve(e eventschema.InstallationEvent, _ int64) State {
	switch e := e.(type) {
	case eventschema.InstallationCreated:
		s.ID = e.InstallationID
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
