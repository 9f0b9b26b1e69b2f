package projections_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

// delicate counts projects as counter does, and breaks on those called poison.
func delicate(name, schema string, breaks func(b *projections.Batch, e eventschema.ProjectCreated)) *projections.Projector {
	return projections.New(name,
		`create table `+name+` (id text primary key, n int not null, at bigint not null); `+schema,
		projections.On(func(b *projections.Batch, r eventlog.Record, e eventschema.ProjectCreated) {
			if e.Name == "poison" {
				breaks(b, e)
			}
			b.Exec(`insert into `+name+` values ($1, 1, $2) on conflict (id) do update set n = `+name+`.n + 1`,
				e.ProjectID, int64(r.Position.Commit))
		}))
}

func TestPoisonStopsOnlyItsProjector(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		schema string
		breaks func(b *projections.Batch, e eventschema.ProjectCreated)
		cause  string
	}{
		"a statement that Postgres refuses": {
			breaks: func(b *projections.Batch, _ eventschema.ProjectCreated) {
				b.Exec(`insert into poor_v1 values (null, 1, 1)`)
			},
			cause: "23502",
		},
		"a statement about a table that is not there": {
			breaks: func(b *projections.Batch, _ eventschema.ProjectCreated) { b.Exec(`insert into nowhere_v1 values (1)`) },
			cause:  "42P01",
		},
		"an argument that cannot be sent": {
			breaks: func(b *projections.Batch, _ eventschema.ProjectCreated) {
				b.Exec(`insert into poor_v1 values ('x', $1, 1)`, struct{}{})
			},
			cause: "unable to encode",
		},
		"a constraint that fails at the end": {
			schema: `create table poor_v1_child (id text references poor_v1 (id) deferrable initially deferred)`,
			breaks: func(b *projections.Batch, _ eventschema.ProjectCreated) {
				b.Exec(`insert into poor_v1_child values ('nobody')`)
			},
			cause: "23503",
		},
		"a statement that always meets a lock": {
			breaks: func(b *projections.Batch, _ eventschema.ProjectCreated) {
				b.Exec(`do $$ begin raise exception 'no lock' using errcode = '55P03'; end $$`)
			},
			cause: "55P03",
		},
		"a statement that ends the connection": {
			breaks: func(b *projections.Batch, _ eventschema.ProjectCreated) {
				b.Exec(`select pg_terminate_backend(pg_backend_pid())`)
			},
			cause: "57P01",
		},
		"a handler that panics": {
			breaks: func(*projections.Batch, eventschema.ProjectCreated) { panic("no") },
			cause:  "handler panicked: no",
		},
		"a handler that refuses": {
			breaks: func(b *projections.Batch, _ eventschema.ProjectCreated) { b.Fail(errors.New("not today")) },
			cause:  "not today",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{
				Projectors: []*projections.Projector{counter("a_v1"), delicate("poor_v1", test.schema, test.breaks), counter("z_v1")},
			})
			r.create(0, 10)
			poison := r.append(eventschema.ProjectCreated{ProjectID: "poison", Name: "poison"})
			last := r.create(10, 10)
			r.run()

			lines := r.said.await(t, "projection stuck", 2)
			r.reach(last, "a_v1", "z_v1")
			r.once(21, "a_v1", "z_v1")
			r.once(10, "poor_v1")
			for _, l := range lines {
				if l.level != slog.LevelError || l.attrs["position"].String() != poison.Position.String() ||
					l.attrs["event"].String() != "project.created" || !strings.Contains(l.attrs["cause"].String(), test.cause) {
					t.Errorf("it said %v %v", l.level, l.attrs)
				}
			}
			s := r.status("poor_v1")
			if s.Pending == 0 {
				t.Error("nothing is pending for a projector that is stuck")
			}
			if s.Stuck == nil || s.Stuck.Position != poison.Position || s.Stuck.Revision != poison.Revision ||
				!strings.Contains(s.Stuck.Cause.Error(), test.cause) || s.Stuck.Attempts < 2 {
				t.Errorf("the status is %+v", s.Stuck)
			}
			if !r.engine.CaughtUp() {
				t.Error("a stuck projector must not keep the node from being ready")
			}
			var failure string
			if err := r.pool.QueryRow(t.Context(), `select failure from projection_checkpoint where name = 'poor_v1'`).Scan(&failure); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(failure, test.cause) {
				t.Errorf("the checkpoint says %q", failure)
			}
		})
	}
}

