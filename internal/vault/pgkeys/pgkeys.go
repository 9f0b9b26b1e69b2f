// Package pgkeys keeps the vault's wrapped keys in Postgres, for installations
// of several nodes. They live in a schema of their own, vault, which no rebuild of
// read models touches and every backup must hold.
package pgkeys

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/vault"
)

//go:embed schema.sql
var schema string

// errAway hides what is wrong with the database from clients; it is wrapped
// together with the cause.
var errAway = fault.New(fault.Unavailable, "unavailable", "The key store does not answer. Try again shortly.").After(time.Second)

// loadWithin bounds how long a key is waited for; a server at work answers in
// milliseconds.
const loadWithin = 3 * time.Second

// Keys implements vault.Store. Its methods may be called from several goroutines
// and on several nodes.
type Keys struct {
	pool *pgxpool.Pool
}

var _ vault.Store = (*Keys)(nil)

// Open makes the schema, unless it is there, and answers with its keys. The pool
// stays the caller's.
func Open(ctx context.Context, pool *pgxpool.Pool) (*Keys, error) {
	var there bool
	if err := pool.QueryRow(ctx, "select to_regclass('vault.keys') is not null").Scan(&there); err != nil {
		return nil, fmt.Errorf("look for the vault's schema: %w", err)
	}
	if there {
		// A role that may not make schemas is enough from here on.
		return &Keys{pool: pool}, nil
	}
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// "If not exists" is no lock: of two nodes that start at once, one fails.
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock(hashtext('vault.keys'))"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make the vault's schema: %w", err)
	}
	return &Keys{pool: pool}, nil
}

// Load implements vault.Store. What it sees is durable: every writer's commit is
// synchronous, and is not seen before it is flushed.
func (k *Keys) Load(ctx context.Context, name vault.Name) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, loadWithin)
	defer cancel()
	wrapped, err := load(ctx, k.pool, name)
	return wrapped, asFault(err, "load a key")
}

// Create implements vault.Store.
func (k *Keys) Create(ctx context.Context, name vault.Name, wrapped []byte) (stored []byte, err error) {
	err = k.durably(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into vault.keys (scope, owner, wrapped) values ($1, $2, $3)
			on conflict (scope, owner) do nothing`,
			name.Scope, name.Owner, wrapped)
		return err
	})
	if err != nil {
		return nil, asFault(err, "store a key")
	}
	stored, err = load(ctx, k.pool, name)
	return stored, asFault(err, "load a key")
}

// Erase implements vault.Store. The vacuum takes the old row out of the table,
// unless a transaction that began before is still open; then the next vacuum
// does. Pages, the write-ahead log and replicas keep its bytes until they are
// reused: they are wrapped, and of no use without the installation key.
func (k *Keys) Erase(ctx context.Context, name vault.Name) error {
	err := k.durably(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into vault.keys as k (scope, owner, erased_at) values ($1, $2, now())
			on conflict (scope, owner) do update set wrapped = null, erased_at = coalesce(k.erased_at, now())`,
			name.Scope, name.Owner)
		return err
	})
	if err != nil {
		return asFault(err, "erase a key")
	}
	_, err = k.pool.Exec(ctx, "vacuum vault.keys")
	return asFault(err, "vacuum the keys")
}

// durably commits in a transaction that is synchronous whatever the pool, the
// role or the server say, and as much more than that as they say.
func (k *Keys) durably(ctx context.Context, write func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			select set_config('synchronous_commit', 'on', true)
			where current_setting('synchronous_commit') in ('off', 'local')`)
		if err != nil {
			return err
		}
		return write(tx)
	})
}

func load(ctx context.Context, pool *pgxpool.Pool, name vault.Name) ([]byte, error) {
	var wrapped []byte
	err := pool.QueryRow(ctx, "select wrapped from vault.keys where scope = $1 and owner = $2", name.Scope, name.Owner).Scan(&wrapped)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, vault.ErrUnknownKey
	case err != nil:
		return nil, err
	case wrapped == nil:
		return nil, vault.ErrErased
	}
	return wrapped, nil
}

func asFault(err error, doing string) error {
	if err == nil || errors.Is(err, vault.ErrUnknownKey) || errors.Is(err, vault.ErrErased) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", doing, errAway, err)
}
