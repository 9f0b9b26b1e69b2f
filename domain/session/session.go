// Package session holds the rules of a journal: a session, its messages and its
// runs.
package session

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// What a session refuses.
var (
	ErrNotFound        = fault.New(fault.NotFound, "session_not_found", "There is no such session.")
	ErrMessageNotFound = fault.New(fault.NotFound, "message_not_found", "The session has no such message.")
	ErrRunNotFound     = fault.New(fault.NotFound, "run_not_found", "There is no such run.")
	ErrPrecondition    = fault.New(fault.Precondition, "precondition_failed", "The session has changed since the version named by If-Match.")
	ErrTooManyRuns     = fault.New(fault.Conflict, "limit_reached", "The session has as many unfinished runs as are allowed.")
)

// MaxOpenRuns bounds the unfinished runs of one session.
const MaxOpenRuns = 100

// State is what the decisions below need to know of a session's past: what is
// open, not what was.
type State struct {
	Exists     bool
	Closed     bool
	ProjectID  string
	Title      string
	Status     string
	ProviderID string
	ModelID    string
	Config     json.RawMessage
	Memory     json.RawMessage
	Tags       []string
	// Own is the revision of the last event that changed the session itself.
	Own int64
	// Runs are the unfinished runs, oldest first.
	Runs []Run
}

// Run is an unfinished run.
type Run struct {
	ID string
	// Requested is the revision of the request: what came before it is the
	// conversation that the run answers.
	Requested int64
	Attempt   int
	// Step is the last one that the provider was asked for.
	Step      int
	MessageID string
}

// Live reports whether the session can still be used.
func (s State) Live() bool { return s.Exists && !s.Closed }

// Evolve folds one event, at its revision, into the state.
func (s State) Evolve(e eventschema.SessionEvent, at int64) State {
	switch e := e.(type) {
	case eventschema.SessionCreated:
		s = State{
			Exists: true, ProjectID: e.ProjectID, Title: e.Title, Status: e.Status, ProviderID: e.ProviderID, ModelID: e.ModelID,
			Config: e.Config, Memory: e.Memory, Tags: e.Tags, Own: at,
		}
	case eventschema.SessionUpdated:
		s = s.updated(e)
		s.Own = at
	case eventschema.SessionClosed:
		s.Closed = true
	case eventschema.RunRequested:
		s.Runs = append(slices.Clip(s.Runs), Run{ID: e.RunID, Requested: at})
	case eventschema.RunAttemptStarted:
		s = s.withRun(e.RunID, func(r *Run) { r.Attempt = e.Attempt })
	case eventschema.RunStepRequested:
		s = s.withRun(e.RunID, func(r *Run) { r.Step, r.MessageID = e.Step, e.MessageID })
	case eventschema.RunCompleted:
		s = s.withoutRun(e.RunID)
	case eventschema.RunFailed:
		s = s.withoutRun(e.RunID)
	case eventschema.RunCanceled:
		s = s.withoutRun(e.RunID)
	case eventschema.MessagePosted, eventschema.RunOutputAppended, eventschema.RunOutputSuperseded, eventschema.RunErrored:
		// History: no decision looks back at it.
	}
	return s
}

func (s State) updated(e eventschema.SessionUpdated) State {
	set(&s.Title, e.Title)
	set(&s.Status, e.Status)
	set(&s.ProviderID, e.ProviderID)
	set(&s.ModelID, e.ModelID)
	if e.Config != nil {
		s.Config = e.Config
	}
	if e.Memory != nil {
		s.Memory = e.Memory
	}
	if e.Tags != nil {
		s.Tags = *e.Tags
	}
	return s
}

func set(field *string, value *string) {
	if value != nil {
		*field = *value
	}
}

// Run is the unfinished run with an id.
func (s State) Run(id string) (Run, bool) {
	i := slices.IndexFunc(s.Runs, func(r Run) bool { return r.ID == id })
	if i < 0 {
		return Run{}, false
	}
	return s.Runs[i], true
}

func (s State) withRun(id string, change func(*Run)) State {
	i := slices.IndexFunc(s.Runs, func(r Run) bool { return r.ID == id })
	if i < 0 {
		return s
	}
	s.Runs = slices.Clone(s.Runs)
	change(&s.Runs[i])
	return s
}

func (s State) withoutRun(id string) State {
	s.Runs = slices.DeleteFunc(slices.Clone(s.Runs), func(r Run) bool { return r.ID == id })
	return s
}

// Create starts the journal. Creating it again changes nothing: whoever
// completes the project's decision may be late.
func (s State) Create(e eventschema.SessionCreated) ([]eventschema.SessionEvent, error) {
	if s.Exists {
		return nil, nil
	}
	return []eventschema.SessionEvent{e}, nil
}

// Update changes what e names and differs. With match, the session must still be
// at that revision of its own fields.
func (s State) Update(e eventschema.SessionUpdated, match *int64) ([]eventschema.SessionEvent, error) {
	if !s.Live() {
		return nil, ErrNotFound
	}
	if match != nil && *match != s.Own {
		return nil, ErrPrecondition
	}
	e.ProjectID = s.ProjectID
	e.Title = changed(s.Title, e.Title)
	e.Status = changed(s.Status, e.Status)
	e.ProviderID = changed(s.ProviderID, e.ProviderID)
	e.ModelID = changed(s.ModelID, e.ModelID)
	if bytes.Equal(s.Config, e.Config) {
		e.Config = nil
	}
	if bytes.Equal(s.Memory, e.Memory) {
		e.Memory = nil
	}
	if e.Tags != nil && slices.Equal(s.Tags, *e.Tags) {
		e.Tags = nil
	}
	if e.Title == nil && e.Status == nil && e.ProviderID == nil && e.ModelID == nil && e.Config == nil && e.Memory == nil && e.Tags == nil {
		return nil, nil
	}
	return []eventschema.SessionEvent{e}, nil
}

func changed(now string, want *string) *string {
	if want == nil || *want == now {
		return nil
	}
	return want
}

// Close ends the journal, and with it every run that is not finished.
func (s State) Close(sessionID string) ([]eventschema.SessionEvent, error) {
	if !s.Live() {
		return nil, nil
	}
	var events []eventschema.SessionEvent
	for _, r := range s.Runs {
		events = append(events, eventschema.RunCanceled{SessionID: sessionID, ProjectID: s.ProjectID, RunID: r.ID})
	}
	return append(events, eventschema.SessionClosed{SessionID: sessionID, ProjectID: s.ProjectID}), nil
}

// Post adds a message.
func (s State) Post(e eventschema.MessagePosted) ([]eventschema.SessionEvent, error) {
	if !s.Live() {
		return nil, ErrNotFound
	}
	e.ProjectID = s.ProjectID
	return []eventschema.SessionEvent{e}, nil
}
