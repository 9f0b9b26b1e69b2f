package commands

import (
	"context"
	"encoding/json"

	"github.com/g4fagent/g4fagent/domain/settings"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/agent/provider"
	"github.com/g4fagent/g4fagent/internal/agent/roster"
)

const settingsStream = "settings-global"

var _ roster.Settings = (*Handlers)(nil)

// UpdateSettings merges a JSON object into the settings. Match is the revision
// that the client saw, settings.NoRevision for the defaults and nil for any.
type UpdateSettings struct {
	Patch json.RawMessage
	Match *int64
}

// UpdateSettings appends settings.updated, or nothing when nothing differs.
func (h *Handlers) UpdateSettings(ctx context.Context, c UpdateSettings) (Receipt, error) {
	t := target{command: "UpdateSettings", stream: settingsStream}
	return decide(ctx, h, t, func(s settings.State) ([]eventschema.SettingsEvent, error) { return s.Update(c.Patch, c.Match) })
}

// SessionDefaults are the provider and the model of a session that names none, as
// the log has them now.
func (h *Handlers) SessionDefaults(ctx context.Context) (providerID, modelID string, err error) {
	past, err := current[settings.State, eventschema.SettingsEvent](ctx, h, settingsStream)
	if err != nil {
		return "", "", err
	}
	providerID, modelID = past.State.DefaultModel()
	return providerID, modelID, nil
}

// ProviderConfig is how a provider is configured, as the log has it now. One that
// the settings do not list is not enabled.
func (h *Handlers) ProviderConfig(ctx context.Context, id string) (roster.Config, error) {
	past, err := current[settings.State, eventschema.SettingsEvent](ctx, h, settingsStream)
	if err != nil {
		return roster.Config{}, err
	}
	p, _ := past.State.Provider(id)
	return roster.Config{Enabled: p.Enabled, Config: provider.Config{
		ID: id, BaseURL: p.BaseURL, APIKey: p.APIKey, Headers: p.Headers, Extra: p.Extra, Models: p.Models,
	}}, nil
}
