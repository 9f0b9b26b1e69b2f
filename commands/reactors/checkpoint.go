package reactors

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// What Run and Recover refuse to go on with.
var (
	// ErrOtherInstallation says that the checkpoints are another log's.
	ErrOtherInstallation = errors.New("the reactors' checkpoints belong to another installation's log")
	// ErrAheadOfLog says that a checkpoint is past the end of the log: the log is
	// not the one that the checkpoint was made with, or has lost its end.
	ErrAheadOfLog = errors.New("a reactor's checkpoint is ahead of the log")
)

// errMoved says that a checkpoint is not where its reactor left it: another node
// moved it, or a crash of Postgres took it back. What was delivered since then
// does not count; delivery begins anew behind the checkpoint.
var errMoved = errors.New("the checkpoint is not where the reactor left it")

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// checkpoints are how far each reactor is, by name.
func (r *Reactors) checkpoints(ctx context.Context, db querier) (map[string]eventlog.Position, error) {
	rows, err := db.Query(ctx, `select name, commit_position, prepare_position, installation_id from river.reactor_checkpoint`)
	if err != nil {
		return nil, fmt.Errorf("read the reactors' checkpoints: %w", err)
	}
	found := map[string]eventlog.Position{}
	var name, installation string
	var commit, prepare int64
	_, err = pgx.ForEachRow(rows, []any{&name, &commit, &prepare, &installation}, func() error {
		if installation != r.installation {
			return fmt.Errorf("%s followed the log of installation %s, this one is %s; connect the right log or database: %w",
				name, installation, r.installation, ErrOtherInstallation)
		}
		found[name] = eventlog.Position{Commit: uint64(commit), Prepare: uint64(prepare)}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the reactors' checkpoints: %w", err)
	}
	return found, nil
}

// check refuses checkpoints that are not this log's, and reports whether every
// reactor has one.
func (r *Reactors) check(ctx context.Context) (complete bool, err error) {
	at, err := r.checkpoints(ctx, r.pool)
	if err != nil {
		return false, err
	}
	head, err := r.log.Head(ctx)
	if err != nil {
		return false, err
	}
	complete = true
	for _, f := range r.followers {
		p, found := at[f.name]
		complete = complete && found
		if head.Less(p) {
			return false, fmt.Errorf("%s is at %s, the log ends at %s; connect the right log, or drop the schema %s to make the jobs anew from the log: %w",
				f.name, p, head, schema, ErrAheadOfLog)
		}
	}
	return complete, nil
}

// move is the transaction's first statement: compare and set.
func move(ctx context.Context, tx pgx.Tx, name string, from, to eventlog.Position) error {
	tag, err := tx.Exec(ctx, `
		update river.reactor_checkpoint set commit_position = $4, prepare_position = $5
		 where name = $1 and commit_position = $2 and prepare_position = $3`,
		name, int64(from.Commit), int64(from.Prepare), int64(to.Commit), int64(to.Prepare))
	if err != nil {
		return fmt.Errorf("move the checkpoint of %s: %w", name, err)
	}
	if tag.RowsAffected() == 0 {
		return errMoved
	}
	return nil
}
