package provider_test

import (
	"testing"

	"github.com/g4fagent/g4fagent/domain/provider"
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/spec"
)

type event = eventschema.ProviderEvent

var given = spec.Given[provider.State, event]

func TestEachAskingIsAFact(t *testing.T) {
	t.Parallel()
	away := eventschema.ProviderScanned{ProviderID: "ollama", Reason: "connection refused"}
	failed := eventschema.ProviderTested{ProviderID: "ollama", ModelID: "m", LatencyMS: 3, Reason: "no such model"}
	scan := func(e eventschema.ProviderScanned) func(provider.State) ([]event, error) {
		return func(s provider.State) ([]event, error) { return s.Scanned(e) }
	}
	test := func(e eventschema.ProviderTested) func(provider.State) ([]event, error) {
		return func(s provider.State) ([]event, error) { return s.Tested(e) }
	}
	t.Run("also when it went as before", func(t *testing.T) {
		t.Parallel()
		given(t, away, failed).When(scan(away)).Then(away)
		given(t, away, failed).When(test(failed)).Then(failed)
	})
	t.Run("and one that went well has no reason", func(t *testing.T) {
		t.Parallel()
		given(t).When(scan(eventschema.ProviderScanned{ProviderID: "ollama", Reachable: true, Reason: "x"})).
			Then(eventschema.ProviderScanned{ProviderID: "ollama", Reachable: true})
		given(t).When(test(eventschema.ProviderTested{ProviderID: "ollama", OK: true, LatencyMS: 1, Reason: "x"})).
			Then(eventschema.ProviderTested{ProviderID: "ollama", OK: true, LatencyMS: 1})
	})
}
