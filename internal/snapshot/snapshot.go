// Package snapshot keeps folded states in Postgres, so that a long stream need
// not be read from its start. Snapshots are a cache: dropping them changes no
// answer.
package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The fold's hash is kept as a hash: it is long and only compared.
const table = `create table if not exists state_snapshot (
	stream   text   primary key,
	fold     bytea  not null,
	revision bigint not null,
	data     bytea  not null
)`

// Store is the table of snapshots. Each stream has at most one.
type Store struct{ pool *pgxpool.Pool }

// Open makes the table if it is not there. Snapshots of another log would answer
// for streams of the same name: Reset forgets them.
func Open(ctx context.Context, pool *pgxpool.Pool) (*Store, error) {
	if _, err := pool.Exec(ctx, table); err != nil {
		return nil, fmt.Errorf("make the table of snapshots: %w", err)
	}
	return &Store{pool: pool}, nil
}

// LoadSnapshot returns the stream's snapshot if the fold that hash names made it,
// else nothing.
func (s *Store) LoadSnapshot(ctx context.Context, stream, hash string) ([]byte, error) {
	var data []byte
	err := s.pool.QueryRow(ctx, `select data from state_snapshot where stream = $1 and fold = sha256(convert_to($2, 'UTF8'))`, stream, hash).Scan(&data)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load snapshot: %w", err)
	}
	return data, nil
}

// SaveSnapshot keeps data as the stream's snapshot, unless there is a newer one
// of the same fold.
func (s *Store) SaveSnapshot(ctx context.Context, stream, hash string, revision int64, data []byte) error {
	_, err := s.pool.Exec(ctx, `insert into state_snapshot (stream, fold, revision, data) values ($1, sha256(convert_to($2, 'UTF8')), $3, $4)
		on conflict (stream) do update set fold = excluded.fold, revision = excluded.revision, data = excluded.data
		where state_snapshot.fold <> excluded.fold or state_snapshot.revision < excluded.revision`, stream, hash, revision, data)
	if err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	return nil
}

// Reset forgets every snapshot.
func (s *Store) Reset(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, `truncate state_snapshot`); err != nil {
		return fmt.Errorf("forget the snapshots: %w", err)
	}
	return nil
}
