package reactors

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/internal/postgres"
)

// housekeepEvery is how soon the jobs of a node that is gone are taken back, and
// how soon a project's oldest run is raised.
const housekeepEvery = 5 * time.Second

// alive is the lock that a River client's node holds for as long as it works.
func alive(client string) int64 { return postgres.LockKey("reactors", "client", client) }

// housekeep looks after the queue until ctx ends.
func (r *Reactors) housekeep(ctx context.Context, client string) {
	ticker := time.NewTicker(housekeepEvery)
	defer ticker.Stop()
	for {
		if err := r.tidy(ctx, client); err != nil && ctx.Err() == nil {
			r.logger.WarnContext(ctx, "the job queue was not looked after", slog.Any("error", err))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (r *Reactors) tidy(ctx context.Context, client string) error {
	ctx, cancel := context.WithTimeout(ctx, commitBound)
	defer cancel()
	if err := r.takeBack(ctx, client); err != nil {
		return err
	}
	if err := raise(ctx, r.pool); err != nil {
		return err
	}
	return r.measure(ctx)
}

// takeBack makes the jobs of clients that are gone available again. River itself
// would leave them running for an hour after a kill -9.
//
// Nobody else's life shows in the table: only the lock, which Postgres gives up
// with the session that held it, says that a client is there. A client whose
// session broke but which still works is no harm: its attempts at runs are fenced,
// and completions can be repeated.
func (r *Reactors) takeBack(ctx context.Context, client string) error {
	rows, err := r.pool.Query(ctx, `
		select distinct attempted_by[array_upper(attempted_by, 1)]
		  from river.river_job where state = 'running' and array_length(attempted_by, 1) > 0`)
	if err != nil {
		return fmt.Errorf("list who works on jobs: %w", err)
	}
	clients, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list who works on jobs: %w", err)
	}
	keys := make([]int64, len(clients))
	for i, c := range clients {
		keys[i] = alive(c)
	}
	held, err := r.db.Held(ctx, keys...)
	if err != nil {
		return err
	}
	var gone []string
	for i, c := range clients {
		if c != client && !held[keys[i]] {
			gone = append(gone, c)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	tag, err := r.pool.Exec(ctx, `
		update river.river_job
		   set state = 'available', scheduled_at = now(), attempt = greatest(attempt - 1, 0)
		 where state = 'running' and attempted_by[array_upper(attempted_by, 1)] = any ($1)`, gone)
	if err != nil {
		return fmt.Errorf("take back jobs: %w", err)
	}
	r.metrics.orphan.Add(float64(tag.RowsAffected()))
	r.logger.WarnContext(ctx, "took back jobs from nodes that are gone",
		slog.Int64("jobs", tag.RowsAffected()), slog.Any("clients", gone))
	return nil
}

// measure tells how long the oldest waiting job of each queue has been due, and
// how many runs wait.
func (r *Reactors) measure(ctx context.Context) error {
	if err := r.measureAge(ctx); err != nil {
		return err
	}
	var queued, retrying int
	if err := r.pool.QueryRow(ctx, `
		select count(*) filter (where state = 'available'), count(*) filter (where state <> 'available')
		  from river.river_job where queue = $1 and state in ('available', 'retryable', 'scheduled')`, queueRuns).Scan(&queued, &retrying); err != nil {
		return fmt.Errorf("count the waiting runs: %w", err)
	}
	r.metrics.waiting(queued, retrying)
	return nil
}

func (r *Reactors) measureAge(ctx context.Context) error {
	rows, err := r.pool.Query(ctx, `
		select queue, coalesce(extract(epoch from now() - min(scheduled_at)), 0)::float8
		  from river.river_job where state = 'available' and scheduled_at <= now() group by queue`)
	if err != nil {
		return fmt.Errorf("find the oldest waiting jobs: %w", err)
	}
	oldest := map[string]float64{queueCompletions: 0, queueRuns: 0}
	var queue string
	var age float64
	if _, err := pgx.ForEachRow(rows, []any{&queue, &age}, func() error {
		oldest[queue] = age
		return nil
	}); err != nil {
		return fmt.Errorf("find the oldest waiting jobs: %w", err)
	}
	for queue, age := range oldest {
		r.metrics.oldest.WithLabelValues(queue).Set(age)
	}
	return nil
}
