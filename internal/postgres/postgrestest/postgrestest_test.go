package postgrestest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
)

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two", "three", "four"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := postgrestest.Pool(t)
			if _, err := pool.Exec(t.Context(), "create table t (i int)"); err != nil {
				t.Fatal(err)
			}
			if _, err := pool.Exec(t.Context(), "insert into t select 1"); err != nil {
				t.Fatal(err)
			}
			var n int
			if err := pool.QueryRow(t.Context(), "select count(*) from t").Scan(&n); err != nil || n != 1 {
				t.Fatalf("%d rows, %v; want the test's own row", n, err)
			}
		})
	}
}

func TestURLNamesADatabaseForAnotherProcess(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
