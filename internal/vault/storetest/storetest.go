// Package storetest holds what every store of keys promises.
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/g4fagent/g4fagent/internal/vault"
)

// Run checks stores that open returns, each of them empty at first. The second
// result opens the same store once more, as after a restart.
func Run(t *testing.T, open func(t *testing.T) (store vault.Store, again func() vault.Store)) {
	t.Helper()
	alice, bob := vault.Name{Scope: vault.ScopeUser, Owner: "user_alice"}, vault.Name{Scope: vault.ScopeUser, Owner: "user_bob"}
	first, second := []byte("first\x00key"), []byte("second key")

	t.Run("a key that never was is unknown", func(t *testing.T) {
		t.Parallel()
		store, _ := open(t)
		if _, err := store.Load(t.Context(), alice); !errors.Is(err, vault.ErrUnknownKey) || errors.Is(err, vault.ErrErased) {
			t.Errorf("Load answers %v, want ErrUnknownKey", err)
		}
	})

	t.Run("the first key stays, restarts included", func(t *testing.T) {
		t.Parallel()
		store, again := open(t)
		create(t, store, alice, first, first)
		create(t, store, alice, second, first)
		create(t, store, bob, second, second)
		store = again()
		load(t, store, alice, first)
		load(t, store, bob, second)
	})

	t.Run("owners of different scopes do not meet", func(t *testing.T) {
		t.Parallel()
		store, _ := open(t)
		project := vault.Name{Scope: vault.ScopeProject, Owner: alice.Owner}
		create(t, store, alice, first, first)
		create(t, store, project, second, second)
		erase(t, store, project)
		load(t, store, alice, first)
	})

	t.Run("the installation's own key has no owner", func(t *testing.T) {
		t.Parallel()
		store, again := open(t)
		secret := vault.Name{Scope: vault.ScopeSecret}
		create(t, store, secret, first, first)
		load(t, again(), secret, first)
	})

	t.Run("an erased key is gone and remembered, restarts included", func(t *testing.T) {
		t.Parallel()
		store, again := open(t)
		create(t, store, alice, first, first)
		create(t, store, bob, second, second)
		for range 2 {
			erase(t, store, alice)
			gone(t, store, alice)
			load(t, store, bob, second)
			store = again()
			gone(t, store, alice)
		}
	})

	t.Run("who never had a key gets none after an erasure", func(t *testing.T) {
		t.Parallel()
		store, again := open(t)
		erase(t, store, alice)
		gone(t, store, alice)
		gone(t, again(), alice)
	})

	t.Run("of many that come at once one wins and all get its key", func(t *testing.T) {
		t.Parallel()
		store, _ := open(t)
		var mu sync.Mutex
		var got []string
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				key, err := store.Create(t.Context(), alice, fmt.Appendf(nil, "key %d", i))
				if err != nil {
					t.Errorf("Create: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, string(key))
			})
		}
		all.Wait()
		if got = slices.Compact(got); len(got) != 1 {
			t.Errorf("the callers got %d different keys: %q", len(got), got)
		}
	})
}

func create(t *testing.T, store vault.Store, name vault.Name, key, want []byte) {
	t.Helper()
	got, err := store.Create(t.Context(), name, key)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("Create(%s, %q) = %q, %v, want %q", name, key, got, err, want)
	}
}

func load(t *testing.T, store vault.Store, name vault.Name, want []byte) {
	t.Helper()
	got, err := store.Load(t.Context(), name)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("Load(%s) = %q, %v, want %q", name, got, err, want)
	}
}

func erase(t *testing.T, store vault.Store, name vault.Name) {
	t.Helper()
	if err := store.Erase(t.Context(), name); err != nil {
		t.Fatalf("Erase(%s): %v", name, err)
	}
}

func gone(t *testing.T, store vault.Store, name vault.Name) {
	t.Helper()
	if key, err := store.Load(t.Context(), name); !errors.Is(err, vault.ErrErased) {
		t.Fatalf("Load(%s) = %q, %v, want ErrErased", name, key, err)
	}
	if key, err := store.Create(t.Context(), name, []byte("another")); !errors.Is(err, vault.ErrErased) {
		t.Fatalf("Create(%s) = %q, %v, want ErrErased", name, key, err)
	}
}
