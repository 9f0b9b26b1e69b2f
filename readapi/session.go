package readapi

import (
	"context"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/projections/messages"
	"github.com/g4fagent/g4fagent/projections/projects"
	"github.com/g4fagent/g4fagent/projections/sessions"
)

// GetSession answers GET /sessions/{session_id}.
func (q Reads) GetSession(ctx context.Context, r api.GetSessionRequestObject) (api.GetSessionResponseObject, error) {
	s, err := q.session(ctx, r.SessionID)
	if err != nil {
		return nil, err
	}
	setETag(ctx, s.Revision)
	return api.GetSession200JSONResponse{Session: session(s)}, nil
}

func (q Reads) session(ctx context.Context, id string) (sessions.Session, error) {
	s, found, err := sessions.ByID(ctx, q.DB, id)
	if err == nil && !found {
		err = errSessionNotFound
	}
	return s, err
}

// ListSessions answers GET /projects/{project_id}/sessions.
func (q Reads) ListSessions(ctx context.Context, r api.ListSessionsRequestObject) (api.ListSessionsResponseObject, error) {
	n := limit(r.Params.Limit)
	rows, err := sessions.OfProject(ctx, q.DB, r.ProjectID,
		sessions.Filter{Title: text(r.Params.Q), Status: text(r.Params.Status)}, cursor(r.Params.Cursor), n+1)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 { // an empty page may be that of no project
		if _, found, err := projects.ByID(ctx, q.DB, r.ProjectID); err != nil || !found {
			return nil, orNotFound(err, errProjectNotFound)
		}
	}
	items, next := page(rows, n, session, func(s sessions.Session) int64 { return s.Position })
	return api.ListSessions200JSONResponse{Items: items, NextCursor: next}, nil
}

func orNotFound(err, notFound error) error {
	if err != nil {
		return err
	}
	return notFound
}

func session(s sessions.Session) api.Session {
	return api.Session{
		ID: s.ID, ProjectID: s.ProjectID, Title: s.Title, Status: s.Status, ProviderID: s.ProviderID, ModelID: s.ModelID,
		Config: s.Config, Memory: s.Memory, Tags: s.Tags, CreatedAt: api.Time(s.CreatedAt), UpdatedAt: api.Time(s.UpdatedAt),
	}
}

// ListMessages answers GET /sessions/{session_id}/messages.
func (q Reads) ListMessages(ctx context.Context, r api.ListMessagesRequestObject) (api.ListMessagesResponseObject, error) {
	if _, err := q.session(ctx, r.SessionID); err != nil {
		return nil, err
	}
	n := limit(r.Params.Limit)
	rows, err := messages.OfSession(ctx, q.DB, r.SessionID,
		messages.Filter{After: timeOf(r.Params.AfterTS), Before: timeOf(r.Params.BeforeTS)}, cursor(r.Params.Cursor), n+1)
	if err != nil {
		return nil, err
	}
	items, next := page(rows, n, message, func(m messages.Message) int64 { return m.Position })
	return api.ListMessages200JSONResponse{Items: items, NextCursor: next}, nil
}

func message(m messages.Message) api.Message {
	shown := api.Message{ID: m.ID, SessionID: m.SessionID, Role: m.Role, Content: m.Content, Meta: m.Meta, TS: api.Time(m.TS)}
	if m.RunID != "" {
		shown.RunID = &m.RunID
	}
	return shown
}
