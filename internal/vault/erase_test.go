package vault_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/internal/vault"
)

func TestErase(t *testing.T) {
	t.Parallel()

	t.Run("opens nothing any more, and says why without this package", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		v, folder := open(t, dir)
		text, kept := seal(t, v, "user", "user_1", "x"), seal(t, v, "user", "user_2", "y")
		for range 2 {
			if err := v.Erase(t.Context(), "user", "user_1"); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, err := v.Open(text)
				gone, ok := errors.AsType[interface {
					error
					Erased() bool
				}](err)
				if !errors.Is(err, vault.ErrErased) || !ok || !gone.Erased() {
					t.Errorf("Open answers %v, want ErrErased", err)
				}
				if _, err = v.Seal("user", "user_1", []byte("again")); !errors.Is(err, vault.ErrErased) {
					t.Errorf("Seal answers %v, want ErrErased", err)
				}
				if plain, err := v.Open(kept); err != nil || string(plain) != "y" {
					t.Errorf("another owner's text opens as %q, %v", plain, err)
				}
				v, folder = reopen(t, dir, folder)
			}
		}
	})

	t.Run("leaves secrets alone", func(t *testing.T) {
		t.Parallel()
		v, _ := open(t, t.TempDir())
		text := seal(t, v, "secret", "", "x")
		if err := v.Erase(t.Context(), "secret", ""); err == nil {
			t.Error("the installation's own key can be erased")
		}
		if _, err := v.Open(text); err != nil {
			t.Error(err)
		}
	})

	t.Run("that fails leaves no key in memory", func(t *testing.T) {
		t.Parallel()
		store := &flaky{Store: openFolder(t, t.TempDir())}
		v := unlock(t, vault.Options{Store: store, MasterKey: key(1)})
		text := seal(t, v, "user", "user_1", "x")
		store.fails.Store(true)
		if err := v.Erase(t.Context(), "user", "user_1"); !errors.Is(err, errFlaky) {
			t.Errorf("Erase answers %v", err)
		}
		if _, err := v.Open(text); !errors.Is(err, errFlaky) {
			t.Errorf("Open answers %v: it did not ask the store", err)
		}
		store.fails.Store(false)
		if _, err := v.Open(text); err != nil {
			t.Errorf("what was not erased does not open: %v", err)
		}
	})

	t.Run("is remembered without asking the store", func(t *testing.T) {
		t.Parallel()
		store := &flaky{Store: openFolder(t, t.TempDir())}
		v := unlock(t, vault.Options{Store: store, MasterKey: key(1)})
		text := seal(t, v, "user", "user_1", "x")
		if err := v.Erase(t.Context(), "user", "user_1"); err != nil {
			t.Fatal(err)
		}
		store.fails.Store(true)
		if _, err := v.Open(text); !errors.Is(err, vault.ErrErased) {
			t.Errorf("Open answers %v, want ErrErased", err)
		}
	})

	t.Run("on another node counts once the key is too old", func(t *testing.T) {
		t.Parallel()
		store, now := openFolder(t, t.TempDir()), time.Now()
		here := unlock(t, vault.Options{Store: store, MasterKey: key(1), MaxAge: time.Minute, Now: func() time.Time { return now }})
		there := unlock(t, vault.Options{Store: store, MasterKey: key(1)})
		text := seal(t, here, "user", "user_1", "x")
		if err := there.Erase(t.Context(), "user", "user_1"); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute - 1)
		if _, err := here.Open(text); err != nil {
			t.Errorf("within the minute: %v", err)
		}
		now = now.Add(1)
		if _, err := here.Open(text); !errors.Is(err, vault.ErrErased) {
			t.Errorf("after the minute: %v, want ErrErased", err)
		}
	})
}

var errFlaky = errors.New("the store is away")

// flaky is a store that can be away.
type flaky struct {
	vault.Store
	fails, hangs atomic.Bool
}

func (f *flaky) Load(ctx context.Context, name vault.Name) ([]byte, error) {
	if f.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if f.fails.Load() {
		return nil, errFlaky
	}
	return f.Store.Load(ctx, name)
}

func (f *flaky) Erase(ctx context.Context, name vault.Name) error {
	if f.fails.Load() {
		return errFlaky
	}
	return f.Store.Erase(ctx, name)
}
