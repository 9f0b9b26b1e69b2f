package idempotency_test

import (
	"testing"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections/idempotency"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

func keyed(key string, e eventschema.Event) eventschema.Event {
	return projectiontest.With(e, func(r *eventlog.Record) { r.Meta.IdempotencyKey = key })
}

func TestFindKey(t *testing.T) {
	t.Parallel()
	kit := projectiontest.Start(t, idempotency.Projector())
	records := kit.Apply("user-u",
		eventschema.UserDisabled{UserID: "u"},
		keyed("k", eventschema.UserEnabled{UserID: "u"}),
		keyed("k", eventschema.UserDisabled{UserID: "u"}),
	)
	index := idempotency.Index{DB: kit.Pool}
	revision, found, indexed, err := index.FindKey(t.Context(), "user-u", "k")
	if err != nil || !found || revision != 1 || indexed != records[2].Position {
		t.Fatal(revision, found, indexed, err)
	}
	for _, other := range [][2]string{{"user-u", "l"}, {"user-v", "k"}, {"user-u", ""}} {
		if _, found, _, err := index.FindKey(t.Context(), other[0], other[1]); err != nil || found {
			t.Errorf("%v: found %v, %v", other, found, err)
		}
	}
}
