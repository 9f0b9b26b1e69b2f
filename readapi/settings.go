package readapi

import (
	"context"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/projections/settings"
)

// GetSettings answers GET /settings.
func (q Reads) GetSettings(ctx context.Context, _ api.GetSettingsRequestObject) (api.GetSettingsResponseObject, error) {
	s, err := settings.Current(ctx, q.DB)
	if err != nil {
		return nil, err
	}
	setETag(ctx, s.Revision)
	return api.GetSettings200JSONResponse{Settings: s.Document}, nil
}

// ListSettingsAudit answers GET /settings/audit.
func (q Reads) ListSettingsAudit(ctx context.Context, r api.ListSettingsAuditRequestObject) (api.ListSettingsAuditResponseObject, error) {
	n := limit(r.Params.Limit)
	rows, err := settings.Changes(ctx, q.DB, cursor(r.Params.Cursor), n+1)
	if err != nil {
		return nil, err
	}
	items, next := page(rows, n, settingsChange, func(c settings.Change) int64 { return c.Cursor })
	return api.ListSettingsAudit200JSONResponse{Items: items, NextCursor: next}, nil
}

func settingsChange(c settings.Change) api.SettingsAuditRecord {
	shown := api.SettingsAuditRecord{
		ID: c.ID, TS: api.Time(c.TS), ActorUserID: c.ActorUserID, Change: api.SettingsChange{Path: c.Path, From: c.From, To: c.To},
	}
	if c.RequestID != "" {
		shown.RequestID = &c.RequestID
	}
	return shown
}