func TestStuckProjectorRecovers(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{
		Projectors: []*projections.Projector{counter("a_v1"), delicate("poor_v1", `create table poor_v1_once (n int primary key)`,
			func(b *projections.Batch, _ eventschema.ProjectCreated) {
				b.Exec(`insert into poor_v1_once values (1)`)
			})},
		Registerer: registry,
	})
	r.run()
	r.reach(r.create(0, 1))
	if _, err := r.pool.Exec(t.Context(), `insert into poor_v1_once values (1)`); err != nil {
		t.Fatal(err)
	}
	r.append(eventschema.ProjectCreated{ProjectID: "poison", Name: "poison"})
	r.said.await(t, "projection stuck", 3)
	r.reach(r.create(1, 2000), "a_v1")
	if _, err := r.pool.Exec(t.Context(), `delete from poor_v1_once`); err != nil {
		t.Fatal(err)
	}
	r.said.await(t, "projection goes on", 1)
	r.reach(r.create(2001, 1))
	r.once(2003, "a_v1", "poor_v1")
	r.said.await(t, "groups of projectors merged", 1)
	var failures int
	if err := r.pool.QueryRow(t.Context(), `select count(failure) from projection_checkpoint`).Scan(&failures); err != nil {
		t.Fatal(err)
	}
	if failures != 0 {
		t.Errorf("%d checkpoints still say that they failed", failures)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "g4fagent_projection_stuck" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetGauge().GetValue() != 0 {
				t.Errorf("the gauge says stuck: %v", m)
			}
		}
		return
	}
	t.Error("there is no gauge of stuck projectors")
}

func TestStuckProjectorOutlivesTheSubscription(t *testing.T) {
	t.Parallel()
	for name, others := range map[string][]*projections.Projector{
		"of others":  {counter("a_v1")},
		"of its own": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := projectiontest.NewLog()
			poor := delicate("poor_v1", `create table poor_v1_once (n int primary key)`,
				func(b *projections.Batch, _ eventschema.ProjectCreated) {
					b.Exec(`insert into poor_v1_once values (1)`)
				})
			r := newRig(t, postgrestest.Pool(t), log, projections.Options{
				Projectors: append(others, poor),
				Source:     func(after eventlog.Position) message.Subscriber { return &brief{log.Source(after)} },
			})
			r.run()
			r.reach(r.create(0, 7))
			if _, err := r.pool.Exec(t.Context(), `insert into poor_v1_once values (1)`); err != nil {
				t.Fatal(err)
			}
			r.append(eventschema.ProjectCreated{ProjectID: "poison", Name: "poison"})
			last := r.create(7, 100)
			for _, p := range others {
				r.reach(last, p.Name)
			}
			r.said.await(t, "projection stuck", 5)
			if _, err := r.pool.Exec(t.Context(), `delete from poor_v1_once`); err != nil {
				t.Fatal(err)
			}
			r.said.await(t, "projection goes on", 1)
			settle(t, r, last)
			r.once(108)
		})
	}
}

// brief is a subscription that ends after five messages.
type brief struct{ message.Subscriber }

