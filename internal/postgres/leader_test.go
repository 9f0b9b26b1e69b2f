package postgres_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/postgres"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
)

const patient = 60 * time.Second

// receive waits for one value, within reason.
func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(patient):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// canceled waits for what ends with its context.
func canceled(t *testing.T, what string, end <-chan error) {
	t.Helper()
	if err := receive(t, what, end); !errors.Is(err, context.Canceled) {
		t.Errorf("%s: %v", what, err)
	}
}

// lead campaigns under name and reports each time it leads; leading ends with the
// context, whose cause it reports.
func lead(ctx context.Context, db *postgres.DB, key int64, name string, leads chan<- string, ends chan<- error) <-chan error {
	result := make(chan error, 1)
	go func() {
		result <- db.Lead(ctx, key, func(ctx context.Context) error {
			select {
			case leads <- name:
			case <-ctx.Done():
			}
			<-ctx.Done()
			ends <- context.Cause(ctx)
			return ctx.Err()
		})
	}()
	return result
}

// kick ends the sessions that hold advisory locks, as a broken network does.
func kick(t *testing.T, db *postgres.DB) {
	t.Helper()
	var n int
	err := db.Pool().QueryRow(t.Context(), `
		select count(pg_terminate_backend(pid)) from pg_locks
		where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`).Scan(&n)
	if err != nil || n != 1 {
		t.Fatalf("ended %d sessions, %v; want the leader's", n, err)
	}
}

func TestLead(t *testing.T) {
	t.Parallel()

	t.Run("passes to another candidate when the leader leaves", func(t *testing.T) {
		t.Parallel()
		db, key := postgrestest.Open(t), postgres.LockKey("test", "leaves")
		leads, ends := make(chan string), make(chan error, 2)
		first, leave := context.WithCancel(t.Context())
		done := lead(first, db, key, "first", leads, ends)
		if name := receive(t, "a leader", leads); name != "first" {
			t.Fatal(name)
		}
		second, end := context.WithCancel(t.Context())
		defer end()
		secondDone := lead(second, db, key, "second", leads, ends)
		leave()
		canceled(t, "the first's end", done)
		if name := receive(t, "another leader", leads); name != "second" {
			t.Errorf("%s leads", name)
		}
		end()
		canceled(t, "the second's end", secondDone)
	})

	t.Run("has at most one leader at a time", func(t *testing.T) {
		t.Parallel()
		db, key := postgrestest.Open(t), postgres.LockKey("test", "one")
		leads, ends := make(chan string), make(chan error, 2)
		ctx, end := context.WithCancel(t.Context())
		a, b := lead(ctx, db, key, "a", leads, ends), lead(ctx, db, key, "b", leads, ends)
		receive(t, "a leader", leads)
		held, err := db.Held(t.Context(), key, key+1)
		if err != nil || !held[key] || held[key+1] {
			t.Errorf("held: %v, %v", held, err)
		}
		var n int
		if err := db.Pool().QueryRow(t.Context(), "select count(*) from pg_locks where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database())").Scan(&n); err != nil || n != 1 {
			t.Errorf("%d sessions hold the lock, %v", n, err)
		}
		select {
		case name := <-leads:
			t.Errorf("%s leads beside the leader", name)
		default:
		}
		end()
		canceled(t, "a's end", a)
		canceled(t, "b's end", b)
	})

	t.Run("ends the leader's context when its connection is lost, and leads again", func(t *testing.T) {
		t.Parallel()
		db, key := postgrestest.Open(t), postgres.LockKey("test", "lost")
		leads, ends := make(chan string), make(chan error, 2)
		ctx, end := context.WithCancel(t.Context())
		done := lead(ctx, db, key, "it", leads, ends)
		receive(t, "the leader", leads)
		kick(t, db)
		if err := receive(t, "the end of leading", ends); !errors.Is(err, postgres.ErrLeadershipLost) {
			t.Errorf("leading ended with %v", err)
		}
		receive(t, "the leader again", leads)
		end()
		canceled(t, "the end", done)
	})

	t.Run("notices a connection that broke without a word", func(t *testing.T) {
		t.Parallel()
		network := newNetwork(t, postgrestest.URL(t))
		db := network.open(t)
		postgres.SetQuiet(db, 50*time.Millisecond, time.Second)
		leads, ends := make(chan string), make(chan error, 2)
		ctx, end := context.WithCancel(t.Context())
		done := lead(ctx, db, postgres.LockKey("test", "silent"), "it", leads, ends)
		receive(t, "the leader", leads)
		network.freeze()
		if err := receive(t, "the end of leading", ends); !errors.Is(err, postgres.ErrLeadershipLost) {
			t.Errorf("leading ended with %v", err)
		}
		end()
		canceled(t, "the end", done)
	})

	t.Run("is seen by others, whatever the key", func(t *testing.T) {
		t.Parallel()
		db := postgrestest.Open(t)
		for _, key := range []int64{0, 1, -1, math.MinInt64, math.MaxInt64, 1 << 32, -1 << 31} {
			err := db.Lead(t.Context(), key, func(ctx context.Context) error {
				held, err := db.Held(ctx, key, key^1)
				if err != nil || !held[key] || held[key^1] {
					t.Errorf("%d: held %v, %v", key, held, err)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})

	t.Run("tries again after a failure and stops at success", func(t *testing.T) {
		t.Parallel()
		db := postgrestest.Open(t)
		tries := 0
		err := db.Lead(t.Context(), postgres.LockKey("test", "fails"), func(context.Context) error {
			tries++
			if tries < 3 {
				return errors.New("no luck")
			}
			return nil
		})
		if err != nil || tries != 3 {
			t.Errorf("%d tries, %v", tries, err)
		}
		held, err := db.Held(t.Context(), postgres.LockKey("test", "other"))
		if err != nil || held[postgres.LockKey("test", "other")] {
			t.Errorf("held: %v, %v", held, err)
		}
	})
}

func TestLockKey(t *testing.T) {
	t.Parallel()
	seen := map[int64]string{}
	for _, names := range [][]string{{}, {""}, {"a"}, {"a", "b"}, {"ab"}, {"a", "", "b"}, {"b", "a"}} {
		key := postgres.LockKey(names...)
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %q share a key", names, other)
		}
		seen[key] = strings.Join(names, "|")
	}
	if key := postgres.LockKey("a"); key != 4258557881403305461 {
		t.Errorf("%d: processes of another build hold another lock", key)
	}
}
