package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/postgres"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
)

func TestWhichErrorsSayThatTheServerIsAway(t *testing.T) {
	t.Parallel()
	state := func(code string) error { return fmt.Errorf("query: %w", &pgconn.PgError{Code: code}) }
	_, refused := pgx.Connect(t.Context(), "host=127.0.0.1 port=1 connect_timeout=1 sslmode=disable")
	if _, ok := errors.AsType[*pgconn.ConnectError](refused); !ok {
		t.Fatalf("nobody listens, but: %v", refused)
	}
	for _, tt := range []struct {
		name string
		err  error
		away bool
	}{
		{"nothing", nil, false},
		{"nobody listens", refused, true},
		{"a connection exception", state("08006"), true},
		{"a shutdown", state("57P01"), true},
		{"a crash", state("57P02"), true},
		{"a start", state("57P03"), true},
		{"an idle session that was ended", state("57P05"), true},
		{"no connection left", state("53300"), true},
		{"a connection that is closed", fmt.Errorf("read: %w", pgconn.ErrConnClosed), true},
		{"a connection that ended", fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		{"a connection that was reset", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		{"a bound of ours", fmt.Errorf("timeout: %w", context.DeadlineExceeded), true},
		{"a constraint", state("23505"), false},
		{"a syntax error", state("42601"), false},
		{"a missing table", state("42P01"), false},
		{"a statement timeout", state("57014"), false},
		{"a full disk", state("53100"), false},
		{"no rows", pgx.ErrNoRows, false},
		{"a mistake of ours", errors.New("number of fields does not match"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := postgres.Classified(t.Context(), tt.err)
			if got := fault.KindOf(err) == fault.Unavailable; got != tt.away {
				t.Errorf("away: %t, of %v", got, err)
			}
			if !errors.Is(err, tt.err) {
				t.Errorf("%v hides its cause", err)
			}
			left, cancel := context.WithCancel(t.Context())
			cancel()
			if err := postgres.Classified(left, tt.err); err != tt.err { //nolint:errorlint // no more than that
				t.Errorf("the caller left, but: %v", err)
			}
		})
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	network := newNetwork(t, postgrestest.URL(t))
	db, err := postgres.Open(t.Context(), postgres.Options{URL: network.url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	rows, err := db.Reader().Query(t.Context(), "select generate_series(1, $1::int)", 3)
	if err != nil {
		t.Fatal(err)
	}
	if numbers, err := pgx.CollectRows(rows, pgx.RowTo[int]); err != nil || len(numbers) != 3 {
		t.Fatalf("read %v, %v", numbers, err)
	}
	var number int
	if err := db.Reader().QueryRow(t.Context(), "select 7").Scan(&number); err != nil || number != 7 {
		t.Fatalf("read %d, %v", number, err)
	}
	if err := db.Reader().QueryRow(t.Context(), "select 7 where false").Scan(&number); !errors.Is(err, pgx.ErrNoRows) {
		t.Fatalf("no row: %v", err)
	}

	// Connections stay open from here on, and nothing answers.
	network.freeze()
	reader := postgres.NewReader(db.Pool(), 100*time.Millisecond)
	began := time.Now()
	rows, err = reader.Query(t.Context(), "select 1")
	if err == nil {
		_, err = pgx.CollectRows(rows, pgx.RowTo[int])
	}
	if !errors.Is(err, postgres.ErrAway) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("rows of a server that is silent: %v", err)
	}
	if err := reader.QueryRow(t.Context(), "select 1").Scan(&number); !errors.Is(err, postgres.ErrAway) {
		t.Errorf("a row of a server that is silent: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s to say so", took)
	}
	left, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := reader.QueryRow(left, "select 1").Scan(&number); errors.Is(err, postgres.ErrAway) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller that does not wait as long: %v", err)
	}
}
