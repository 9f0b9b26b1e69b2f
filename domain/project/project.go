// Package project holds the rules of a project: what may happen next, and what
// the past adds up to.
package project

import (
	"bytes"
	"encoding/json"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// What a project refuses.
var (
	ErrNotFound     = fault.New(fault.NotFound, "project_not_found", "There is no such project.")
	ErrPrecondition = fault.New(fault.Precondition, "precondition_failed", "The project has changed since the version named by If-Match.")
	ErrLimit        = fault.New(fault.Conflict, "limit_reached", "The project has as many sessions as are allowed.")
	ErrTooMany      = fault.New(fault.Conflict, "limit_reached", "There are as many projects as are allowed.")
)

// State is what the decisions below need to know of a project's past.
type State struct {
	Exists      bool
	Deleted     bool
	Name        string
	Description string
	Status      string
	Environment string
	Repo        json.RawMessage
	// Sessions are the ids of all sessions ever added: deletion closes them.
	Sessions *Sessions
	// Own is the revision of the last event that changed the project itself.
	Own int64
}

// Evolve folds one event, at its revision, into the state.
func (s State) Evolve(e eventschema.ProjectEvent, at int64) State {
	switch e := e.(type) {
	case eventschema.ProjectCreated:
		s.Exists, s.Own = true, at
		s.Name, s.Description, s.Status, s.Environment, s.Repo = e.Name, e.Description, e.Status, e.Environment, e.Repo
	case eventschema.ProjectUpdated:
		s.Own = at
		set(&s.Name, e.Name)
		set(&s.Description, e.Description)
		set(&s.Status, e.Status)
		set(&s.Environment, e.Environment)
		if e.Repo != nil {
			s.Repo = e.Repo
		}
	case eventschema.ProjectDeleted:
		s.Deleted = true
	case eventschema.ProjectSessionAdded:
		s.Sessions = s.Sessions.with(e.Session.SessionID)
	}
	return s
}

func set(field *string, value *string) {
	if value != nil {
		*field = *value
	}
}

func (s State) live() bool { return s.Exists && !s.Deleted }

// Create starts a project, unless the installation is full. An id is never used
// twice.
func (s State) Create(e eventschema.ProjectCreated, full bool) ([]eventschema.ProjectEvent, error) {
	switch {
	case s.Exists:
		return nil, nil
	case full:
		return nil, ErrTooMany
	}
	return []eventschema.ProjectEvent{e}, nil
}

// Update changes what e names and differs. With match, the project must still
// be at that revision of its own fields.
func (s State) Update(e eventschema.ProjectUpdated, match *int64) ([]eventschema.ProjectEvent, error) {
	if !s.live() {
		return nil, ErrNotFound
	}
	if match != nil && *match != s.Own {
		return nil, ErrPrecondition
	}
	e.Name = changed(s.Name, e.Name)
	e.Description = changed(s.Description, e.Description)
	e.Status = changed(s.Status, e.Status)
	e.Environment = changed(s.Environment, e.Environment)
	if bytes.Equal(s.Repo, e.Repo) {
		e.Repo = nil
	}
	if e.Name == nil && e.Description == nil && e.Status == nil && e.Environment == nil && e.Repo == nil {
		return nil, nil
	}
	return []eventschema.ProjectEvent{e}, nil
}

func changed(now string, want *string) *string {
	if want == nil || *want == now {
		return nil
	}
	return want
}

// Delete ends the project and, by completion, everything below it.
func (s State) Delete(e eventschema.ProjectDeleted, match *int64) ([]eventschema.ProjectEvent, error) {
	if !s.live() {
		return nil, ErrNotFound
	}
	if match != nil && *match != s.Own {
		return nil, ErrPrecondition
	}
	return []eventschema.ProjectEvent{e}, nil
}

// AddSession decides that a session exists; at most limit may.
func (s State) AddSession(e eventschema.ProjectSessionAdded, limit int) ([]eventschema.ProjectEvent, error) {
	switch {
	case !s.live():
		return nil, ErrNotFound
	case s.Sessions.Len() >= limit:
		return nil, ErrLimit
	}
	return []eventschema.ProjectEvent{e}, nil
}
