package projectiontest

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
)

func TestApplyFails(t *testing.T) {
	t.Parallel()
	broken := func(handle func(*projections.Batch, eventlog.Record, eventschema.ProjectCreated)) *projections.Projector {
		return projections.New("broken_v1", `create table broken_v1 (id text primary key, n bigint)`, projections.On(handle))
	}
	others := projections.New("others_v1", `create table others_v1 (id text)`)
	for name, test := range map[string]struct {
		projectors []*projections.Projector
		want       string
	}{
		"on SQL that Postgres refuses": {
			[]*projections.Projector{broken(func(b *projections.Batch, _ eventlog.Record, _ eventschema.ProjectCreated) {
				b.Exec(`insert into broken_v1 values (null, 1)`)
			})}, "stuck",
		},
		"on a clock in SQL": {
			[]*projections.Projector{broken(func(b *projections.Batch, _ eventlog.Record, _ eventschema.ProjectCreated) {
				b.Exec(`insert into broken_v1 values ('a', extract(epoch from clock_timestamp()))`)
			})}, "clock_timestamp",
		},
		"on a read of the table": {
			[]*projections.Projector{broken(func(b *projections.Batch, _ eventlog.Record, _ eventschema.ProjectCreated) {
				b.Exec(`insert into broken_v1 select 'a', count(*) from broken_v1`)
			})}, "reads a table",
		},
		"on lots drawn in Go": {
			[]*projections.Projector{broken(func(b *projections.Batch, _ eventlog.Record, e eventschema.ProjectCreated) {
				b.Exec(`insert into broken_v1 values ($1, $2)`, e.ProjectID, rand.Int64()) //nolint:gosec // what must be found
			})}, "replay gives other rows",
		},
		"on another read model's table": {
			[]*projections.Projector{broken(func(b *projections.Batch, _ eventlog.Record, _ eventschema.ProjectCreated) {
				b.Exec(`update elsewhere_v1 set id = 1`)
			}), others}, "stuck",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := Start(t, test.projectors...)
			_, err := k.apply(t.Context(), "project-p", eventschema.ProjectCreated{ProjectID: "p", Name: "x"})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want something about %q", err, test.want)
			}
		})
	}
}

func TestApplyAcceptsRowsMadeOfArguments(t *testing.T) {
	t.Parallel()
	tags := projections.New("tags_v1", `create table tags_v1 (session_id text, tag text, primary key (session_id, tag))`,
		projections.On(func(b *projections.Batch, _ eventlog.Record, e eventschema.SessionCreated) {
			b.Exec(`insert into tags_v1 select $1, tag from unnest($2::text[]) as tag on conflict do nothing`, e.SessionID, e.Tags)
		}))
	pool := Given(t, tags, "session-s", eventschema.SessionCreated{SessionID: "s", ProjectID: "p", Tags: []string{"a", "b", "a"}})
	var n int
	if err := pool.QueryRow(t.Context(), `select count(*) from tags_v1`).Scan(&n); err != nil || n != 2 {
		t.Fatalf("%d tags, %v", n, err)
	}
}

func TestSealer(t *testing.T) {
	t.Parallel()
	names := projections.New("names_v1", `create table names_v1 (id text primary key, name text)`,
		projections.On(func(b *projections.Batch, _ eventlog.Record, e eventschema.UserCreated) {
			b.Exec(`insert into names_v1 values ($1, $2)`, e.UserID, e.Name)
		}))
	k := Start(t, names)
	records := k.Apply("user-u", eventschema.UserCreated{UserID: "u", Name: "Ana", Roles: []string{"admin"}})
	name := func() (name string) {
		t.Helper()
		if err := k.Pool.QueryRow(t.Context(), `select name from names_v1`).Scan(&name); err != nil {
			t.Fatal(err)
		}
		return name
	}

	if strings.Contains(string(records[0].Stored.Data), "Ana") {
		t.Errorf("the log holds the name in clear: %s", records[0].Stored.Data)
	}
	if got := name(); got != "Ana" {
		t.Errorf("the read model holds %q", got)
	}
	k.Log.Sealer.Destroy("user", "u")
	if err := k.Rebuild(); err != nil {
		t.Fatal(err)
	}
	if got := name(); got != "[erased]" {
		t.Errorf("after the key was destroyed the read model holds %q", got)
	}
	if _, err := k.Log.Append("user-u", eventschema.UserCreated{UserID: "u", Name: "Ana"}); err == nil {
		t.Error("a destroyed key sealed again")
	}
	if _, err := k.Log.Sealer.Open("Ana"); err == nil {
		t.Error("text that was never sealed was opened")
	}
}
