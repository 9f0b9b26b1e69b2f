package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/g4fagent/g4fagent/internal/fault"
)

// ErrAway says that the server could not be reached, takes no connections, or did
// not answer in time. It is wrapped together with the cause.
var ErrAway = fault.New(fault.Unavailable, "unavailable", "The database cannot be reached at the moment.").After(time.Second)

// readWithin bounds a query that somebody waits for, from the wait for a
// connection to its last row. A server at work answers in milliseconds.
const readWithin = 3 * time.Second

// Reader runs the queries that requests wait for: each has 3 s, however the
// server fails to answer, and fails with ErrAway when that is the server's fault.
// It may be used from several goroutines.
type Reader struct {
	pool   *pgxpool.Pool
	within time.Duration
}

// Reader reads through db's pool.
func (db *DB) Reader() *Reader { return &Reader{pool: db.pool, within: readWithin} }

// Query is the pool's, within the reader's bound. Like there, the rows must be
// closed or read to their end.
func (r *Reader) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	bounded, end := context.WithTimeout(ctx, r.within)
	rows, err := r.pool.Query(bounded, sql, args...)
	if err != nil {
		end()
	}
	return &boundedRows{Rows: rows, asked: ctx, end: end}, classified(ctx, err)
}

// QueryRow is the pool's, within the reader's bound. As there, Scan must be called.
func (r *Reader) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	bounded, end := context.WithTimeout(ctx, r.within)
	return &boundedRow{row: r.pool.QueryRow(bounded, sql, args...), asked: ctx, end: end}
}

type boundedRow struct {
	row   pgx.Row
	asked context.Context //nolint:containedctx // the query's own, which pgx keeps as long
	end   context.CancelFunc
}

// Scan implements pgx.Row.
func (r *boundedRow) Scan(into ...any) error {
	defer r.end()
	return classified(r.asked, r.row.Scan(into...))
}

// boundedRows are the rows of a query that is given up when its time is over.
type boundedRows struct {
	pgx.Rows

	asked context.Context //nolint:containedctx // the query's own, which pgx keeps as long
	end   context.CancelFunc
}

// Close implements pgx.Rows.
func (r *boundedRows) Close() {
	r.Rows.Close()
	r.end()
}

// Next implements pgx.Rows.
func (r *boundedRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.end() // the rows have closed themselves
	return false
}

// Err implements pgx.Rows.
func (r *boundedRows) Err() error { return classified(r.asked, r.Rows.Err()) }

// classified adds ErrAway to an error that says so. Who asked may itself have
// given up: then nothing is known of the server.
func classified(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || !away(err) {
		return err
	}
	return fmt.Errorf("%w (%w)", ErrAway, err)
}

// leaving are the SQLSTATEs outside of class 08, connection exceptions, by which
// a server ends a session or does not begin one: it shuts down, crashed, starts,
// closed an idle session, has no connection left.
var leaving = []string{"57P01", "57P02", "57P03", "57P05", "53300"}

// away reports whether err is about the way to the server, and not about what it
// was asked.
func away(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(e.Code, "08") || slices.Contains(leaving, e.Code)
	}
	if _, ok := errors.AsType[net.Error](err); ok { // context.DeadlineExceeded is one
		return true
	}
	return slices.ContainsFunc([]error{pgconn.ErrConnClosed, net.ErrClosed, io.EOF, io.ErrUnexpectedEOF},
		func(lost error) bool { return errors.Is(err, lost) })
}
