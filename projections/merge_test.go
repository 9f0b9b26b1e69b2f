package projections_test

import (
	"testing"

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
	written := r.write(3000, 20000)
	r.said.await(t, "groups of projectors merged", 1)
	n := written()
	r.reach(r.create(n, 1))
	r.once(n + 1)
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
