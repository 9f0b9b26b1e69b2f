package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/postgres"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
)

func notify(t *testing.T, db *postgres.DB, channel, payload string) {
	t.Helper()
	if _, err := db.Pool().Exec(t.Context(), "select pg_notify($1, $2)", channel, payload); err != nil {
		t.Fatal(err)
	}
}

func TestListener(t *testing.T) {
	t.Parallel()

	t.Run("wakes at each connect and each notification of its channels", func(t *testing.T) {
		t.Parallel()
		db := postgrestest.Open(t)
		listener := db.NewListener()
		wakes, others := make(chan string, 16), make(chan string, 16)
		listener.On("Projected!", func(payload string) { wakes <- payload })
		listener.On("others", func(payload string) { others <- payload })
		ctx, end := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- listener.Run(ctx) }()

		if payload := receive(t, "the first connect", wakes); payload != "" {
			t.Errorf("woken with %q", payload)
		}
		receive(t, "the first connect", others)
		notify(t, db, "Projected!", "17")
		if payload := receive(t, "a notification", wakes); payload != "17" {
			t.Errorf("woken with %q", payload)
		}

		var n int
		err := db.Pool().QueryRow(t.Context(), `select count(pg_terminate_backend(pid)) from pg_stat_activity
			where datname = current_database() and query like 'listen %'`).Scan(&n)
		if err != nil || n != 1 {
			t.Fatalf("ended %d sessions, %v; want the listener's", n, err)
		}
		if payload := receive(t, "the second connect", wakes); payload != "" {
			t.Errorf("woken with %q", payload)
		}
		receive(t, "the second connect", others)
		notify(t, db, "Projected!", "18")
		if payload := receive(t, "a notification after the second connect", wakes); payload != "18" {
			t.Errorf("woken with %q", payload)
		}
		select {
		case payload := <-others:
			t.Errorf("another channel woke with %q", payload)
		default:
		}
		end()
		canceled(t, "the end", done)
	})

	t.Run("stays on a quiet connection", func(t *testing.T) {
		t.Parallel()
		db := postgrestest.Open(t)
		postgres.SetQuiet(db, 5*time.Millisecond, patient)
		wakes := make(chan string, 16)
		listener := db.NewListener()
		listener.On("c", func(payload string) { wakes <- payload })
		ctx, end := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- listener.Run(ctx) }()
		receive(t, "the connect", wakes)
		asked := func() (n int) {
			err := db.Pool().QueryRow(t.Context(), "select count(*) from pg_stat_activity where datname = current_database() and query = '-- ping' and pid <> pg_backend_pid()").Scan(&n)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		deadline := time.Now().Add(patient)
		for asked() == 0 {
			if time.Now().After(deadline) {
				t.Fatal("a quiet connection is never asked")
			}
		}
		notify(t, db, "c", "1")
		if payload := receive(t, "a notification", wakes); payload != "1" {
			t.Errorf("woken with %q: the connection was made anew", payload)
		}
		end()
		canceled(t, "the end", done)
	})
}
