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
