package pgkeys_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/postgres/postgrestest"
	"github.com/g4fagent/g4fagent/internal/vault"
	"github.com/g4fagent/g4fagent/internal/vault/pgkeys"
	"github.com/g4fagent/g4fagent/internal/vault/storetest"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) (vault.Store, func() vault.Store) {
		pool := postgrestest.Pool(t)
		return open(t, pool), func() vault.Store { return open(t, pool) }
	})

	t.Run("nodes that start at once share one schema", func(t *testing.T) {
		t.Parallel()
		pool := postgrestest.Pool(t)
		// Connected already, they meet in the schema.
		conns := make([]*pgxpool.Conn, pool.Config().MaxConns)
		for i := range conns {
			var err error
			if conns[i], err = pool.Acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, conn := range conns {
			conn.Release()
		}
		start := make(chan struct{})
		var all sync.WaitGroup
		for range conns {
			all.Go(func() {
				<-start
				if _, err := pgkeys.Open(t.Context(), pool); err != nil {
					t.Errorf("Open: %v", err)
				}
			})
		}
		close(start)
		all.Wait()
	})

	t.Run("every commit is synchronous, although the session's are not", func(t *testing.T) {
		t.Parallel()
		pool := postgrestest.Pool(t)
		keys := open(t, pool)
		var usual string
		if err := pool.QueryRow(t.Context(), "show synchronous_commit").Scan(&usual); err != nil || usual != "off" {
			t.Fatalf("the session's commits are %q, %v; the test needs them off", usual, err)
		}
		// Runs as the transaction commits, and fails it.
		execute(t, pool, `
			create function vault.require_synchronous() returns trigger language plpgsql as $$
			begin
				if current_setting('synchronous_commit') <> 'on' then
					raise exception 'this commit is %', current_setting('synchronous_commit');
				end if;
				return null;
			end $$`)
		execute(t, pool, `
			create constraint trigger synchronous after insert or update on vault.keys
			deferrable initially deferred for each row execute function vault.require_synchronous()`)
		alice, bob := user("alice"), user("bob")
		if _, err := keys.Create(t.Context(), alice, []byte("key")); err != nil {
			t.Errorf("Create: %v", err)
		}
		for _, name := range []vault.Name{alice, bob} {
			if err := keys.Erase(t.Context(), name); err != nil {
				t.Errorf("Erase: %v", err)
			}
		}
	})

	t.Run("an erased key leaves no dead row behind", func(t *testing.T) {
		t.Parallel()
		pool := postgrestest.Pool(t)
		keys := open(t, pool)
		execute(t, pool, "create extension pageinspect")
		if _, err := keys.Create(t.Context(), user("alice"), []byte("the key of alice")); err != nil {
			t.Fatal(err)
		}
		if err := keys.Erase(t.Context(), user("alice")); err != nil {
			t.Fatal(err)
		}
		var holding int
		err := pool.QueryRow(t.Context(), `
			select count(*) from heap_page_items(get_raw_page('vault.keys', 0))
			where position('the key of alice'::bytea in t_data) > 0`).Scan(&holding)
		if err != nil || holding != 0 {
			t.Errorf("%d rows hold the key, %v", holding, err)
		}
	})

	t.Run("a database that is away is a fault a client can wait out", func(t *testing.T) {
		t.Parallel()
		pool := postgrestest.Pool(t)
		keys := open(t, pool)
		execute(t, pool, "drop schema vault cascade")
		_, loading := keys.Load(t.Context(), user("alice"))
		_, creating := keys.Create(t.Context(), user("alice"), []byte("key"))
		for doing, err := range map[string]error{
			"Load": loading, "Create": creating, "Erase": keys.Erase(t.Context(), user("alice")),
		} {
			known, ok := errors.AsType[*fault.Error](err)
			if !ok || known.Kind != fault.Unavailable || known.RetryAfter <= 0 {
				t.Errorf("%s answers %v, want an Unavailable fault", doing, err)
			}
			if err != nil && !strings.Contains(err.Error(), "does not exist") {
				t.Errorf("%s hides the cause: %v", doing, err)
			}
		}
	})
}

func TestVaultsOfTwoNodes(t *testing.T) {
	t.Parallel()
	pool := postgrestest.Pool(t)
	options := vault.Options{Store: open(t, pool), MasterKey: strings.Repeat("0123456789abcdef", 4)}
	var nodes []*vault.Vault
	for range 2 {
		v, err := vault.Unlock(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, v)
	}
	texts := make([]string, 16)
	var all sync.WaitGroup
	for i := range texts {
		all.Go(func() {
			var err error
			if texts[i], err = nodes[i%2].Seal("user", "user_1", []byte("x")); err != nil {
				t.Errorf("Seal: %v", err)
			}
		})
	}
	all.Wait()
	for i, text := range slices.Backward(texts) {
		if plain, err := nodes[(i+1)%2].Open(text); err != nil || string(plain) != "x" {
			t.Errorf("on the other node %q opens as %q, %v", text, plain, err)
		}
	}
	options.MasterKey = strings.Repeat("fedcba9876543210", 4)
	if _, err := vault.Unlock(t.Context(), options); !errors.Is(err, vault.ErrWrongInstallationKey) {
		t.Errorf("a node with another key answers %v", err)
	}
}

func user(id string) vault.Name { return vault.Name{Scope: vault.ScopeUser, Owner: id} }

func open(t *testing.T, pool *pgxpool.Pool) *pgkeys.Keys {
	t.Helper()
	keys, err := pgkeys.Open(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func execute(t *testing.T, pool *pgxpool.Pool, statement string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
