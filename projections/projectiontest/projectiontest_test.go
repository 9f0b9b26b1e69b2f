package projectiontest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
)

func projects() *projections.Projector {
	return projections.New("projects_v1", `
		create table projects_v1 (id text primary key, name text not null, changes int not null, actor text not null, at timestamptz not null);
		create index on projects_v1 (name)`,
		projections.On(func(b *projections.Batch, r eventlog.Record, e eventschema.ProjectCreated) {
			b.Exec(`insert into projects_v1 values ($1, $2, 0, $3, $4)`, e.ProjectID, e.Name, r.Meta.ActorUserID, r.Meta.At)
		}),
		projections.On(func(b *projections.Batch, _ eventlog.Record, e eventschema.ProjectUpdated) {
			b.Exec(`update projects_v1 set name = coalesce($2, name), changes = changes + 1 where id = $1`, e.ProjectID, e.Name)
		}))
}

func TestGiven(t *testing.T) {
	t.Parallel()
	renamed := "Beta"
	pool := Given(t, projects(), "project-p1",
		With(eventschema.ProjectCreated{ProjectID: "p1", Name: "Alpha"}, func(r *eventlog.Record) { r.Meta.ActorUserID = "ana" }),
		eventschema.ProjectUpdated{ProjectID: "p1", Name: &renamed},
		eventschema.ProjectUpdated{ProjectID: "p1"},
	)
	rows, err := pool.Query(t.Context(), `select id, name, changes, actor, extract(epoch from at)::bigint from projects_v1`)
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		ID, Name string
		Changes  int
		Actor    string
		At       int64
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		t.Fatal(err)
	}
	want := []row{{"p1", "Beta", 2, "ana", Epoch.Unix()}}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("rows (-want +got):\n%s", d)
	}
}
