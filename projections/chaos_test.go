package projections_test

import (
	"context"
	"errors"
	"fmt"
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

// Whatever happens at once, the rows are what the log says in the end: two
// engines, connections cut, a projector that is stuck from time to time, engines
// stopped, read models rebuilt.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	pool, log := postgrestest.Pool(t), projectiontest.NewLog()
	gated := delicate("poor_v1", `create table poor_v1_gate (n int primary key)`,
		func(b *projections.Batch, _ eventschema.ProjectCreated) {
			b.Exec(`insert into poor_v1_gate values (1)`) // fails while the gate is shut
			b.Exec(`delete from poor_v1_gate`)
		})
	rigs := make([]*rig, 2)
	for i := range rigs {
		rigs[i] = newRig(t, pool, log, projections.Options{
			Projectors: []*projections.Projector{counter("a_v1"), gated, orderly("o_v1"), counter("z_v1")}, MaxBatch: 10 + 40*i,
		})
		rigs[i].run()
	}
	rigs[0].reach(rigs[0].create(0, 1))

	ctx, stop := context.WithCancel(t.Context())
	var doing sync.WaitGroup
	again := func(seed uint64, pause time.Duration, do func(random *rand.Rand)) {
		doing.Go(func() {
			random := rand.New(rand.NewPCG(seed, 7))
			for ctx.Err() == nil {
				timer := time.NewTimer(pause/2 + rand.N(pause))
				select {
				case <-timer.C:
				case <-ctx.Done():
				}
				do(random)
			}
		})
	}
	run := func(sql string) error {
		_, err := pool.Exec(t.Context(), sql)
		if err != nil {
			t.Log(err) // its own connection may have been cut
		}
		return err
	}
	n, poisons := 1, 0
	again(1, 2*time.Millisecond, func(random *rand.Rand) {
		size := 1 + random.IntN(20)
		rigs[0].create(n, size)
		n += size
		if random.IntN(4) == 0 {
			rigs[0].append(eventschema.ProjectCreated{ProjectID: fmt.Sprintf("poison%d", poisons), Name: "poison"})
			poisons++
		}
	})
	again(2, 60*time.Millisecond, func(*rand.Rand) {
		_ = run(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
			and backend_type = 'client backend' order by random() limit 2`) // another time will do
	})
	again(3, 100*time.Millisecond, func(random *rand.Rand) {
		if random.IntN(2) == 0 {
			_ = run(`insert into poor_v1_gate values (1) on conflict do nothing`) // another time will do
		} else {
			_ = run(`delete from poor_v1_gate`) // another time will do
		}
	})
	again(4, 150*time.Millisecond, func(*rand.Rand) {
		rigs[1].halt()
		rigs[1].run()
	})
	again(5, 150*time.Millisecond, func(*rand.Rand) {
		if err := rigs[0].engine.Rebuild(t.Context()); errors.Is(err, projections.ErrAheadOfLog) {
			t.Error(err)
		}
	})
	time.AfterFunc(2*time.Second, stop)
	<-ctx.Done()
	doing.Wait()
	for run(`delete from poor_v1_gate`) != nil { // some connections of the pool may be the cut ones
		if t.Context().Err() != nil {
			t.Fatal("the gate was not opened")
		}
	}

	last := rigs[0].create(n, 1)
	for _, r := range rigs {
		settle(t, r, last)
	}
	rigs[0].once(n+1+poisons, "a_v1", "z_v1", "poor_v1")
	for _, d := range rigs[0].fsck() {
		t.Error(d)
	}
}

// settle waits for the position, whatever was lagging on the way.
func settle(t *testing.T, r *rig, position eventlog.Position) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		lagging, err := r.awaiter.Wait(ctx, position, r.names)
		if err == nil && !lagging {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s was not reached: %+v", position, r.engine.Status())
		}
	}
}
