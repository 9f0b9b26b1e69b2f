package commands_test

import (
	"context"
	"slices"
	"testing"

	"github.com/g4fagent/g4fagent/commands"
	"github.com/g4fagent/g4fagent/eventschema"
)

func TestAProvidersTestIsRecorded(t *testing.T) {
	t.Parallel()
	answered := eventschema.ProviderTested{ProviderID: "openai", ModelID: "m", OK: true, LatencyMS: 3}
	t.Run("and found by its idempotency key, on every node", func(t *testing.T) {
		t.Parallel()
		a := newRig(t)
		b := rigOn(t, a.log)
		keyed := request{key: "k", input: "{}"}
		for _, r := range []*rig{a, b} {
			if _, before, err := r.ProviderTestedBefore(r.by(keyed), "openai"); before || err != nil {
				t.Fatalf("found before it was recorded: %v, %v", before, err)
			}
		}
		must(a.RecordProviderTested(a.by(keyed), answered))(t)
		for _, r := range []*rig{a, rigOn(t, a.log)} {
			receipt, before, err := r.ProviderTestedBefore(r.by(keyed), "openai")
			if err != nil || !before || !receipt.Replayed || written[eventschema.ProviderTested](t, receipt) != answered {
				t.Errorf("found %+v, %v, %v", receipt, before, err)
			}
			_, _, err = r.ProviderTestedBefore(r.by(request{key: "k", input: "{...}"}), "openai")
			refused(t, err, commands.ErrKeyReuse)
			if _, before, err := r.ProviderTestedBefore(r.someone(), "openai"); before || err != nil {
				t.Errorf("found without a key: %v, %v", before, err)
			}
		}
		// A node that does not know of it tests again, and records nothing.
		receipt := must(b.RecordProviderTested(b.by(keyed), eventschema.ProviderTested{ProviderID: "openai", ModelID: "m", Reason: "away"}))(t)
		if !receipt.Replayed || written[eventschema.ProviderTested](t, receipt) != answered {
			t.Errorf("the second recording answered %+v", receipt)
		}
	})
	t.Run("although the client has left", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		left, leave := context.WithCancel(r.someone())
		leave()
		must(r.RecordProviderTested(left, answered))(t)
		must(r.RecordProviderScanned(left, eventschema.ProviderScanned{ProviderID: "openai", Reachable: true}))(t)
		if names := r.names("provider-openai"); !slices.Equal(names, []string{"provider.tested", "provider.scanned"}) {
			t.Errorf("the log has %q", names)
		}
	})
}
