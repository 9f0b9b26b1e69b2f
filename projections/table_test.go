package projections_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

// lister adds a row for every project that is created and takes it away when the
// project is deleted. A project called poison is refused; one called short has
// a value too few.
func lister(name string) *projections.Projector {
	table := projections.NewTable(name, "id text", "name text", "at bigint", "seen timestamptz")
	return projections.New(name,
		`create table `+name+` (id text primary key, name text not null check (name <> 'poison'), at bigint not null, seen timestamptz not null, n int not null default 1)`,
		projections.On(func(b *projections.Batch, r eventlog.Record, e eventschema.ProjectCreated) {
			if e.Name == "short" {
				b.Insert(table, e.ProjectID)
				return
			}
			b.Insert(table, e.ProjectID, e.Name, int64(r.Position.Commit), r.Meta.At)
		}),
		projections.On(func(b *projections.Batch, _ eventlog.Record, e eventschema.ProjectDeleted) {
			b.Exec(`delete from `+name+` where id = $1`, e.ProjectID)
		}))
}

// listed is what a lister's table holds, by position.
func (r *rig) listed(table string) map[int64]string {
	r.t.Helper()
	rows, err := r.pool.Query(r.t.Context(), `select at, id from `+table)
	if err != nil {
		r.t.Fatal(err)
	}
	found := map[int64]string{}
	var at int64
	var id string
	if _, err := pgx.ForEachRow(rows, []any{&at, &id}, func() error { found[at] = id; return nil }); err != nil {
		r.t.Fatal(err)
	}
	return found
}

func TestRowsOfATable(t *testing.T) {
	t.Parallel()
	t.Run("keep their place among the projector's other statements", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{
			Projectors: []*projections.Projector{lister("a_v1"), counter("other_v1"), lister("z_v1")},
		})
		created := eventschema.ProjectCreated{ProjectID: "again", Name: "x"}
		r.append(created)
		r.create(0, 20)
		r.append(eventschema.ProjectDeleted{ProjectID: "again"})
		again := r.append(created)
		gone := r.append(eventschema.ProjectCreated{ProjectID: "gone", Name: "x"})
		last := r.append(eventschema.ProjectDeleted{ProjectID: "gone"})
		r.run() // everything is there by now: it is one batch
		r.reach(last.Position)
		for _, table := range []string{"a_v1", "z_v1"} {
			found := r.listed(table)
			if len(found) != 21 || found[int64(again.Position.Commit)] != "again" || found[int64(gone.Position.Commit)] != "" {
				t.Errorf("%s holds %v", table, found)
			}
		}
		if differences := r.fsck(); len(differences) > 0 {
			t.Errorf("a replay differs: %v", differences)
		}
	})
	for name, cause := range map[string]string{"poison": "23514", "short": "insert 1 values into 4 columns"} {
		t.Run("stop at the one that is refused: "+name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{
				Projectors: []*projections.Projector{counter("a_v1"), lister("poor_v1")},
			})
			r.create(0, 10)
			refused := r.append(eventschema.ProjectCreated{ProjectID: "refused", Name: name})
			last := r.create(10, 10)
			r.run()
			r.said.await(t, "projection stuck", 1)
			r.reach(last, "a_v1")
			s := r.status("poor_v1")
			if s.Stuck == nil || s.Stuck.Position != refused.Position || !strings.Contains(s.Stuck.Cause.Error(), cause) {
				t.Errorf("the status is %+v", s.Stuck)
			}
			if found := r.listed("poor_v1"); len(found) != 10 {
				t.Errorf("it holds %v", found)
			}
		})
	}
	t.Run("are given to Postgres as arrays, one for each column", func(t *testing.T) {
		t.Parallel()
		got := lister("a_v1").Statements(eventlog.Record{}, eventschema.ProjectCreated{})
		want := []string{"insert into a_v1 (id, name, at, seen) select * from unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[])"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
