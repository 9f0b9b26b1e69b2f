package rest

import (
	"context"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/commands"
)

// UpdateSettings answers PUT /settings.
func (c Commands) UpdateSettings(ctx context.Context, r api.UpdateSettingsRequestObject) (api.UpdateSettingsResponseObject, error) {
	seen, err := match(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	receipt, err := c.Handlers.UpdateSettings(ctx, commands.UpdateSettings{Patch: *r.Body, Match: seen})
	if err != nil {
		return nil, err
	}
	c.changed(ctx, receipt)
	return done, nil
}
