// Package postgrestest gives tests a real Postgres: one managed server a test
// process, started by the first test that asks, and a database of its own for
// each test. Nothing has to be installed but Postgres, and nothing set.
package postgrestest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/g4fagent/g4fagent/internal/postgres"
)

const (
	startWait   = 2 * time.Minute
	cleanupWait = 10 * time.Second
	// poolSize is small: many tests run at the same time.
	poolSize = 8
)

// server is the process's one. It ends with the process.
type server struct {
	db  *postgres.DB
	dir string
	n   atomic.Int64
}

var shared = sync.OnceValues(start)

// Pool is a pool on a database of the test's own, empty, and dropped when the
// test ends. It may be called from parallel tests.
func Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return Open(t).Pool()
}

// Open is the same as Pool, for tests that need connections of their own,
// leadership or notifications. Closing it early is allowed.
func Open(t testing.TB) *postgres.DB {
	t.Helper()
	s, name := database(t)
	db, err := s.db.Database(t.Context(), name)
	if err != nil {
		t.Fatalf("open the test's database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupWait)
		defer cancel()
		if err := db.Close(ctx); err != nil {
			t.Errorf("close the test's database: %v", err)
		}
	})
	return db
}

// URL names a database of the test's own, for a program that is given one. It
// works for processes of the same user.
func URL(t testing.TB) string {
	t.Helper()
	s, name := database(t)
	return "postgres://g4fagent@/" + name + "?host=" + url.QueryEscape(filepath.Join(s.dir, "cluster"))
}

// database makes a database and arranges its end.
func database(t testing.TB) (*server, string) {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("start Postgres for the tests: %v", err)
	}
	name := fmt.Sprintf("test_%d", s.n.Add(1))
	quoted := pgx.Identifier{name}.Sanitize()
	if _, err := s.db.Pool().Exec(t.Context(), "create database "+quoted+" template template0"); err != nil {
		t.Fatalf("make the test's database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupWait)
		defer cancel()
		if _, err := s.db.Pool().Exec(ctx, "drop database if exists "+quoted+" with (force)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return s, name
}

func start() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	dir, template, err := prepare(ctx)
	if err != nil {
		return nil, err
	}
	db, err := postgres.Open(ctx, options(dir))
	if err != nil {
		return nil, err
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "cluster.v*")); len(aside) > 0 {
		// The template is of a Postgres that is no longer there: the next process makes another.
		if err := os.RemoveAll(template); err != nil {
			return nil, fmt.Errorf("remove the old template: %w", err)
		}
	}
	return &server{db: db, dir: dir}, nil
}

// options give up durability, which no test of one process's life needs.
func options(dir string) postgres.Options {
	return postgres.Options{Dir: dir, MaxConns: poolSize, Settings: map[string]string{
		"fsync":              "off",
		"synchronous_commit": "off",
		"full_page_writes":   "off",
		"max_connections":    "400",
		"shared_buffers":     "32MB",
		"autovacuum":         "off",
	}}
}
