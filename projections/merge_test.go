package projections_test

import (
	"sync"
	"testing"

	"github.com/g4fagent/g4fagent/eventschema"
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

// A read model that takes its time is waited for, but not long.
func TestSlowProjectorDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	pool, log := postgrestest.Pool(t), projectiontest.NewLog()
	before := newRig(t, pool, log, projections.Options{Projectors: []*projections.Projector{counter("a_v1")}})
	before.run()
	before.create(0, 10)
	before.reach(before.append(eventschema.ProjectCreated{ProjectID: "poison", Name: "poison"}).Position)
	before.halt()

	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := delicate("slow_v1", "", func(*projections.Batch, eventschema.ProjectCreated) {
		once.Do(func() { close(entered) })
		<-release
	})
	r := newRig(t, pool, log, projections.Options{Projectors: []*projections.Projector{counter("a_v1"), slow}})
	r.run()
	<-entered // with the whole log in one batch, the end of which the other group is at
	for i := range 5 {
		r.reach(r.create(10+i, 1), "a_v1")
	}
	close(release)
	r.reach(r.create(15, 1))
	r.once(17)
}
