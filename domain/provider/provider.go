// Package provider holds the rules of a model provider's stream: what came of
// asking it. Asking is over when a decision is taken, so nothing here refuses.
package provider

import "github.com/g4fagent/g4fagent/eventschema"

// State is what decisions need to know of a provider's past, which is nothing:
// each time it is asked is a fact of its own.
type State struct{}

// Evolve folds one event into the state.
func (s State) Evolve(eventschema.ProviderEvent, int64) State { return s }

// Scanned records whether the provider was there. Only one that was not has a
// reason.
func (State) Scanned(e eventschema.ProviderScanned) ([]eventschema.ProviderEvent, error) {
	if e.Reachable {
		e.Reason = ""
	}
	return []eventschema.ProviderEvent{e}, nil
}

// Tested records whether a model answered. Only one that did not has a reason.
func (State) Tested(e eventschema.ProviderTested) ([]eventschema.ProviderEvent, error) {
	if e.OK {
		e.Reason = ""
	}
	return []eventschema.ProviderEvent{e}, nil
}
