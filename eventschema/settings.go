package eventschema

import "encoding/json"

// SettingsEvent is any event of the stream "settings-global".
//
//sumtype:decl
type SettingsEvent interface {
	Event
	ofSettings()
}

type settingsEvent struct{}

func (settingsEvent) ofSettings() {}

var settingsEvents = []Declaration{
	Declare[SettingsUpdated](1),
}

// MaxSettingsChanges bounds the Changes of one event: a read model gives each of
// them a place of its own behind the event's position.
const MaxSettingsChanges = 1024

const defaultSettings = `{
	"memory_limit_gb": 8,
	"telemetry_enabled": true,
	"default_provider_id": "g4f",
	"default_model_id": "gpt-4o-mini",
	"providers": [
		{"provider_id": "openai", "enabled": true},
		{"provider_id": "anthropic", "enabled": true},
		{"provider_id": "ollama", "enabled": true},
		{"provider_id": "g4f", "enabled": true},
		{"provider_id": "custom", "enabled": true}
	],
	"ui": {"theme": "neon_dark", "accent": "#00FF94"}
}`

// DefaultSettings are the settings before anybody changed them: what a stream
// without events says. They stand here, beside the event, since decisions and
// read models must take the same for it and have nothing else in common. The
// first SettingsUpdated holds them too, where it did not change them, so another
// build's defaults change no settings that were ever written.
func DefaultSettings() json.RawMessage { return json.RawMessage(defaultSettings) }

// SettingsUpdated holds the settings as they are from now on and what changed on
// the way there. Secrets are in neither: each is a sealed entry of Secrets.
type SettingsUpdated struct {
	settingsEvent

	Settings json.RawMessage  `json:"settings"`
	Changes  []SettingsChange `json:"changes"`
	// Secrets is an object from a secret's path to its value; a removed secret
	// is absent.
	Secrets json.RawMessage `json:"secrets,omitempty" seal:"secret" erased:"{}" secret:"true"`
}

// SettingsChange is one leaf that changed; a side that did not exist is null.
type SettingsChange struct {
	Path string          `json:"path"`
	From json.RawMessage `json:"from"`
	To   json.RawMessage `json:"to"`
}

// EventName is the stored name.
func (SettingsUpdated) EventName() string { return "settings.updated" }
