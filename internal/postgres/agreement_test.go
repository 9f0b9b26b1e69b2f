package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/postgres"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
)

// hold holds an agreement until the returned function ends it.
func hold(t *testing.T, a *postgres.Agreement) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Hold(ctx) }()
	return func() error {
		cancel()
		if err := receive(t, "the agreement's end", done); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
}

func agree(t *testing.T, db *postgres.DB, value string) *postgres.Agreement {
	t.Helper()
	a, err := db.Agree(t.Context(), "catalogue", value)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// awaitHolders waits until the sessions that hold agreements are as they should.
func awaitHolders(t *testing.T, db *postgres.DB, what string, are func(sessions []int32) bool) (sessions []int32) {
	t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	late := time.After(patient)
	for {
		if err := db.Pool().QueryRow(t.Context(), `
			select array_agg(pid) from pg_locks where locktype = 'advisory' and objsubid = 2
			and database = (select oid from pg_database where datname = current_database())`).Scan(&sessions); err != nil {
			t.Fatal(err)
		}
		if are(sessions) {
			return sessions
		}
		select {
		case <-poll.C:
		case <-late:
			t.Fatalf("%v hold an agreement; waited in vain until %s", sessions, what)
		}
	}
}

func none(sessions []int32) bool { return len(sessions) == 0 }

func TestAgree(t *testing.T) {
	t.Parallel()

	t.Run("processes of one value hold it together, and keep others out", func(t *testing.T) {
		t.Parallel()
		db := postgrestest.Open(t)
		first, second := hold(t, agree(t, db, "one")), hold(t, agree(t, db, "one"))
		if _, err := db.Agree(t.Context(), "catalogue", "two"); !errors.Is(err, postgres.ErrDisagreement) {
			t.Errorf("another value: %v", err)
		}
		other, err := db.Agree(t.Context(), "another topic", "two")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(hold(t, other)(), first()); err != nil {
			t.Error(err)
		}
		if _, err := db.Agree(t.Context(), "catalogue", "two"); !errors.Is(err, postgres.ErrDisagreement) {
			t.Errorf("another value while one is left: %v", err)
		}
		if err := second(); err != nil {
			t.Error(err)
		}
		if err := hold(t, agree(t, db, "two"))(); err != nil {
			t.Error(err)
		}
	})

	t.Run("is renewed after its connection broke", func(t *testing.T) {
		t.Parallel()
		db := postgrestest.Open(t)
		end := hold(t, agree(t, db, "one"))
		before := awaitHolders(t, db, "one does", func(sessions []int32) bool { return len(sessions) == 1 })
		kick(t, db)
		awaitHolders(t, db, "another session does", func(sessions []int32) bool {
			return len(sessions) == 1 && sessions[0] != before[0]
		})
		if _, err := db.Agree(t.Context(), "catalogue", "two"); !errors.Is(err, postgres.ErrDisagreement) {
			t.Errorf("another value: %v", err)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})

	t.Run("ends when others agreed on something else meanwhile", func(t *testing.T) {
		t.Parallel()
		db := postgrestest.Open(t)
		a := agree(t, db, "one")
		kick(t, db)
		awaitHolders(t, db, "nobody does", none)
		end := hold(t, agree(t, db, "two"))
		if err := a.Hold(t.Context()); !errors.Is(err, postgres.ErrDisagreement) {
			t.Errorf("held on: %v", err)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}
