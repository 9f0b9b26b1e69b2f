package projections_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

// twoKeys has a table with a key of two columns, one without, and json.
func twoKeys() *projections.Projector {
	return projections.New("two_v1", `
		create table two_v1 (kind text, id text, repo json, primary key (kind, id));
		create table two_v1_names (name text)`,
		projections.On(func(b *projections.Batch, _ eventlog.Record, e eventschema.ProjectCreated) {
			b.Exec(`insert into two_v1 values ('project', $1, $2)`, e.ProjectID, e.Repo)
			b.Exec(`insert into two_v1_names values ($1)`, e.Name)
		}))
}

func (r *rig) change(sql string) {
	r.t.Helper()
	if _, err := r.pool.Exec(r.t.Context(), sql); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) fsck() []projections.Difference {
	r.t.Helper()
	found, err := r.engine.Fsck(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

func TestFsck(t *testing.T) {
	t.Parallel()

	t.Run("finds nothing where rows are what the log says", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"), twoKeys())
		r.append(eventschema.ProjectCreated{ProjectID: "p", Name: "x", Repo: []byte(`{"n": 12345678901234567890, "n": 1}`)})
		r.reach(r.create(0, 1200))
		if found := r.fsck(); len(found) > 0 {
			t.Errorf("found %v", found)
		}
		r.halt()
		if found := r.fsck(); len(found) > 0 {
			t.Errorf("found %v once the engine was stopped", found)
		}
	})

	t.Run("finds what was changed, lost and added", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"), twoKeys())
		last := r.create(0, 10)
		r.reach(last)
		r.change(`update a_v1 set n = 7 where id = 'p00003'`)
		r.change(`delete from two_v1 where id in ('p00001', 'p00002')`)
		r.change(`insert into two_v1 values ('project', 'p00042', '{}')`)
		r.change(`insert into two_v1_names values ('x')`)
		got := r.fsck()
		want := []projections.Difference{
			{Projector: "a_v1", Table: "a_v1", Position: last, Missing: 1, MissingKeys: []string{"p00003"}, Unexpected: 1, UnexpectedKeys: []string{"p00003"}},
			{
				Projector: "two_v1", Table: "two_v1", Position: last,
				Missing: 2, MissingKeys: []string{"project p00001", "project p00002"}, Unexpected: 1, UnexpectedKeys: []string{"project p00042"},
			},
			{
				Projector: "two_v1", Table: "two_v1_names", Position: last,
				MissingKeys: []string{}, Unexpected: 1, UnexpectedKeys: []string{"84c35b0f0281fcc54ec6f7d66c55a8b4"},
			},
		}
		opaque := cmp.FilterPath(func(p cmp.Path) bool {
			return len(p) > 2 && got[2].Table == "two_v1_names" && p.Index(1).String() == "[2]" && p.Index(2).String() == ".UnexpectedKeys"
		}, cmp.Comparer(func(a, b []string) bool { return len(a) == len(b) && len(a[0]) == len(b[0]) }))
		if d := cmp.Diff(want, got, opaque); d != "" {
			t.Errorf("differences (-want +got):\n%s", d)
		}
	})

	t.Run("compares each read model where it is", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"), delicate("poor_v1", "", func(b *projections.Batch, _ eventschema.ProjectCreated) {
			b.Fail(errors.New("no"))
		}))
		r.create(0, 700)
		r.append(eventschema.ProjectCreated{ProjectID: "poison", Name: "poison"})
		r.reach(r.create(700, 700), "a_v1")
		r.said.await(t, "projection stuck", 1)
		if found := r.fsck(); len(found) > 0 {
			t.Errorf("found %v", found)
		}
	})

	t.Run("holds while events are applied", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"), orderly("o_v1"))
		r.reach(r.create(0, 10))
		written := r.write(10, 3000)
		for range 5 {
			if found := r.fsck(); len(found) > 0 {
				t.Errorf("found %v", found)
			}
		}
		n := written()
		r.once(n, "a_v1")
	})

	t.Run("is done one at a time", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"))
		r.reach(r.create(0, 1))
		conn, err := r.pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		if _, err := conn.Exec(t.Context(), `select pg_advisory_lock($1)`, postgres.LockKey("projections", "scratch")); err != nil {
			t.Fatal(err)
		}
		if _, err := r.engine.Fsck(t.Context()); !errors.Is(err, projections.ErrBusy) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("leaves no scratch tables", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"))
		r.reach(r.create(0, 1))
		r.fsck()
		var left bool
		if err := r.pool.QueryRow(t.Context(), `select to_regnamespace('projection_scratch') is not null`).Scan(&left); err != nil || left {
			t.Errorf("left %v, %v", left, err)
		}
	})
}