func (b *brief) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := b.Subscriber.Subscribe(ctx, topic)
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for range 5 {
			m, open := <-in
			if !open {
				return
			}
			select {
			case out <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, err
}

func TestTwoProjectorsStuckAtOneEventAreAlone(t *testing.T) {
	t.Parallel()
	fail := func(b *projections.Batch, _ eventschema.ProjectCreated) { b.Fail(errors.New("no")) }
	r := start(t, delicate("b_v1", "", fail), delicate("c_v1", "", fail), counter("a_v1"))
	r.append(eventschema.ProjectCreated{ProjectID: "poison", Name: "poison"})
	last := r.create(0, 3)
	r.said.await(t, "projection stuck", 6)
	r.reach(last, "a_v1")
	for _, name := range []string{"b_v1", "c_v1"} {
		if s := r.status(name); s.Stuck == nil || s.Position != (eventlog.Position{}) {
			t.Errorf("%s: %+v", name, s)
		}
	}
	r.said.mu.Lock()
	defer r.said.mu.Unlock()
	for _, l := range r.said.lines {
		if l.message == "projection stuck" && strings.Count(l.attrs["projectors"].String(), "_v1") != 1 {
			t.Errorf("stuck together: %v", l.attrs["projectors"])
		}
	}
}

func TestSkip(t *testing.T) {
	t.Parallel()
	r := start(t, counter("a_v1"), delicate("poor_v1", "", func(b *projections.Batch, _ eventschema.ProjectCreated) {
		b.Fail(errors.New("never"))
	}))
	poison := r.append(eventschema.ProjectCreated{ProjectID: "poison", Name: "poison"})
	last := r.create(0, 5)
	r.said.await(t, "projection stuck", 1)
	if err := projections.Skip(t.Context(), r.pool, "poor_v1", poison.Position, "agreed with ana"); err != nil {
		t.Fatal(err)
	}
	r.said.await(t, "projection goes on", 1)
	settle(t, r, last)
	r.once(6, "a_v1")
	r.once(5, "poor_v1")

	t.Run("is refused where the projector is not stuck", func(t *testing.T) {
		if err := projections.Skip(t.Context(), r.pool, "poor_v1", last, "by mistake"); err == nil {
			t.Error("an event that was applied was skipped")
		}
	})

	t.Run("holds in comparisons and rebuilds", func(t *testing.T) {
		if found, err := r.engine.Fsck(t.Context()); err != nil || len(found) > 0 {
			t.Fatalf("fsck found %v, %v", found, err)
		}
		if err := r.engine.Rebuild(t.Context(), "poor_v1"); err != nil {
			t.Fatal(err)
		}
		r.reach(r.create(5, 1))
		r.once(6, "poor_v1")
	})
}

func TestUnknownEvent(t *testing.T) {
	t.Parallel()

	t.Run("stops every projector in front of it", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{
			Projectors: []*projections.Projector{counter("a_v1"), counter("b_v1")},
		})
		before := r.create(0, 4)
		unknown := r.log.AppendStored("project-p", eventschema.Stored{Name: "project.enchanted", Version: 1, Data: []byte(`{}`)})
		r.create(4, 4)
		r.run()
		r.said.await(t, "projection stuck", 3)
		r.once(4)
		for _, s := range r.engine.Status() {
			if s.Position != before || s.Stuck == nil || s.Stuck.Position != unknown.Position ||
				!errors.Is(s.Stuck.Cause, eventschema.ErrUnknownEvent) {
				t.Errorf("%s: %+v", s.Name, s)
			}
		}
	})

	t.Run("is passed only when every projector is told to", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"), counter("b_v1"))
		unknown := r.log.AppendStored("project-p", eventschema.Stored{Name: "project.enchanted", Version: 1, Data: []byte(`{}`)})
		last := r.create(0, 1)
		r.said.await(t, "projection stuck", 1)
		if err := projections.Skip(t.Context(), r.pool, "a_v1", unknown.Position, "known harmless"); err != nil {
			t.Fatal(err)
		}
		r.said.await(t, "projection stuck", 4)
		if err := projections.Skip(t.Context(), r.pool, "b_v1", unknown.Position, "known harmless"); err != nil {
			t.Fatal(err)
		}
		r.said.await(t, "projection goes on", 1)
		settle(t, r, last)
		r.once(1)
	})

	t.Run("in a newer version stops those that handle it", func(t *testing.T) {
		t.Parallel()
		other := projections.New("other_v1", `create table other_v1 (id text)`,
			projections.On(func(b *projections.Batch, _ eventlog.Record, e eventschema.ProjectDeleted) {
				b.Exec(`insert into other_v1 values ($1)`, e.ProjectID)
			}))
		r := start(t, counter("a_v1"), other)
		r.log.AppendStored("project-p", eventschema.Stored{Name: "project.created", Version: 99, Data: []byte(`{}`)})
		r.reach(r.append(eventschema.ProjectDeleted{ProjectID: "p"}).Position, "other_v1")
		r.said.await(t, "projection stuck", 1)
		if s := r.status("a_v1"); s.Stuck == nil || !errors.Is(s.Stuck.Cause, eventschema.ErrUnknownEvent) {
			t.Errorf("a_v1: %+v", s)
		}
	})

	t.Run("in a form that cannot be read is no matter to those who do not read it", func(t *testing.T) {
		t.Parallel()
		every := projections.New("every_v1", `create table every_v1 (position bigint primary key)`,
			projections.OnEach([]string{"project.created"}, func(b *projections.Batch, r eventlog.Record) {
				b.Exec(`insert into every_v1 values ($1)`, int64(r.Position.Commit))
			})...)
		r := start(t, counter("a_v1"), every)
		odd := r.log.AppendStored("project-p", eventschema.Stored{Name: "project.created", Version: 1, Data: []byte(`{"odd":1}`)})
		r.reach(odd.Position, "every_v1")
		r.said.await(t, "projection stuck", 1)
		if s := r.status("a_v1"); s.Stuck == nil || s.Stuck.Position != odd.Position {
			t.Errorf("a_v1: %+v", s)
		}
	})

	t.Run("of the server's own is nobody's business", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"))
		r.log.AppendStored("$metadata", eventschema.Stored{Name: "$metadata", Data: []byte(`{}`)})
		r.reach(r.create(0, 1))
		r.once(1)
	})
}
