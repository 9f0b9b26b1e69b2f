package rest

import (
	"context"
	"strings"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
)

// CreateSession answers POST /projects/{project_id}/sessions.
func (c Commands) CreateSession(ctx context.Context, r api.CreateSessionRequestObject) (api.CreateSessionResponseObject, error) {
	receipt, err := c.Handlers.CreateSession(ctx, commands.CreateSession{
		ProjectID: r.ProjectID, Title: strings.TrimSpace(r.Body.Title), Status: or(r.Body.Status, "active"),
		ProviderID: or(r.Body.ProviderID, ""), ModelID: or(r.Body.ModelID, ""),
		Config: orEmpty(r.Body.Config), Memory: orEmpty(r.Body.Memory), Tags: append([]string{}, r.Body.Tags...),
	})
	if err != nil {
		return nil, err
	}
	c.created(ctx, receipt)
	e := wrote[eventschema.ProjectSessionAdded](receipt).Session
	return api.CreateSession200JSONResponse{Session: api.Session{
		ID: e.SessionID, ProjectID: e.ProjectID, Title: e.Title, Status: e.Status, ProviderID: e.ProviderID, ModelID: e.ModelID,
		Config: e.Config, Memory: e.Memory, Tags: e.Tags, CreatedAt: api.Time(receipt.At), UpdatedAt: api.Time(receipt.At),
	}}, nil
}

// UpdateSession answers PATCH /sessions/{session_id}.
func (c Commands) UpdateSession(ctx context.Context, r api.UpdateSessionRequestObject) (api.UpdateSessionResponseObject, error) {
	seen, err := match(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	receipt, err := c.Handlers.UpdateSession(ctx, commands.UpdateSession{
		SessionID: r.SessionID, Title: trimmed(r.Body.Title), Status: r.Body.Status, ProviderID: r.Body.ProviderID, ModelID: r.Body.ModelID,
		Config: r.Body.Config, Memory: r.Body.Memory, Tags: given(r.Body.Tags), Match: seen,
	})
	if err != nil {
		return nil, err
	}
	c.changed(ctx, receipt)
	return done, nil
}

// PostMessage answers POST /sessions/{session_id}/messages.
func (c Commands) PostMessage(ctx context.Context, r api.PostMessageRequestObject) (api.PostMessageResponseObject, error) {
	receipt, err := c.Handlers.PostMessage(ctx, commands.PostMessage{
		SessionID: r.SessionID, Role: strings.TrimSpace(r.Body.Role), Content: r.Body.Content, Meta: orEmpty(r.Body.Meta),
	})
	if err != nil {
		return nil, err
	}
	c.appended(ctx, receipt)
	return api.PostMessage200JSONResponse{MessageID: wrote[eventschema.MessagePosted](receipt).MessageID}, nil
}

// StartRun answers POST /sessions/{session_id}/runs.
func (c Commands) StartRun(ctx context.Context, r api.StartRunRequestObject) (api.StartRunResponseObject, error) {
	receipt, err := c.Handlers.StartRun(ctx, commands.StartRun{
		SessionID: r.SessionID, Mode: strings.TrimSpace(r.Body.Mode), Agent: r.Body.Agent, Input: r.Body.Input,
	})
	if err != nil {
		return nil, err
	}
	c.appended(ctx, receipt)
	return api.StartRun200JSONResponse{RunID: wrote[eventschema.RunRequested](receipt).RunID}, nil
}

// CancelRun answers POST /runs/{run_id}/cancel.
func (c Commands) CancelRun(ctx context.Context, r api.CancelRunRequestObject) (api.CancelRunResponseObject, error) {
	receipt, err := c.Handlers.CancelRun(ctx, r.RunID)
	if err != nil {
		return nil, err
	}
	c.appended(ctx, receipt)
	return done, nil
}
