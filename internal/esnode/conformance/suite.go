package conformance

import (
	"slices"
	"testing"
)

// Behaviour is one thing that an event store does.
type Behaviour struct {
	// Name is a sentence.
	Name  string
	Check func(t *Trial)
}

// Behaviours gives them all.
func Behaviours() []Behaviour {
	return slices.Concat(
		appends(), expectations(), repetitions(), deletions(), tombstones(),
		readings(), logReadings(), metadata(), links(),
		subscriptions(), checkpoints(), handovers(), connections(),
		groups(), groupAnswers(),
	)
}

// Run tries every behaviour, each with a client of its own. Connect makes one,
// which ends with its test.
func Run(t *testing.T, connect func(testing.TB) Client) {
	t.Helper()
	for _, b := range Behaviours() {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			b.Check(newTrial(t, connect))
		})
	}
}
