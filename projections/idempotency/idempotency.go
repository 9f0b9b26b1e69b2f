// Package idempotency is the index of all commands that carried an idempotency
// key. A stream's state remembers the recent ones; the index knows them all.
package idempotency

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/eventlog"
	"github.com/g4fagent/g4fagent/projections"
)

//go:embed schema.sql
var schema string

const name = "idempotency_v1"

// Projector writes where each key was used.
func Projector() *projections.Projector {
	return projections.New(name, schema, projections.OnEach(eventschema.All.Names(), index)...)
}

// index keeps the first event of a command; the others carry the same key.
func index(b *projections.Batch, r eventlog.Record) {
	if r.Meta.IdempotencyKey == "" {
		return
	}
	b.Exec(`insert into idempotency_v1 (stream, key, revision) values ($1, $2, $3) on conflict do nothing`,
		r.Stream, r.Meta.IdempotencyKey, r.Revision)
}

// Index answers from the read model.
type Index struct{ DB projections.Querier }

// FindKey returns the revision of the first event that the command with a key
// appended to the stream, and the position up to which the answer counts: what
// was appended later may be missing.
func (x Index) FindKey(ctx context.Context, stream, key string) (revision int64, found bool, indexed eventlog.Position, err error) {
	// The position is read first: the rows are at least as new.
	if indexed, err = projections.Checkpoint(ctx, x.DB, name); err != nil {
		return 0, false, indexed, fmt.Errorf("read how far the keys are indexed: %w", err)
	}
	rows, err := x.DB.Query(ctx, `select revision from idempotency_v1 where stream = $1 and key = $2`, stream, key)
	if err != nil {
		return 0, false, indexed, fmt.Errorf("query idempotency key: %w", err)
	}
	revision, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, indexed, nil
	}
	if err != nil {
		return 0, false, indexed, fmt.Errorf("read idempotency key: %w", err)
	}
	return revision, true, indexed, nil
}
