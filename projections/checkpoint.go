package projections

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

// Channel is the Postgres channel that is notified with every batch, unless the
// engine is told that nobody listens.
const Channel = "projection"

// codeMoved is projection_advance's error: a checkpoint is not where the batch
// started, because somebody else moved it or a crash took it back.
const codeMoved = "G4F01"

// Querier is whatever a read model's queries can run on: a pool, a connection, a
// transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// executor is a Querier that can also write.
type executor interface {
	Querier
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// checkpoint is one projector's row.
type checkpoint struct {
	name         string
	position     eventlog.Position
	schemaHash   string
	installation string
	failure      *string
}

// checkpoints are those of the named projectors, of all there are if names is
// nil, by name.
func checkpoints(ctx context.Context, db Querier, names []string) (map[string]checkpoint, error) {
	rows, err := db.Query(ctx, `
		select name, commit_position, prepare_position, schema_hash, installation_id, failure
		  from projection_checkpoint where $1::text[] is null or name = any ($1)`, names)
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	found := map[string]checkpoint{}
	for rows.Next() {
		var c checkpoint
		var commit, prepare int64
		if err := rows.Scan(&c.name, &commit, &prepare, &c.schemaHash, &c.installation, &c.failure); err != nil {
			return nil, fmt.Errorf("read checkpoints: %w", err)
		}
		c.position = eventlog.Position{Commit: uint64(commit), Prepare: uint64(prepare)}
		found[c.name] = c
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	return found, nil
}

// Checkpoint is how far the named projector is, zero if it never ran.
func Checkpoint(ctx context.Context, db Querier, name string) (eventlog.Position, error) {
	found, err := checkpoints(ctx, db, []string{name})
	return found[name].position, err
}

// Progress is where a read model stands, whether or not an engine runs.
type Progress struct {
	Name     string
	Position eventlog.Position
	// Failure is why it does not get past its position, empty while it does.
	Failure string
	// Retired says that none of the projectors writes it: it is of an earlier
	// version, and Drop removes it.
	Retired bool
}

// Standing lists every read model in the database, by name.
func Standing(ctx context.Context, db Querier, projectors ...*Projector) ([]Progress, error) {
	found, err := checkpoints(ctx, db, nil)
	if err != nil {
		return nil, err
	}
	current := names(projectors)
	var all []Progress
	for _, name := range slices.Sorted(maps.Keys(found)) {
		p := Progress{Name: name, Position: found[name].position, Retired: !slices.Contains(current, name)}
		if failure := found[name].failure; failure != nil {
			p.Failure = *failure
		}
		all = append(all, p)
	}
	return all, nil
}

// skips are the positions that each projector was told to leave out.
func skips(ctx context.Context, db Querier) (map[string]map[eventlog.Position]bool, error) {
	rows, err := db.Query(ctx, `select name, commit_position, prepare_position from projection_skip`)
	if err != nil {
		return nil, fmt.Errorf("read skips: %w", err)
	}
	found := map[string]map[eventlog.Position]bool{}
	var name string
	var commit, prepare int64
	_, err = pgx.ForEachRow(rows, []any{&name, &commit, &prepare}, func() error {
		if found[name] == nil {
			found[name] = map[eventlog.Position]bool{}
		}
		found[name][eventlog.Position{Commit: uint64(commit), Prepare: uint64(prepare)}] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read skips: %w", err)
	}
	return found, nil
}

// Skip tells the named projector to leave out the event at position at, where it
// is stuck, for ever: in rebuilds and comparisons too. It is an operator's last
// resort, and the reason stays with it. The projector goes on at its next attempt.
// An event that nobody knows stops every projector, and each has to be told.
func Skip(ctx context.Context, db executor, name string, at eventlog.Position, reason string) error {
	tag, err := db.Exec(ctx, `
		insert into projection_skip (name, commit_position, prepare_position, reason)
		select name, $2, $3, $4 from projection_checkpoint
		 where name = $1 and failure is not null and (commit_position, prepare_position) < ($2, $3)
		on conflict (name, commit_position, prepare_position) do update set reason = excluded.reason`,
		name, int64(at.Commit), int64(at.Prepare), reason)
	if err != nil {
		return fmt.Errorf("record that %s skips %s: %w", name, at, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("%s cannot skip %s: it is not stuck there", name, at)
	}
	return nil
}
