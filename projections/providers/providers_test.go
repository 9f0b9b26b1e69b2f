package providers_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
	"github.com/g4fagent/g4fagent/projections/providers"
)

func TestChecks(t *testing.T) {
	t.Parallel()
	kit := projectiontest.Start(t, providers.Projector())
	kit.Apply("provider-ollama",
		eventschema.ProviderScanned{ProviderID: "ollama", Reachable: true},
		eventschema.ProviderTested{ProviderID: "ollama", ModelID: "m", LatencyMS: 4, Reason: "no such model"})
	kit.Apply("provider-openai",
		eventschema.ProviderTested{ProviderID: "openai", ModelID: "m", LatencyMS: 4, Reason: "no such model"},
		eventschema.ProviderScanned{ProviderID: "openai", Reachable: true})
	got, err := providers.Checks(t.Context(), kit.Pool)
	want := map[string]providers.Check{
		"ollama": {ProviderID: "ollama", At: projectiontest.Epoch.Add(time.Second), Reason: "no such model"},
		"openai": {ProviderID: "openai", At: projectiontest.Epoch.Add(3 * time.Second), Reachable: true},
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Fatalf("%v (-want +got):\n%s", err, d)
	}
}
