package projections_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

var unique atomic.Int64

// rows is a read model of the usual kind: one row an event.
func rows(name string) *projections.Projector {
	return projections.New(name,
		`create table `+name+` (id text primary key, name text not null, description text not null, at timestamptz not null)`,
		projections.On(func(b *projections.Batch, r eventlog.Record, e eventschema.ProjectCreated) {
			b.Exec(`insert into `+name+` values ($1, $2, $3, $4)`, e.ProjectID, e.Name, e.Description, r.Meta.At)
		}))
}

func project(i int) eventschema.ProjectCreated {
	return eventschema.ProjectCreated{
		ProjectID: fmt.Sprintf("project_%032d", i), Name: "A project of some name", Description: "What it is about, in a sentence or two.",
	}
}

// BenchmarkCatchUp is one row an event, from messages to committed rows; beside
// it, the same rows by COPY.
func BenchmarkCatchUp(b *testing.B) {
	for _, models := range []int{1, 20} {
		b.Run(fmt.Sprintf("%d read models", models), func(b *testing.B) {
			// One handles the events, the others are moved along.
			projectors := []*projections.Projector{rows("rows_v1")}
			for i := range models - 1 {
				projectors = append(projectors, deletions(fmt.Sprintf("d%d_v1", i)))
			}
			r := newRig(b, postgrestest.Pool(b), projectiontest.NewLog(), projections.Options{Projectors: projectors})
			var last eventlog.Position
			for i := range b.N {
				last = r.append(project(i)).Position
			}
			b.ResetTimer()
			r.run()
			r.reach(last)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkCopy(b *testing.B) {
	r := newRig(b, postgrestest.Pool(b), projectiontest.NewLog(), projections.Options{Projectors: []*projections.Projector{rows("rows_v1")}})
	if err := projections.Setup(b.Context(), r.pool, projectiontest.InstallationID, rows("rows_v1")); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	n := 0
	_, err := r.pool.CopyFrom(b.Context(), pgx.Identifier{"rows_v1"}, []string{"id", "name", "description", "at"},
		pgx.CopyFromFunc(func() ([]any, error) {
			if n == b.N {
				return nil, nil
			}
			p := project(n)
			n++
			return []any{p.ProjectID, p.Name, p.Description, projectiontest.Epoch}, nil
		}))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkWrite is from an event in the log to the answer that it is visible,
// one after the other and with as many at once as there may be commands.
func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("%d writers", writers), func(b *testing.B) {
			r := start(b, rows("rows_v1"), counter("c_v1"), deletions("d_v1"))
			b.SetParallelism(max(1, writers/2)) // times two processors
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := unique.Add(1)
					records, err := r.log.Append("project-p", project(int(i)))
					if err != nil {
						b.Error(err)
						return
					}
					lagging, err := r.awaiter.WaitTypes(context.Background(), records[0].Position, []string{"project.created"})
					if lagging || err != nil {
						b.Errorf("lagging %v, error %v", lagging, err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}

// BenchmarkWaitReached is a wait for what has been reached: most of those behind
// X-Min-Position.
func BenchmarkWaitReached(b *testing.B) {
	r := start(b, rows("rows_v1"), counter("c_v1"), deletions("d_v1"))
	last := r.create(0, 1)
	r.reach(last)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if lagging, err := r.awaiter.WaitTypes(context.Background(), last, []string{"project.created"}); lagging || err != nil {
			b.Fatal(lagging, err)
		}
	}
}
