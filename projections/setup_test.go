package projections_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

func TestSetup(t *testing.T) {
	t.Parallel()

	t.Run("may run on many nodes at once and again", func(t *testing.T) {
		t.Parallel()
		pool := postgrestest.Pool(t)
		var nodes sync.WaitGroup
		for range 6 {
			nodes.Go(func() {
				if err := projections.Setup(t.Context(), pool, "i", counter("a_v1"), counter("b_v1")); err != nil {
					t.Error(err)
				}
			})
		}
		nodes.Wait()
	})

	t.Run("refuses tables that changed under the same name", func(t *testing.T) {
		t.Parallel()
		pool := postgrestest.Pool(t)
		if err := projections.Setup(t.Context(), pool, "i", projections.New("a_v1", `create table a_v1 (id text)`)); err != nil {
			t.Fatal(err)
		}
		same := projections.New("a_v1", "\n  create table a_v1 ( -- the same\n id text\n)")
		if err := projections.Setup(t.Context(), pool, "i", same); err != nil {
			t.Errorf("a comment is a change: %v", err)
		}
		wider := projections.New("a_v1", `create table a_v1 (id text, n int)`)
		if err := projections.Setup(t.Context(), pool, "i", wider); !errors.Is(err, projections.ErrSchemaChanged) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("refuses another installation's log", func(t *testing.T) {
		t.Parallel()
		pool := postgrestest.Pool(t)
		if err := projections.Setup(t.Context(), pool, "one", counter("a_v1")); err != nil {
			t.Fatal(err)
		}
		err := projections.Setup(t.Context(), pool, "two", counter("a_v1"))
		if !errors.Is(err, projections.ErrOtherInstallation) || !strings.Contains(err.Error(), "rebuild") {
			t.Fatalf("got %v", err)
		}
	})

	t.Run("drops tables that have no checkpoint", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"))
		last := r.create(0, 5)
		r.reach(last)
		r.halt()
		if _, err := r.pool.Exec(t.Context(), `delete from projection_checkpoint`); err != nil {
			t.Fatal(err)
		}
		r.run()
		r.reach(last)
		r.reach(r.create(5, 1))
		r.once(6)
	})
}

func TestEngineRefusesToStart(t *testing.T) {
	t.Parallel()

	t.Run("ahead of the log", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"))
		r.reach(r.create(0, 5))
		r.halt()
		older := newRig(t, r.pool, projectiontest.NewLog(), projections.Options{Projectors: []*projections.Projector{counter("a_v1")}})
		older.create(0, 3)
		err := older.engine.Run(t.Context())
		if !errors.Is(err, projections.ErrAheadOfLog) || !strings.Contains(err.Error(), "rebuild") {
			t.Fatalf("got %v", err)
		}
	})

	t.Run("with two projectors of one name", func(t *testing.T) {
		t.Parallel()
		_, err := projections.NewEngine(projections.Options{
			Catalogue: eventschema.All, Projectors: []*projections.Projector{counter("a_v1"), counter("a_v1")},
		})
		if err == nil {
			t.Fatal("it did not refuse")
		}
	})

	t.Run("with an event that the catalogue does not have", func(t *testing.T) {
		t.Parallel()
		_, err := projections.NewEngine(projections.Options{
			Catalogue: eventschema.NewCatalogue(), Projectors: []*projections.Projector{counter("a_v1")},
		})
		if !errors.Is(err, eventschema.ErrUnknownEvent) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestDropRemovesARetiredReadModel(t *testing.T) {
	t.Parallel()
	r := start(t, counter("a_v1"), counter("a_v11"))
	r.reach(r.create(0, 5))
	r.halt()
	standing, err := projections.Standing(t.Context(), r.pool, counter("a_v11"))
	if err != nil {
		t.Fatal(err)
	}
	if len(standing) != 2 || standing[0].Name != "a_v1" || !standing[0].Retired || standing[1].Retired || standing[1].Position.IsZero() {
		t.Fatalf("standing: %+v", standing)
	}
	if err := projections.Drop(t.Context(), r.pool, "a_v1"); err != nil {
		t.Fatal(err)
	}
	r.once(5, "a_v11")
	if _, err := r.pool.Exec(t.Context(), `select from a_v1`); err == nil {
		t.Error("the table is still there")
	}
	if err := projections.Drop(t.Context(), r.pool, "a_v1"); err == nil {
		t.Error("dropping it twice went unnoticed")
	}
}

func TestNewPanics(t *testing.T) {
	t.Parallel()
	nothing := func(*projections.Batch, eventlog.Record, eventschema.ProjectCreated) {}
	for name, build := range map[string]func(){
		"on an event claimed twice": func() {
			projections.New("a_v1", `create table a_v1 (id text)`, projections.On(nothing), projections.On(nothing))
		},
		"on a name without a version": func() { projections.New("messages", `create table messages (id text)`) },
		"on a name with two versions": func() { projections.New("a_v1_b_v1", `create table a_v1_b_v1 (id text)`) },
		"on a name that is too long": func() {
			projections.New(strings.Repeat("a", 38)+"_v1", `create table `+strings.Repeat("a", 38)+`_v1 (id text)`)
		},
		"on a table of another's name":         func() { projections.New("a_v1", `create table a_v11 (id text)`) },
		"on a schema without tables":           func() { projections.New("a_v1", `-- create table a_v1 (id text)`) },
		"on a view":                            func() { projections.New("a_v1", `create table a_v1 (id text); create view a_v1_x as select 1`) },
		"on a column numbered by Postgres":     func() { projections.New("a_v1", `create table a_v1 (id bigserial)`) },
		"on a column numbered by identity":     func() { projections.New("a_v1", `create table a_v1 (id int generated always as identity)`) },
		"on a clock in the schema":             func() { projections.New("a_v1", `create table a_v1 (at timestamptz default now())`) },
		"on jsonb, which changes what it gets": func() { projections.New("a_v1", `create table a_v1 (body jsonb)`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("it did not")
				}
			}()
			build()
		})
	}
}
