package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// SetQuiet shortens how long a connection may be silent, and how long it has to
// answer when it is asked.
func SetQuiet(db *DB, quiet, answer time.Duration) { db.quiet, db.answer = quiet, answer }

// Managed reports whether the server is this process's own child.
func Managed(db *DB) bool { return db.server != nil }

// Classified is the error of a query that ctx's owner waits for.
func Classified(ctx context.Context, err error) error { return classified(ctx, err) }

// NewReader makes a Reader with another bound.
func NewReader(pool *pgxpool.Pool, within time.Duration) *Reader { return &Reader{pool, within} }
