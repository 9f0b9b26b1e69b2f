package projections_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

func TestEngine(t *testing.T) {
	t.Parallel()

	t.Run("shows what was appended before it started and what is appended after", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{
			Projectors: []*projections.Projector{counter("a_v1"), counter("b_v1")},
		})
		r.create(0, 700)
		r.run()
		r.reach(r.create(700, 5))
		r.once(705)
		if !r.engine.CaughtUp() {
			t.Error("it has not caught up")
		}
	})

	t.Run("applies once what is delivered twice", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{
			Projectors: []*projections.Projector{counter("a_v1")}, MaxBatch: 7,
		})
		r.log.Repeat = 2
		r.run()
		r.reach(r.create(0, 100))
		r.once(100)
	})

	t.Run("applies once although it is stopped again and again", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{
			Projectors: []*projections.Projector{counter("a_v1"), counter("b_v1")}, MaxBatch: 10,
		})
		var last eventlog.Position
		for i := range 20 {
			r.run()
			last = r.create(i*50, 50)
			// Somewhere on the way: the transaction under way is cut off.
			if i%2 == 0 {
				r.reach(eventlog.Position{Commit: last.Commit - 2500, Prepare: last.Prepare - 2500})
			}
			r.halt()
		}
		r.run()
		r.reach(last)
		r.once(1000)
	})

	t.Run("applies once although another engine does the same work", func(t *testing.T) {
		t.Parallel()
		pool, log := postgrestest.Pool(t), projectiontest.NewLog()
		rigs := make([]*rig, 2)
		for i := range rigs {
			rigs[i] = newRig(t, pool, log, projections.Options{
				Projectors: []*projections.Projector{counter("a_v1"), counter("b_v1")}, MaxBatch: 1 + i*20,
			})
			rigs[i].run()
		}
		var appending sync.WaitGroup
		var last eventlog.Position
		appending.Go(func() { last = rigs[0].create(0, 2000) })
		appending.Wait()
		for _, r := range rigs {
			r.reach(last)
		}
		rigs[0].once(2000)
	})

	t.Run("outlasts connections that are cut", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"), counter("b_v1"))
		for i := range 20 {
			last := r.create(i*30, 30)
			_, err := r.pool.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity
				where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`)
			if err != nil {
				t.Fatal(err)
			}
			r.reach(last)
		}
		r.once(600)
		for _, s := range r.engine.Status() {
			if s.Stuck != nil {
				t.Errorf("an outage was taken for a failure of %s: %v", s.Name, s.Stuck.Cause)
			}
		}
	})

	t.Run("fills again what Postgres lost in a crash", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"), counter("b_v1"))
		r.reach(r.create(0, 100))
		// Rows and checkpoint of one projector are as they were at event 60.
		_, err := r.pool.Exec(t.Context(), `
			with lost as (delete from a_v1 where at > 6000)
			update projection_checkpoint set commit_position = 6000, prepare_position = 6000 where name = 'a_v1'`)
		if err != nil {
			t.Fatal(err)
		}
		r.reach(r.create(100, 1))
		r.once(101)
	})

	t.Run("ends with an error when a checkpoint is taken away", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"))
		r.reach(r.create(0, 1))
		if err := projections.Drop(t.Context(), r.pool, "a_v1"); err != nil {
			t.Fatal(err)
		}
		r.create(1, 1)
		if err := <-r.ended; err == nil || errors.Is(err, context.Canceled) {
			t.Fatalf("Run returned %v", err)
		}
	})

	t.Run("runs once at a time", func(t *testing.T) {
		t.Parallel()
		r := start(t, counter("a_v1"))
		r.reach(r.create(0, 1))
		if err := r.engine.Run(t.Context()); err == nil {
			t.Fatal("a second Run was accepted")
		}
	})

	t.Run("keeps a transaction within its bytes", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, postgrestest.Pool(t), projectiontest.NewLog(), projections.Options{
			Projectors: []*projections.Projector{counter("a_v1")}, MaxBatchBytes: 300,
		})
		r.create(0, 50)
		r.run()
		r.reach(r.create(50, 1))
		r.once(51)
	})
}

// A read model is a function of the log: neither the size of batches nor how
// often the engine was stopped between them shows in its rows.
func TestBatchSizesDoNotShow(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	nth := 0
	rapid.Check(t, func(rt *rapid.T) {
		nth++
		order := orderly(fmt.Sprintf("orderly%d_v1", nth))
		log := projectiontest.NewLog()
		var want []string
		size := rapid.IntRange(1, 60).Draw(rt, "events")
		for i := range size {
			id := fmt.Sprintf("p%d", rapid.IntRange(0, 5).Draw(rt, "project"))
			if _, err := log.Append("project-"+id, eventschema.ProjectCreated{ProjectID: id, Name: strconv.Itoa(i)}); err != nil {
				rt.Fatal(err)
			}
			want = append(want, strconv.Itoa(i))
		}
		head, _ := log.Head(t.Context())
		for position := uint64(0); position < head.Commit; {
			position = min(head.Commit, position+100*rapid.Uint64Range(1, 30).Draw(rt, "distance"))
			r := newRig(t, pool, log, projections.Options{
				Projectors: []*projections.Projector{order}, MaxBatch: rapid.IntRange(1, 40).Draw(rt, "batch"),
			})
			r.run()
			r.reach(eventlog.Position{Commit: position, Prepare: position})
			r.halt()
		}
		var got []string
		if err := pool.QueryRow(t.Context(), `select array_agg(name order by nth) from `+order.Name).Scan(&got); err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			rt.Fatalf("order of events (-want +got):\n%s", d)
		}
	})
}

// orderly numbers events by arithmetic in SQL, which only holds when each runs
// once and in order.
func orderly(name string) *projections.Projector {
	return projections.New(name,
		`create table `+name+` (nth int primary key, name text not null);
		 create table `+name+`_count (id int primary key, n int not null)`,
		projections.On(func(b *projections.Batch, _ eventlog.Record, e eventschema.ProjectCreated) {
			b.Exec(`insert into ` + name + `_count values (1, 1) on conflict (id) do update set n = ` + name + `_count.n + 1`)
			b.Exec(`insert into `+name+` values ((select n from `+name+`_count), $1)`, e.Name)
		}))
}

func TestStatus(t *testing.T) {
	t.Parallel()
	r := start(t, counter("a_v1"))
	last := r.create(0, 3)
	r.reach(last)
	got := r.status("a_v1")
	want := projections.Status{Name: "a_v1", Position: last, LastEventAt: projectiontest.Epoch.Add(2 * time.Second)}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("status (-want +got):\n%s", d)
	}
	r.halt()
	if s := r.engine.Status(); s != nil || r.engine.CaughtUp() {
		t.Errorf("a stopped engine says %+v, caught up %v", s, r.engine.CaughtUp())
	}
}