func TestRebuild(t *testing.T) {
	t.Parallel()

	t.Run("makes rows what the log says while the engine runs", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"), orderly("o_v1"))
		r.reach(r.create(0, 600))
		r.change(`update a_v1 set n = 7`)
		written := r.write(600, 3000)
		for range 4 {
			if err := r.engine.Rebuild(t.Context()); err != nil {
				t.Error(err)
			}
		}
		n := written()
		r.reach(r.create(n, 1))
		r.once(n+1, "a_v1")
		if found := r.fsck(); len(found) > 0 {
			t.Errorf("found %v", found)
		}
		if restarts := r.said.await(t, "projectors start again from their checkpoints", 0); len(restarts) > 0 {
			t.Errorf("the engine lost its place: %s", restarts[0].attrs["cause"])
		}
	})

	t.Run("accepts a changed schema", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"), counter("b_v1"))
		last := r.create(0, 30)
		r.reach(last)
		r.halt()
		changed := projections.New("a_v1", `create table a_v1 (name text primary key, n int not null)`,
			projections.On(func(b *projections.Batch, _ eventlog.Record, e eventschema.ProjectCreated) {
				b.Exec(`insert into a_v1 values ($1, 1)`, e.ProjectID)
			}))
		next := newRig(t, r.pool, r.log, projections.Options{Projectors: []*projections.Projector{changed, counter("b_v1")}})
		if err := next.engine.Run(t.Context()); !errors.Is(err, projections.ErrSchemaChanged) {
			t.Fatalf("before: %v", err)
		}
		if err := next.engine.Rebuild(t.Context(), "a_v1"); err != nil {
			t.Fatal(err)
		}
		next.run()
		next.reach(next.create(30, 5))
		next.once(35)
	})

	t.Run("accepts another log", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"))
		r.reach(r.create(0, 30))
		r.halt()
		for installation, n := range map[string]int{projectiontest.InstallationID: 7, "another": 50} {
			other := newRig(t, r.pool, projectiontest.NewLog(), projections.Options{
				Projectors: []*projections.Projector{counter("a_v1")}, InstallationID: installation,
			})
			last := other.create(0, n)
			if err := other.engine.Rebuild(t.Context()); err != nil {
				t.Fatal(err)
			}
			other.run()
			other.reach(last)
			other.once(n)
			other.halt()
		}
	})

	t.Run("keeps the live rows when it fails", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"))
		r.reach(r.create(0, 10))
		broken := projections.New("a_v1", `create table a_v1 (id text)`,
			projections.On(func(b *projections.Batch, _ eventlog.Record, e eventschema.ProjectCreated) {
				b.Exec(`insert into a_v1 values ($1 / 0)`, 1)
			}))
		next := newRig(t, r.pool, r.log, projections.Options{Projectors: []*projections.Projector{broken}})
		if err := next.engine.Rebuild(t.Context()); err == nil {
			t.Fatal("it did not fail")
		}
		r.reach(r.create(10, 1))
		r.once(11)
	})

	t.Run("knows its projectors", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{Projectors: []*projections.Projector{counter("a_v1")}})
		if err := r.engine.Rebuild(t.Context(), "b_v1"); err == nil {
			t.Error("it did not refuse")
		}
		if fmt.Sprint(r.engine.Rebuild(t.Context(), "a_v1")) == "<nil>" {
			t.Error("it rebuilt what was never built")
		}
	})
}
