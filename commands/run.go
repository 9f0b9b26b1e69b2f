package commands

import (
	"context"
	"encoding/json"

	"github.com/g4fagent/g4fagent/domain/session"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/ident"
)

// ErrInput refuses an input that does not name a message.
var ErrInput = fault.New(fault.Invalid, "invalid_request", "input.message_id is not the id of a message.").With("field", "input.message_id")

// StartRun asks for an answer to a message of the session, which Input names as
// message_id.
type StartRun struct {
	SessionID, Mode string
	Agent, Input    json.RawMessage
}

// StartRun appends run.requested; a reactor does the rest.
func (h *Handlers) StartRun(ctx context.Context, c StartRun) (Receipt, error) {
	t, err := h.journal(ctx, "StartRun", c.SessionID)
	if err != nil {
		return Receipt{}, err
	}
	var input struct {
		MessageID string `json:"message_id"`
	}
	if err := json.Unmarshal(c.Input, &input); err != nil {
		return Receipt{}, ErrInput
	}
	id, err := h.newID(ctx, "run")
	if err != nil {
		return Receipt{}, err
	}
	e := eventschema.RunRequested{
		SessionID: c.SessionID, RunID: ident.RunOf(h.vault.HMAC, c.SessionID, id), MessageID: input.MessageID, Mode: c.Mode, Agent: c.Agent, Input: c.Input,
	}
	known := ident.IsWithin(h.vault.HMAC, c.SessionID, input.MessageID)
	return decide(ctx, h, t, func(s session.State) ([]eventschema.SessionEvent, error) { return s.RequestRun(e, known) })
}

// CancelRun appends run.canceled, or nothing when the run has ended.
func (h *Handlers) CancelRun(ctx context.Context, runID string) (Receipt, error) {
	sessionID, ok := ident.SessionOf(h.vault.HMAC, runID)
	if !ok {
		return Receipt{}, session.ErrRunNotFound
	}
	t, err := h.journal(ctx, "CancelRun", sessionID)
	if err != nil {
		return Receipt{}, runNotFound(err)
	}
	e := eventschema.RunCanceled{SessionID: sessionID, RunID: runID}
	return decide(ctx, h, t, func(s session.State) ([]eventschema.SessionEvent, error) { return s.CancelRun(e) })
}

func runNotFound(err error) error {
	if session.ErrNotFound.Is(err) {
		return session.ErrRunNotFound
	}
	return err
}
