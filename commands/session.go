package commands

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/domain/project"
	"github.com/g4fagent/g4fagent/domain/session"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/failpoint"
	"github.com/g4fagent/g4fagent/internal/ident"
)

func sessionStream(id string) string { return "session-" + id }

// CreateSession opens a session in a project. Provider and model, when empty,
// are the settings' defaults, which the caller knows.
type CreateSession struct {
	ProjectID, Title, Status, ProviderID, ModelID string
	Config, Memory                                json.RawMessage
	Tags                                          []string
}

// CreateSession lets the project decide, with project.session_added, and starts
// the journal. The second append completes the first and is never refused: if it
// fails here, a reactor repeats it.
func (h *Handlers) CreateSession(ctx context.Context, c CreateSession) (Receipt, error) {
	id, err := h.newID(ctx, "sess")
	if err != nil {
		return Receipt{}, err
	}
	added := eventschema.ProjectSessionAdded{ProjectID: c.ProjectID, Session: eventschema.SessionCreated{
		SessionID: id, ProjectID: c.ProjectID, Title: c.Title, Status: c.Status, ProviderID: c.ProviderID, ModelID: c.ModelID,
		Config: c.Config, Memory: c.Memory, Tags: c.Tags,
	}}
	t := target{command: "CreateSession", stream: projectStream(c.ProjectID), project: c.ProjectID}
	decided, err := decide(ctx, h, t, func(s project.State) ([]eventschema.ProjectEvent, error) {
		return s.AddSession(added, h.limits.MaxSessionsPerProject)
	})
	if err != nil {
		return Receipt{}, err
	}
	if e, ok := first[eventschema.ProjectSessionAdded](decided); ok {
		added = e // a replay answers with what was recorded
	}
	failpoint.Hit(failpoint.Completing)
	started, err := h.StartJournal(ctx, added)
	if err != nil {
		return Receipt{}, err
	}
	return decided.then(started), nil
}

// StartJournal completes a project's decision: the session's journal exists.
func (h *Handlers) StartJournal(ctx context.Context, added eventschema.ProjectSessionAdded) (Receipt, error) {
	s := added.Session
	t := target{
		command: "StartJournal", stream: sessionStream(s.SessionID), project: s.ProjectID, fresh: true,
		cause: uuid.NewSHA1(uuid.NameSpaceOID, []byte(s.SessionID)),
	}
	return decide(withoutKey(ctx), h, t, func(st session.State) ([]eventschema.SessionEvent, error) { return st.Create(s) })
}

// UpdateSession changes the fields that are not nil. Match is the revision that
// the client saw, nil for any.
type UpdateSession struct {
	SessionID                          string
	Title, Status, ProviderID, ModelID *string
	Config, Memory                     json.RawMessage
	Tags                               *[]string
	Match                              *int64
}

// UpdateSession appends session.updated, or nothing when nothing differs.
func (h *Handlers) UpdateSession(ctx context.Context, c UpdateSession) (Receipt, error) {
	t, err := h.journal(ctx, "UpdateSession", c.SessionID)
	if err != nil {
		return Receipt{}, err
	}
	e := eventschema.SessionUpdated{
		SessionID: c.SessionID, Title: c.Title, Status: c.Status, ProviderID: c.ProviderID, ModelID: c.ModelID,
		Config: c.Config, Memory: c.Memory, Tags: c.Tags,
	}
	return decide(ctx, h, t, func(s session.State) ([]eventschema.SessionEvent, error) { return s.Update(e, c.Match) })
}

// PostMessage adds a message to a session.
type PostMessage struct {
	SessionID, Role string
	Content, Meta   json.RawMessage
}

// PostMessage appends message.posted.
func (h *Handlers) PostMessage(ctx context.Context, c PostMessage) (Receipt, error) {
	t, err := h.journal(ctx, "PostMessage", c.SessionID)
	if err != nil {
		return Receipt{}, err
	}
	id, err := h.newMessageID(ctx, c.SessionID)
	if err != nil {
		return Receipt{}, err
	}
	e := eventschema.MessagePosted{SessionID: c.SessionID, MessageID: id, Role: c.Role, Content: c.Content, Meta: c.Meta}
	return decide(ctx, h, t, func(s session.State) ([]eventschema.SessionEvent, error) { return s.Post(e) })
}

// newMessageID is an id that later proves to be of this session.
func (h *Handlers) newMessageID(ctx context.Context, sessionID string) (string, error) {
	id, err := h.newID(ctx, "msg")
	if err != nil {
		return "", err
	}
	return ident.Within(h.vault.HMAC, sessionID, id), nil
}

// CloseSession ends a session whose project was deleted, and its runs.
func (h *Handlers) CloseSession(ctx context.Context, sessionID string) (Receipt, error) {
	t, err := h.journal(ctx, "CloseSession", sessionID)
	if err != nil {
		return Receipt{}, err
	}
	return decide(ctx, h, t, func(s session.State) ([]eventschema.SessionEvent, error) { return s.Close(sessionID) })
}

// journal is the session's stream as a target, with the project that its events'
// metadata names. Below a deleted project, and where there is no session, it is
// session.ErrNotFound.
func (h *Handlers) journal(ctx context.Context, command, sessionID string) (target, error) {
	past, err := known[session.State, eventschema.SessionEvent](ctx, h, sessionStream(sessionID))
	if err != nil {
		return target{}, err
	}
	if !past.State.Exists {
		return target{}, session.ErrNotFound
	}
	owner, err := known[project.State, eventschema.ProjectEvent](ctx, h, projectStream(past.State.ProjectID))
	if err != nil {
		return target{}, err
	}
	if owner.State.Deleted && command != "CloseSession" {
		return target{}, session.ErrNotFound
	}
	return target{command: command, stream: sessionStream(sessionID), project: past.State.ProjectID}, nil
}
