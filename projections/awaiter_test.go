package projections_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

func at(n uint64) eventlog.Position { return eventlog.Position{Commit: n, Prepare: n} }

// deletions handles an event that counters do not.
func deletions(name string) *projections.Projector {
	return projections.New(name, `create table `+name+` (id text primary key)`,
		projections.On(func(b *projections.Batch, _ eventlog.Record, e eventschema.ProjectDeleted) {
			if e.ProjectID == "poison" {
				b.Fail(errors.New("no"))
			}
			b.Exec(`insert into `+name+` values ($1)`, e.ProjectID)
		}))
}

func TestAwaiter(t *testing.T) {
	t.Parallel()

	t.Run("answers at once for a position that was reached", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"))
		last := r.create(0, 3)
		r.reach(last)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if lagging, err := r.awaiter.Wait(ctx, last, r.names); lagging || err != nil {
			t.Errorf("lagging %v, error %v", lagging, err)
		}
	})

	t.Run("waits for nobody when no projector handles the events", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{Projectors: []*projections.Projector{counter("a_v1")}})
		lagging, err := r.awaiter.WaitTypes(t.Context(), at(100), []string{"user.created", "project.deleted"})
		if lagging || err != nil {
			t.Errorf("lagging %v, error %v", lagging, err)
		}
	})

	t.Run("lags when the deadline comes, and forgets who waited", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{Projectors: []*projections.Projector{counter("a_v1")}})
		awaiter := projections.NewAwaiter(projections.AwaiterOptions{Projectors: []*projections.Projector{counter("a_v1")}, MaxWaiters: 1})
		for range 3 { // a waiter that stayed would take the only place
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			defer cancel()
			lagging, err := awaiter.Wait(ctx, at(100), r.names)
			if !lagging || err != nil || ctx.Err() == nil {
				t.Errorf("lagging %v, error %v, context %v", lagging, err, ctx.Err())
			}
		}
	})

	t.Run("returns the error of a caller that left", func(t *testing.T) {
		t.Parallel()
		awaiter := projections.NewAwaiter(projections.AwaiterOptions{Projectors: []*projections.Projector{counter("a_v1")}})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if lagging, err := awaiter.Wait(ctx, at(100), []string{"a_v1"}); !lagging || !errors.Is(err, context.Canceled) {
			t.Errorf("lagging %v, error %v", lagging, err)
		}
	})

	t.Run("lags at once when too many wait", func(t *testing.T) {
		t.Parallel()
		awaiter := projections.NewAwaiter(projections.AwaiterOptions{Projectors: []*projections.Projector{counter("a_v1")}, MaxWaiters: 1})
		ctx, cancel := context.WithCancel(t.Context())
		answers := make(chan bool, 2)
		var waiting sync.WaitGroup
		for range 2 {
			waiting.Go(func() {
				lagging, err := awaiter.Wait(ctx, at(100), []string{"a_v1"})
				answers <- lagging && err == nil
			})
		}
		if !<-answers {
			t.Error("the second waiter should have been told that it lags")
		}
		cancel()
		waiting.Wait()
		if <-answers {
			t.Error("the first waiter should have waited until its caller left")
		}
	})

	t.Run("does not know other names", func(t *testing.T) {
		t.Parallel()
		awaiter := projections.NewAwaiter(projections.AwaiterOptions{})
		if _, err := awaiter.Wait(t.Context(), at(1), []string{"nobody_v1"}); err == nil {
			t.Error("it did not say so")
		}
	})

	t.Run("does not wait for a stuck projector, but for the others", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"), deletions("d_v1"))
		r.append(eventschema.ProjectDeleted{ProjectID: "poison"})
		r.said.await(t, "projection stuck", 1)
		last := r.create(0, 10)
		lagging, err := r.awaiter.WaitTypes(t.Context(), last, []string{"project.created", "project.deleted"})
		if !lagging || err != nil {
			t.Errorf("both: lagging %v, error %v", lagging, err)
		}
		r.once(10, "a_v1")
		lagging, err = r.awaiter.WaitTypes(t.Context(), last, []string{"project.created"})
		if lagging || err != nil {
			t.Errorf("the healthy one: lagging %v, error %v", lagging, err)
		}
	})

	t.Run("lets go of those who wait when a projector gets stuck", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"), deletions("d_v1"))
		r.reach(r.create(0, 1))
		answer := make(chan bool)
		go func() {
			lagging, err := r.awaiter.Wait(t.Context(), at(1000), []string{"d_v1"})
			answer <- lagging && err == nil
		}()
		r.append(eventschema.ProjectDeleted{ProjectID: "poison"})
		if !<-answer {
			t.Error("the waiter was not told that it lags")
		}
	})

	t.Run("does not wait for a read model that is far behind", func(t *testing.T) {
		t.Parallel()
		entered, release := make(chan struct{}), make(chan struct{})
		slow := delicate("slow_v1", "", func(*projections.Batch, eventschema.ProjectCreated) {
			close(entered)
			<-release
		})
		r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{
			Projectors: []*projections.Projector{slow}, MaxBatch: 1,
			Now: func() time.Time { return projectiontest.Epoch.Add(time.Hour) },
		})
		r.create(0, 10)
		r.append(eventschema.ProjectCreated{ProjectID: "poison", Name: "poison"})
		last := r.create(10, 10)
		r.run()
		<-entered
		lagging, err := r.awaiter.Wait(t.Context(), last, []string{"slow_v1"})
		if !lagging || err != nil {
			t.Errorf("while it is behind: lagging %v, error %v", lagging, err)
		}
		if s := r.status("slow_v1"); s.Pending == 0 || s.Lag != time.Hour-10*time.Second { // the log's clock ticks in seconds
			t.Errorf("while it is behind: %+v", s)
		}
		close(release)
		for lagging {
			if lagging, err = r.awaiter.Wait(t.Context(), last, []string{"slow_v1"}); err != nil {
				t.Fatal(err)
			}
		}
		if s := r.status("slow_v1"); s.Behind || s.Pending != 0 || s.Lag != 0 {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

func TestAwaiterOnAnotherNode(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t)
	projectors := []*projections.Projector{counter("a_v1"), deletions("d_v1")}
	r := newRig(t, db.Pool(), projectiontest.NewLog(), projections.Options{Projectors: projectors})
	r.run()
	r.reach(r.create(0, 1))

	// It never looks by itself within this test: what it knows it was woken for.
	awaiter := projections.NewAwaiter(projections.AwaiterOptions{Projectors: projectors, Pool: db.Pool(), Every: time.Hour})
	listener := db.NewListener()
	listening := make(chan struct{}, 1)
	listener.On(projections.Channel, func(string) {
		awaiter.Wake()
		select {
		case listening <- struct{}{}:
		default:
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = awaiter.Run(ctx) })
	running.Go(func() { _ = listener.Run(ctx) })
	defer running.Wait()
	defer stop()
	<-listening

	t.Run("is woken by every batch", func(t *testing.T) {
		for i := range 50 {
			next := at(uint64(i+2) * 100)
			answer := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				lagging, err := awaiter.Wait(ctx, next, []string{"a_v1"})
				if lagging {
					err = errors.New("lagging")
				}
				answer <- err
			}()
			r.create(1+i, 1)
			if err := <-answer; err != nil {
				t.Fatalf("event %d: %v", i, err)
			}
		}
	})

	t.Run("hears that a projector is stuck", func(t *testing.T) {
		poison := r.append(eventschema.ProjectDeleted{ProjectID: "poison"})
		r.said.await(t, "projection stuck", 2) // by now the checkpoint says so
		lagging, err := awaiter.Wait(t.Context(), poison.Position, []string{"a_v1", "d_v1"})
		if !lagging || err != nil {
			t.Errorf("lagging %v, error %v", lagging, err)
		}
	})
}

// Whoever waits is answered when the slowest of its projectors is there: not
// before, and always.
func TestAwaiterAnswersEveryWaiter(t *testing.T) {
	t.Parallel()
	r := start(t, counter("a_v1"), deletions("d_v1"), counter("z_v1"))
	const events = 400
	var waiting sync.WaitGroup
	for i := range 200 {
		waiting.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range 20 {
				position := at(100 * (1 + random.Uint64N(events)))
				lagging, err := r.awaiter.Wait(t.Context(), position, r.names)
				if lagging || err != nil {
					t.Errorf("lagging %v, error %v", lagging, err)
				}
				for _, s := range r.engine.Status() {
					if s.Position.Less(position) {
						t.Errorf("%s is at %s, waited for %s", s.Name, s.Position, position)
					}
				}
			}
		})
	}
	for i := range events / 4 {
		r.create(i*4, 4)
	}
	waiting.Wait()
	r.once(events, "a_v1", "z_v1")
}
