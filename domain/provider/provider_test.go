package provider_test

import (
	"testing"

	"pgregory.net/rapid"

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

// Whatever came of asking, and whatever came of it before: it is recorded once,
// as it was, and has a reason only when it went wrong.
func TestEveryAskingIsRecorded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var s provider.State
		for i := range rapid.IntRange(1, 10).Draw(rt, "askings") {
			well, reason := rapid.Bool().Draw(rt, "well"), rapid.String().Draw(rt, "reason")
			kept := reason
			if well {
				kept = ""
			}
			scanned := eventschema.ProviderScanned{ProviderID: "ollama", Reachable: well, Reason: reason}
			tested := eventschema.ProviderTested{ProviderID: "ollama", ModelID: "m", OK: well, LatencyMS: int64(i), Reason: reason}
			var events []event
			var err error
			var want event
			if rapid.Bool().Draw(rt, "scan") {
				events, err = s.Scanned(scanned)
				scanned.Reason = kept
				want = scanned
			} else {
				events, err = s.Tested(tested)
				tested.Reason = kept
				want = tested
			}
			if err != nil || len(events) != 1 || events[0] != want {
				rt.Fatalf("recorded %+v, %v; want %+v", events, err, want)
			}
			s = s.Evolve(events[0], int64(i))
		}
	})
}
