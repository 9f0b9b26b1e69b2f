// Package settings holds the rules of the installation's settings: how a change
// is merged into them, what it must look like, and which of it is secret.
package settings

import (
	"encoding/json"
	"errors"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/fault"
)

// What the settings refuse.
var (
	ErrPrecondition = fault.New(fault.Precondition, "precondition_failed", "The settings have changed since the version named by If-Match.")
	ErrInvalid      = fault.New(fault.Invalid, "invalid_request", "The settings do not fit the document.")
	ErrTooMany      = fault.New(fault.Invalid, "invalid_request", "More settings would change at once than one event can tell of.")
	ErrTooLarge     = fault.New(fault.TooLarge, "payload_too_large", "The settings would become larger than they may be.")
)

const (
	// maxSettings bounds the document, which every event repeats, in bytes. Members
	// cannot be removed, so that without a bound it would only grow.
	maxSettings = 128 << 10
	// maxSecrets bounds the secrets together, and maxChanges what an event tells of
	// changes, so that the event fits one append after sealing.
	maxSecrets = 64 << 10
	maxChanges = 384 << 10
)

// NoRevision is the revision of settings that nobody ever changed.
const NoRevision int64 = -1

// State is the settings, and what they were told in confidence. The zero State is
// the defaults.
type State struct {
	// Settings is the document as everybody may see it: in the place of each secret
	// it says "set". It is nil before the first event; Document never is.
	Settings json.RawMessage
	// Secrets are the values that the document does not show, by path, such as
	// /providers/openai/api_key.
	Secrets map[string]string
	// Own is the revision of the last event; Revision knows of the time before it.
	Own int64
}

// Evolve folds one event, at its revision, into the state.
func (s State) Evolve(e eventschema.SettingsEvent, at int64) State {
	switch e := e.(type) {
	case eventschema.SettingsUpdated:
		s.Settings, s.Secrets, s.Own = e.Settings, opened(e.Secrets), at
	}
	return s
}

// opened reads an event's secrets. An installation that destroyed the key of its
// secrets has none.
func opened(raw json.RawMessage) map[string]string {
	var secrets map[string]string
	if err := json.Unmarshal(raw, &secrets); err != nil {
		return nil
	}
	return secrets
}

// errConfidential keeps secrets out of snapshots, and of whatever else writes
// states.
var errConfidential = errors.New("the settings hold secrets, which are written sealed or not at all")

// MarshalJSON refuses: the state holds secrets in clear. A snapshot would save
// little, since the last event alone says everything.
func (State) MarshalJSON() ([]byte, error) { return nil, errConfidential }

// Document is the settings as everybody may see them.
func (s State) Document() json.RawMessage {
	if s.Settings == nil {
		return eventschema.DefaultSettings()
	}
	return s.Settings
}

// Revision is that of the last event, or NoRevision before the first.
func (s State) Revision() int64 {
	if s.Settings == nil {
		return NoRevision
	}
	return s.Own
}

// Update merges patch into the settings: objects merge, everything else replaces,
// arrays included; members cannot be removed. A provider's api_key stays when its
// entry leaves it out or says "set", and goes when it is null; a header that says
// "set" stays. What a provider no longer in the list was told in confidence goes
// with it. With match, the settings must still be at that revision.
func (s State) Update(patch json.RawMessage, match *int64) ([]eventschema.SettingsEvent, error) {
	if match != nil && *match != s.Revision() {
		return nil, ErrPrecondition
	}
	asked, err := parse(patch)
	if err != nil {
		return nil, err
	}
	if err := check(asked); err != nil {
		return nil, err
	}
	before, err := s.version()
	if err != nil {
		return nil, err
	}
	after, err := before.with(asked)
	if err != nil {
		return nil, err
	}
	changes := before.changes(after)
	if len(changes) == 0 {
		return nil, nil
	}
	return after.event(changes)
}

// version is the settings at some revision, ready to be changed or compared.
type version struct {
	document object
	secrets  map[string]string
}

func (s State) version() (version, error) {
	document, err := parse(s.Document())
	return version{document, s.Secrets}, err
}

// with is the version that asked makes of v.
func (v version) with(asked object) (version, error) {
	next := version{merged(v.document, asked), v.secrets}
	list, ok := asked["providers"].([]any)
	if !ok {
		return next, nil
	}
	var err error
	next.document["providers"], next.secrets, err = confide(list, v.secrets)
	return next, err
}

// event says that the settings are v from now on.
func (v version) event(changes []eventschema.SettingsChange) ([]eventschema.SettingsEvent, error) {
	if len(changes) > eventschema.MaxSettingsChanges {
		return nil, ErrTooMany
	}
	e := eventschema.SettingsUpdated{Settings: text(v.document), Changes: changes}
	if len(v.secrets) > 0 {
		e.Secrets = text(v.secrets)
	}
	told := 0
	for _, c := range changes {
		told += len(c.Path) + len(c.From) + len(c.To)
	}
	if len(e.Settings) > maxSettings || sizeOf(v.secrets) > maxSecrets || told > maxChanges {
		return nil, ErrTooLarge
	}
	return []eventschema.SettingsEvent{e}, nil
}

func sizeOf(secrets map[string]string) int {
	n := 0
	for path, value := range secrets {
		n += len(path) + len(value)
	}
	return n
}
