package projections

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// Difference is a table whose rows are not what the log says.
type Difference struct {
	Projector string
	Table     string
	// Position is where the live and the replayed rows were compared.
	Position eventlog.Position
	// Missing counts the rows that the log gives and the table lacks, Unexpected
	// those that only the table has; a changed row is one of each.
	Missing, Unexpected int64
	// MissingKeys and UnexpectedKeys are the primary keys of the first few.
	MissingKeys, UnexpectedKeys []string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s at %s: %d rows missing %v, %d unexpected %v",
		d.Table, d.Position, d.Missing, d.MissingKeys, d.Unexpected, d.UnexpectedKeys)
}

// Fsck replays the log into scratch tables and compares them with the live ones,
// row by row, each read model at the position where it is. The engine may be
// running, here or elsewhere: it waits for some milliseconds while the two are
// brought to the same position, and the comparison is of a snapshot. It needs as
// much disk again as the read models use.
//
// The error says that the comparison could not be made; ErrBusy when another is
// under way.
func (e *Engine) Fsck(ctx context.Context) (_ []Difference, err error) {
	if err := e.agree(ctx); err != nil {
		return nil, err
	}
	s, err := e.newScratch(ctx, e.options.Projectors)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closing := s.close(ctx); err == nil {
			err = closing
		}
	}()
	lock, err := s.meet(ctx, func(_ context.Context, c checkpoint) (eventlog.Position, error) { return c.position, nil })
	if err != nil {
		return nil, err
	}
	defer lock.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it is only read from
	snapshot, err := e.options.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	defer snapshot.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it is only read from
	schema, err := currentSchema(ctx, snapshot)         // the first query takes the snapshot
	if err != nil {
		return nil, err
	}
	if err := lock.Rollback(ctx); err != nil {
		return nil, fmt.Errorf("let the engine go on: %w", err)
	}
	return s.compare(ctx, snapshot, schema)
}

// agree refuses what cannot be compared.
func (e *Engine) agree(ctx context.Context) error {
	there, err := checkpoints(ctx, e.options.Pool, names(e.options.Projectors))
	if err != nil {
		return err
	}
	for _, p := range e.options.Projectors {
		if c, found := there[p.Name]; found {
			if err := p.agrees(c, e.options.InstallationID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *scratch) compare(ctx context.Context, db Querier, schema string) ([]Difference, error) {
	var all []Difference
	for _, m := range s.members {
		p := m.projector
		again, err := tables(ctx, db, p, scratchSchema)
		if err != nil {
			return nil, err
		}
		live, err := tables(ctx, db, p, schema)
		if err != nil {
			return nil, err
		}
		if !slices.Equal(again, live) {
			return nil, fmt.Errorf("%s should have the tables %v, it has %v: rebuild it", p.Name, again, live)
		}
		for _, table := range live {
			d := Difference{Projector: p.Name, Table: table, Position: s.at[m]}
			if err := d.find(ctx, db, pgx.Identifier{schema, table}, pgx.Identifier{scratchSchema, table}); err != nil {
				return nil, fmt.Errorf("compare %s: %w", table, err)
			}
			if d.Missing+d.Unexpected > 0 {
				all = append(all, d)
			}
		}
	}
	return all, nil
}

func (d *Difference) find(ctx context.Context, db Querier, live, again pgx.Identifier) (err error) {
	key, err := primaryKey(ctx, db, again)
	if err != nil {
		return err
	}
	if d.Missing, d.MissingKeys, err = subtract(ctx, db, key, again, live); err != nil {
		return err
	}
	d.Unexpected, d.UnexpectedKeys, err = subtract(ctx, db, key, live, again)
	return err
}

// primaryKey is an expression for a row's key: a digest of the row if it has none.
func primaryKey(ctx context.Context, db Querier, table pgx.Identifier) (string, error) {
	rows, err := db.Query(ctx, `
		select a.attname::text from pg_index i
		  join unnest(i.indkey::int2[]) with ordinality k (attnum, nth) on true
		  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
		 where i.indrelid = $1::text::regclass and i.indisprimary order by k.nth`, table.Sanitize())
	if err != nil {
		return "", fmt.Errorf("find the primary key: %w", err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", fmt.Errorf("find the primary key: %w", err)
	}
	if len(columns) == 0 {
		return "md5(_row::text)", nil
	}
	for i, column := range columns {
		columns[i] = pgx.Identifier{"_row", column}.Sanitize() + "::text"
	}
	return "concat_ws(' ', " + strings.Join(columns, ", ") + ")", nil
}

// subtract counts the rows of one table that the other does not have, and gives
// the keys of the first. Rows are compared as text: json has no equality, and
// what reads the same is the same.
func subtract(ctx context.Context, db Querier, key string, from, what pgx.Identifier) (count int64, keys []string, err error) {
	row := `select ` + key + ` as key, _row::text as whole from `
	err = db.QueryRow(ctx, `
		with difference as materialized (
			`+row+from.Sanitize()+` as _row except all `+row+what.Sanitize()+` as _row
		)
		select (select count(*) from difference), array(select key from difference order by key limit 5)`).Scan(&count, &keys)
	return count, keys, err
}
