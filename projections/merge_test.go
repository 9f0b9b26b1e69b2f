package projections_test

import (
	"sync"
	"testing"

	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
	"github.com/g4fagent/g4fagent/projections"
	"github.com/g4fagent/g4fagent/projections/projectiontest"
)

// A new read model starts at the log's beginning while the others go on, and
// joins them although they never stand still.
func TestNewProjectorCatchesUpAndJoins(t *testing.T) {
	t.Parallel()
	pool, log := postgrestest.Pool(t), projectiontest.NewLog()
	before := newRig(t, pool, log, projections.Options{Projectors: []*projections.Projector{counter("a_v1"), counter("b_v1")}})
	before.run()
	before.reach(before.create(0, 3000))
	before.halt()

	r := newRig(t, pool, log, projections.Options{
		Projectors: []*projections.Projector{counter("a_v1"), counter("b_v1"), counter("c_v1")}, MaxBatch: 50,
	})
	r.run()
	var appending sync.WaitGroup
	merged := make(chan struct{})
	var last eventlog.Position
	n := 3000
	appending.Go(func() {
		for {
			select {
			case <-merged:
				last = r.create(n, 100)
				n += 100
				return
			default:
				last = r.create(n, 20)
				n += 20
				r.reach(last, "a_v1") // as fast as commands wait for it
			}
		}
	})
	r.said.await(t, "groups of projectors merged", 1)
	close(merged)
	appending.Wait()
	r.reach(last)
	r.once(n)
}

func TestProjectorsAtDifferentPositionsEndAsOne(t *testing.T) {
	t.Parallel()
	pool, log := postgrestest.Pool(t), projectiontest.NewLog()
	var all []*projections.Projector
	for i, name := range []string{"a_v1", "b_v1", "c_v1", "d_v1"} {
		all = append(all, counter(name))
		r := newRig(t, pool, log, projections.Options{Projectors: []*projections.Projector{all[i]}})
		r.run()
		r.reach(r.create(i*300, 300))
		r.halt()
	}
	r := newRig(t, pool, log, projections.Options{Projectors: all, MaxBatch: 7})
	r.run()
	last := r.create(1200, 100)
	r.reach(last)
	r.once(1300)
	r.said.await(t, "groups of projectors merged", 3)
	r.reach(r.create(1300, 1))
	if restarts := len(r.said.await(t, "projectors start again from their checkpoints", 0)); restarts > 0 {
		t.Errorf("merging made %d groups start again", restarts)
	}
}
