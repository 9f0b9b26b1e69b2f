package reactors

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"
)

// Projects take turns. River starts what waits by priority, 1 before 4, and
// within a priority by age. So a run's priority is the lower the more unfinished
// runs its project has: a project that asks for fifty runs at once has the first
// of them at priority 1 and the last at 4, and another project's only run is at
// priority 1 and starts as soon as any run ends.
//
// Priorities alone would let a project that is asked for little, again and again,
// keep another's long queue waiting for ever. So every few seconds each project's
// oldest waiting run is raised to priority 1, where the oldest starts first: a
// project with work waiting always has one run among the next.
const (
	firstPriority = 1
	lastPriority  = 4
	// countedRuns bounds the count of unfinished runs: beyond, the priority is the
	// last one anyway.
	countedRuns = 16
)

// priority is that of a project's next run, when so many are unfinished.
func priority(unfinished int) int {
	switch {
	case unfinished < 1:
		return firstPriority
	case unfinished < 4:
		return 2
	case unfinished < countedRuns:
		return 3
	default:
		return lastPriority
	}
}

// takeTurns sets the priorities of runs about to be inserted in tx.
func takeTurns(ctx context.Context, tx pgx.Tx, jobs []river.InsertManyParams) error {
	for i, j := range jobs {
		run, ok := j.Args.(executeRun)
		if !ok {
			continue
		}
		var unfinished int
		err := tx.QueryRow(ctx, `
			select count(*) from (
				select from river.river_job
				 where queue = 'runs' and state in ('available', 'retryable', 'running', 'scheduled') and args ->> 'project_id' = $1
				 limit $2) as counted`, run.ProjectID, countedRuns).Scan(&unfinished)
		if err != nil {
			return fmt.Errorf("count the project's unfinished runs: %w", err)
		}
		jobs[i].InsertOpts = &river.InsertOpts{Priority: priority(unfinished)}
	}
	return nil
}

// executor is a pool or a transaction that can write.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// raise lets each project's oldest waiting run start with the next.
func raise(ctx context.Context, db executor) error {
	_, err := db.Exec(ctx, `
		update river.river_job j set priority = $1
		  from (select distinct on (args ->> 'project_id') id
		          from river.river_job
		         where queue = 'runs' and state = 'available'
		         order by args ->> 'project_id', scheduled_at, id) as oldest
		 where j.id = oldest.id and j.state = 'available' and j.priority > $1`, firstPriority)
	if err != nil {
		return fmt.Errorf("raise the oldest waiting runs: %w", err)
	}
	return nil
}
