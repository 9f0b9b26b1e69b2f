package reactors

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/g4fagent/g4fagent/internal/postgres"
)

// schema is where River's tables and the checkpoints are. It is no read model's:
// rebuilding those leaves it alone.
const schema = "river"

//go:embed setup.sql
var tables string

// setUp makes the tables that are missing, one node at a time.
func (r *Reactors) setUp(ctx context.Context) (err error) {
	conn, err := r.db.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, closed(ctx, conn)) // gives the lock back
	}()
	if _, err := conn.Exec(ctx, `select pg_advisory_lock($1)`, postgres.LockKey("reactors", "setup")); err != nil {
		return fmt.Errorf("lock the job queue's setup: %w", err)
	}
	if _, err := conn.Exec(ctx, `create schema if not exists `+schema); err != nil {
		return fmt.Errorf("make the job queue's schema: %w", err)
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(r.pool), &rivermigrate.Config{Schema: schema, Logger: r.quiet})
	if err != nil {
		return fmt.Errorf("make the job queue's migrator: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("make the job queue's tables: %w", err)
	}
	if _, err := conn.Exec(ctx, tables); err != nil {
		return fmt.Errorf("make the reactors' tables: %w", err)
	}
	return nil
}

func closed(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	if err := conn.Close(ctx); err != nil {
		return fmt.Errorf("close the setup's connection: %w", err)
	}
	return nil
}
