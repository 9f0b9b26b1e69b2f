package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// One is the row that a query of columns in the order of R's fields selects, and
// false when there is none. What names it in errors.
func One[R any](ctx context.Context, db Querier, what, sql string, args ...any) (R, bool, error) {
	var row R
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return row, false, fmt.Errorf("query %s: %w", what, err)
	}
	row, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[R])
	if errors.Is(err, pgx.ErrNoRows) {
		return row, false, nil
	}
	if err != nil {
		return row, false, fmt.Errorf("read %s: %w", what, err)
	}
	return row, true, nil
}

// Many are the rows that a query of columns in the order of R's fields selects.
func Many[R any](ctx context.Context, db Querier, what, sql string, args ...any) ([]R, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", what, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[R])
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return list, nil
}
