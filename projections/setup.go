package projections

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/internal/postgres"
)

// Errors that the engine refuses to start with, because going on could only
// show wrong rows. Each is wrapped with what to do about it.
var (
	// ErrSchemaChanged says that a read model's tables are not those in the source.
	ErrSchemaChanged = errors.New("the read model's schema changed under the same name")
	// ErrOtherInstallation says that the read models were built from another log.
	ErrOtherInstallation = errors.New("the read models belong to another installation's log")
	// ErrAheadOfLog says that a read model holds events that the log does not.
	ErrAheadOfLog = errors.New("a read model is ahead of the log")
)

//go:embed engine.sql
var engineSchema string

// Setup makes the tables of the engine and of each projector that has none yet.
// It changes nothing that is there, and may run on several nodes at once. It
// fails with ErrSchemaChanged or ErrOtherInstallation.
func Setup(ctx context.Context, pool *pgxpool.Pool, installation string, projectors ...*Projector) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, postgres.LockKey("projections", "setup")); err != nil {
			return fmt.Errorf("lock the read models' setup: %w", err)
		}
		if _, err := tx.Exec(ctx, engineSchema); err != nil {
			return fmt.Errorf("make the engine's tables: %w", err)
		}
		there, err := checkpoints(ctx, tx, nil)
		if err != nil {
			return err
		}
		for _, p := range projectors {
			c, found := there[p.Name]
			if !found {
				if err := p.create(ctx, tx, installation); err != nil {
					return err
				}
				continue
			}
			if err := p.agrees(c, installation); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *Projector) agrees(c checkpoint, installation string) error {
	if c.installation != installation {
		return fmt.Errorf("%s was built from the log of installation %s, this one is %s; "+
			"connect the right log or database, or rebuild the read models: %w", p.Name, c.installation, installation, ErrOtherInstallation)
	}
	if c.schemaHash != p.hash() {
		return fmt.Errorf("%s: give the projector and its tables the next version, or rebuild it: %w", p.Name, ErrSchemaChanged)
	}
	return nil
}

// create makes the tables anew. Without a checkpoint, tables of that name say
// nothing: the events in them would be applied again.
func (p *Projector) create(ctx context.Context, tx pgx.Tx, installation string) error {
	if err := dropTables(ctx, tx, p); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, p.Schema); err != nil {
		return fmt.Errorf("make the tables of %s: %w", p.Name, err)
	}
	_, err := tx.Exec(ctx, `
		insert into projection_checkpoint (name, commit_position, prepare_position, schema_hash, installation_id)
		values ($1, 0, 0, $2, $3)`, p.Name, p.hash(), installation)
	if err != nil {
		return fmt.Errorf("make the checkpoint of %s: %w", p.Name, err)
	}
	return nil
}

// tables are those of p in a schema, in order.
func tables(ctx context.Context, db Querier, p *Projector, schema string) ([]string, error) {
	rows, err := db.Query(ctx, `select tablename::text from pg_tables where schemaname = $1 order by tablename`, schema)
	if err != nil {
		return nil, fmt.Errorf("list the tables of %s: %w", p.Name, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list the tables of %s: %w", p.Name, err)
	}
	var own []string
	for _, table := range all {
		if p.owns(table) {
			own = append(own, table)
		}
	}
	return own, nil
}

func currentSchema(ctx context.Context, db Querier) (string, error) {
	var schema string
	if err := db.QueryRow(ctx, `select current_schema()::text`).Scan(&schema); err != nil {
		return "", fmt.Errorf("find the current schema: %w", err)
	}
	return schema, nil
}

func dropTables(ctx context.Context, db executor, p *Projector) error {
	schema, err := currentSchema(ctx, db)
	if err != nil {
		return err
	}
	own, err := tables(ctx, db, p, schema)
	if err != nil || len(own) == 0 {
		return err
	}
	names := make([]string, len(own))
	for i, table := range own {
		names[i] = pgx.Identifier{schema, table}.Sanitize()
	}
	if _, err := db.Exec(ctx, `drop table `+strings.Join(names, ", ")); err != nil {
		return fmt.Errorf("drop the tables of %s: %w", p.Name, err)
	}
	return nil
}

// Drop removes a read model's tables and checkpoint. A projector of that name
// would start at the log's beginning.
func Drop(ctx context.Context, pool *pgxpool.Pool, name string) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `delete from projection_checkpoint where name = $1`, name)
		if err != nil {
			return fmt.Errorf("drop read model %s: %w", name, err)
		}
		if tag.RowsAffected() == 0 {
			return fmt.Errorf("drop read model %s: there is none", name)
		}
		return dropTables(ctx, tx, &Projector{Name: name})
	})
}

// notAhead refuses a checkpoint beyond the log's head: the log was restored
// from a backup older than the read models, or is another one.
func notAhead(head eventlog.Position, there map[string]checkpoint) error {
	for _, c := range there {
		if head.Less(c.position) {
			return fmt.Errorf("%s is at %s, the log ends at %s; connect the right log, or rebuild the read models: %w",
				c.name, c.position, head, ErrAheadOfLog)
		}
	}
	return nil
}
