package settings

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"strings"
)

// set stands in the document for a secret that is there. Sent back, it keeps the
// secret.
const set = "set"

// Provider is a model provider as the settings configure it, secrets included.
type Provider struct {
	ID      string
	Enabled bool
	// BaseURL is empty for the provider's usual one.
	BaseURL string
	APIKey  string
	Headers map[string]string
	// Extra is a JSON object, or nil.
	Extra  json.RawMessage
	Models []string
}

// Provider finds a provider in the settings. One that is not listed is not
// configured: whoever replaces the list says all of it.
func (s State) Provider(id string) (Provider, bool) {
	var document struct {
		Providers []struct {
			ProviderID string            `json:"provider_id"`
			Enabled    *bool             `json:"enabled"`
			BaseURL    string            `json:"base_url"`
			Headers    map[string]string `json:"headers"`
			Extra      json.RawMessage   `json:"extra"`
			Models     []string          `json:"models"`
		} `json:"providers"`
	}
	if err := json.Unmarshal(s.Document(), &document); err != nil {
		return Provider{}, false // no event of ours
	}
	for _, p := range document.Providers {
		if p.ProviderID != id {
			continue
		}
		return Provider{
			ID: id, Enabled: p.Enabled == nil || *p.Enabled, BaseURL: p.BaseURL, APIKey: s.Secrets[keyPath(id)],
			Headers: s.headers(id, p.Headers), Extra: p.Extra, Models: p.Models,
		}, true
	}
	return Provider{}, false
}

// headers are those whose values are still known.
func (s State) headers(id string, masked map[string]string) map[string]string {
	var values map[string]string
	for name := range masked {
		value, ok := s.Secrets[headerPath(id, name)]
		if !ok {
			continue
		}
		if values == nil {
			values = map[string]string{}
		}
		values[name] = value
	}
	return values
}

// DefaultModel is what a session uses that names no provider or no model.
func (s State) DefaultModel() (providerID, modelID string) {
	var document struct {
		ProviderID string `json:"default_provider_id"`
		ModelID    string `json:"default_model_id"`
	}
	if err := json.Unmarshal(s.Document(), &document); err != nil {
		return "", "" // no event of ours
	}
	return document.ProviderID, document.ModelID
}

func keyPath(id string) string { return below(below("/providers", id), "api_key") }
func headerPath(id, name string) string {
	return below(below(below("/providers", id), "headers"), name)
}

// entries are the providers of the document, each with its id.
func (v version) entries() iter.Seq2[string, object] {
	list, _ := v.document["providers"].([]any)
	return func(yield func(string, object) bool) {
		for _, item := range list {
			entry, _ := item.(object)
			id, _ := entry["provider_id"].(string)
			if id != "" && !yield(id, entry) {
				return
			}
		}
	}
}

func (v version) providerIDs() []string {
	var ids []string
	for id := range v.entries() {
		ids = append(ids, id)
	}
	return ids
}

// confide parts a list of providers, which was checked, into what everybody may
// see and what is secret. Known are the secrets so far.
func confide(list []any, known map[string]string) (shown []any, secrets map[string]string, err error) {
	c := confider{known: known, secrets: map[string]string{}}
	shown = make([]any, len(list))
	for i, item := range list {
		entry, _ := item.(object)
		if shown[i], err = c.entry(fmt.Sprintf("providers.%d", i), entry); err != nil {
			return nil, nil, err
		}
	}
	return shown, c.secrets, nil
}

type confider struct{ known, secrets map[string]string }

func (c confider) entry(field string, entry object) (object, error) {
	id, _ := entry["provider_id"].(string)
	shown := maps.Clone(entry)
	delete(shown, "api_key")
	key, said := entry["api_key"]
	if _, there := c.known[keyPath(id)]; !said && there {
		key = set
	}
	if key, ok := key.(string); ok {
		if err := c.keep(field+".api_key", keyPath(id), key); err != nil {
			return nil, err
		}
		shown["api_key"] = set
	}
	headers, ok := entry["headers"].(object)
	if !ok {
		return shown, nil
	}
	masked := object{}
	for name, value := range headers {
		value, _ := value.(string)
		if err := c.keep(field+".headers."+name, headerPath(id, name), value); err != nil {
			return nil, err
		}
		masked[name] = set
	}
	shown["headers"] = masked
	return shown, nil
}

// keep takes a secret, or keeps the one that is there.
func (c confider) keep(field, path, value string) error {
	value = strings.TrimSpace(value)
	if value == set {
		known, there := c.known[path]
		if !there {
			return refused(field, `is "set", which keeps a secret, but there is none`)
		}
		value = known
	}
	c.secrets[path] = value
	return nil
}
