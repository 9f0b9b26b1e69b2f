package projections

import (
	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// OnEach makes the Handlers of several events that all do the same, whatever the
// events say: they are not decoded for it.
func OnEach(events []string, handle func(b *Batch, r eventlog.Record)) []Handler {
	handlers := make([]Handler, len(events))
	for i, event := range events {
		handlers[i] = Handler{event: event, blind: true, apply: func(b *Batch, r eventlog.Record, _ eventschema.Event) { handle(b, r) }}
	}
	return handlers
}
