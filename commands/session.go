package commands

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/domain/project"
	"github.com/g4fagent/g4fagent/domain/session"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/failpoint"
	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/ident"
)

func sessionStream(id string) string { return "session-" + id }

// ErrNoModel refuses a session without a model: neither it nor the settings name
// one.
var ErrNoModel = fault.New(fault.Invalid, "invalid_request", "The session names no model, and the settings have no default.").With("field", "model_id")

// CreateSession opens a session in a project. Provider and model, when empty,
// are the settings' defaults.
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
	if c, err = h.withDefaults(ctx, c); err != nil {
		return Receipt{}, err
	}
	added := eventschema.ProjectSessionAdded{ProjectID: c.ProjectID, Session: eventschema.SessionCreated{
		SessionID: id, ProjectID: c.ProjectID, Title: c.Title, Status: c.Status, ProviderID: c.ProviderID, ModelID: c.ModelID,
		Config: c.Config, Memory: c.Memory, Tags: c.Tags,
	}}
	t := target{command: "CreateSession", stream: projectStream(c.ProjectID), project: c.ProjectID}
	decided, err := decide(ctx, h, t, func(s project.State) ([]eventschema.ProjectEvent, error) {
		events, err := s.AddSession(added, h.limits.MaxSessionsPerProject)
		if err == nil && strings.TrimSpace(c.ModelID) == "" { // a missing project is the first mistake
			return nil, ErrNoModel
		}
		return events, err
	})
	if err != nil {
		return Receipt{}, err
	}
	if e, ok := first[eventschema.ProjectSessionAdded](decided); ok {
		added = e // a replay answers with what was recorded
	}
	failpoint.Hit(failpoint.Completing)
	started, err := h.StartJournal(completing(ctx, decided), added, decided.At)
	if err != nil {
		return Receipt{}, err
	}
	return h.created(ctx, decided, started)
}

func (h *Handlers) withDefaults(ctx context.Context, c CreateSession) (CreateSession, error) {
	if c.ProviderID != "" && c.ModelID != "" {
		return c, nil
	}
	providerID, modelID, err := h.SessionDefaults(ctx)
	c.ProviderID, c.ModelID = cmp.Or(c.ProviderID, providerID), cmp.Or(c.ModelID, modelID)
	return c, err
}

// StartJournal completes what a project decided at some time: the session's journal
// exists, since then.
func (h *Handlers) StartJournal(ctx context.Context, added eventschema.ProjectSessionAdded, at time.Time) (Receipt, error) {
	s := added.Session
	t := target{
		command: "StartJournal", stream: sessionStream(s.SessionID), project: s.ProjectID, fresh: true,
		cause: uuid.NewSHA1(uuid.NameSpaceOID, []byte(s.SessionID)), at: at,
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
	past, err := h.session(ctx, sessionID)
	if err != nil {
		return Receipt{}, err
	}
	t := target{command: "CloseSession", stream: sessionStream(sessionID), project: past.ProjectID}
	return decide(ctx, h, t, func(s session.State) ([]eventschema.SessionEvent, error) { return s.Close(sessionID) })
}

// session is a glance at a session's state: it may be older than the log.
func (h *Handlers) session(ctx context.Context, id string) (session.State, error) {
	past, err := known[session.State, eventschema.SessionEvent](ctx, h, sessionStream(id))
	if err == nil && !past.State.Exists {
		err = session.ErrNotFound
	}
	return past.State, err
}

// journal is the session's stream as a target, with the project that its events'
// metadata names. Below a deleted project, and where there is no session, it is
// session.ErrNotFound.
//
// The project is only glanced at. When another node has deleted it, this one
// notices as soon as its feed has told Watch, and for certain once the session is
// closed, which the decisions on the journal refuse.
func (h *Handlers) journal(ctx context.Context, command, sessionID string) (target, error) {
	past, err := h.session(ctx, sessionID)
	if err != nil {
		return target{}, err
	}
	owner, err := known[project.State, eventschema.ProjectEvent](ctx, h, projectStream(past.ProjectID))
	if err != nil {
		return target{}, err
	}
	if past.Closed || owner.State.Deleted {
		return target{}, session.ErrNotFound
	}
	return target{command: command, stream: sessionStream(sessionID), project: past.ProjectID}, nil
}
