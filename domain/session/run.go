package session

import (
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// ErrSuperseded refuses what an executor says of a run that is not its own any
// more: the run has ended, or another attempt has it.
var ErrSuperseded = fault.New(fault.Conflict, "run_superseded", "The run has ended or another attempt has it.")

// RequestRun asks for an answer to a message of this session; known says whether
// it is one.
func (s State) RequestRun(e eventschema.RunRequested, known bool) ([]eventschema.SessionEvent, error) {
	switch {
	case !s.Live():
		return nil, ErrNotFound
	case !known:
		return nil, ErrMessageNotFound
	case len(s.Runs) >= MaxOpenRuns:
		return nil, ErrTooManyRuns
	}
	e.ProjectID, e.ProviderID, e.ModelID, e.Config = s.ProjectID, s.ProviderID, s.ModelID, s.Config
	return []eventschema.SessionEvent{e}, nil
}

// StartAttempt gives an unfinished run to an executor. Whoever had it before is
// refused from now on; the answer it left unfinished is taken back.
func (s State) StartAttempt(e eventschema.RunAttemptStarted) ([]eventschema.SessionEvent, error) {
	r, open := s.Run(e.RunID)
	if !open {
		return nil, ErrSuperseded
	}
	e.ProjectID, e.Attempt = s.ProjectID, r.Attempt+1
	events := []eventschema.SessionEvent{e}
	if r.Step > 0 {
		events = append(events, eventschema.RunOutputSuperseded{
			SessionID: e.SessionID, RunID: e.RunID, Attempt: e.Attempt, Step: r.Step, MessageID: r.MessageID,
		})
	}
	return events, nil
}

// Continue records what the executor of an attempt did.
func (s State) Continue(runID string, attempt int, events ...eventschema.SessionEvent) ([]eventschema.SessionEvent, error) {
	r, open := s.Run(runID)
	if !open || r.Attempt != attempt {
		return nil, ErrSuperseded
	}
	return events, nil
}

// CancelRun ends an unfinished run. For a run that has ended, nothing changes.
func (s State) CancelRun(e eventschema.RunCanceled) ([]eventschema.SessionEvent, error) {
	if !s.Live() {
		return nil, ErrRunNotFound
	}
	if _, open := s.Run(e.RunID); !open {
		return nil, nil
	}
	e.ProjectID = s.ProjectID
	return []eventschema.SessionEvent{e}, nil
}
