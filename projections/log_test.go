package projections_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/eventlog/eventlogtest"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

var _ projections.Log = (*eventlog.Log)(nil)

// From an append on the real log, through its subscriber, to a row and the
// answer that it is visible.
func TestEngineFollowsTheLog(t *testing.T) {
	t.Parallel()
	log, pool := eventlogtest.Open(t), postgrestest.Pool(t)
	projectors := []*projections.Projector{counter("a_v1"), orderly("o_v1")}
	awaiter := projections.NewAwaiter(projections.AwaiterOptions{Projectors: projectors})
	engine, err := projections.NewEngine(projections.Options{
		Pool: pool, Log: log, Catalogue: eventschema.All, Sealer: &projectiontest.Sealer{}, Projectors: projectors,
		InstallationID: projectiontest.InstallationID, Awaiter: awaiter,
		Source: func(after eventlog.Position) message.Subscriber {
			return eventlog.NewSubscriber(log, eventlog.SubscriberOptions{
				After: func(context.Context) (eventlog.Position, error) { return after, nil }, Window: 2000,
			})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	run := func() (halt func()) {
		ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
		ended := make(chan error)
		go func() { ended <- engine.Run(ctx) }()
		return func() {
			stop()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the engine ended: %v", err)
			}
		}
	}
	create := func(id string) eventlog.Receipt {
		stored, err := eventschema.All.Encode(eventschema.ProjectCreated{ProjectID: id, Name: "x"}, &projectiontest.Sealer{})
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := log.Append(t.Context(), "project-"+id, eventlog.NoStream,
			eventlog.Event{ID: uuid.New(), Stored: stored, Meta: eventlog.Meta{At: time.Now().UTC(), ActorKind: "system"}})
		if err != nil {
			t.Error(err)
		}
		return receipt
	}

	create("first")
	halt := run()
	var writing sync.WaitGroup
	for w := range 8 {
		writing.Go(func() {
			for i := range 25 {
				receipt := create(fmt.Sprintf("p%d-%d", w, i))
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				lagging, err := awaiter.WaitTypes(ctx, receipt.Position, []string{"project.created"})
				cancel()
				if lagging || err != nil {
					t.Errorf("lagging %v, error %v", lagging, err)
				}
			}
		})
	}
	writing.Wait()
	halt()
	last := create("last")
	defer run()()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if lagging, err := awaiter.Wait(ctx, last.Position, []string{"a_v1", "o_v1"}); lagging || err != nil {
		t.Fatalf("lagging %v, error %v", lagging, err)
	}
	if times := counted(t, pool, "a_v1"); len(times) != 1 || times[1] != 202 {
		t.Errorf("projects by how often they were counted: %v, want 202 once", times)
	}
	if !engine.CaughtUp() {
		t.Error("it has not caught up")
	}
	found, err := engine.Fsck(t.Context())
	if err != nil || len(found) > 0 {
		t.Errorf("fsck found %v, %v", found, err)
	}
}
