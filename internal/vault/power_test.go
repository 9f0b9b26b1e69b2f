package vault

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const keysDir = "/data/keys"

func openMemory(t *testing.T, m *memory) *Folder {
	t.Helper()
	f, err := openFolder(keysDir, m)
	if err != nil {
		t.Fatalf("open the folder: %v", err)
	}
	return f
}

// everyCut runs do with the power cut at its first operation, its second, and so
// on until it comes through, each time on what setUp made, and hands every disk
// that the cut may leave to check; last the one that a killed process leaves,
// where nothing is lost yet but may still be. Without a cut, or with an operation
// that fails but once, do must succeed.
func everyCut(t *testing.T, once bool, setUp func(*memory), do func(*memory) error, check func(t *testing.T, m *memory, done bool)) {
	t.Helper()
	for cut := int64(0); ; cut++ {
		m := newMemory(vfs.NewCrashableMem())
		if err := m.fs.MkdirAll("/data", 0o700); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{"/", "/data"} {
			if err := m.sync(dir); err != nil {
				t.Fatal(err)
			}
		}
		setUp(m)
		m.once = once
		m.cut.Store(cut)
		err := do(m)
		through := m.cut.Load() >= 0
		if (through || once) && err != nil {
			t.Fatalf("cut before operation %d: %v", cut, err)
		}
		for _, kept := range []int{0, 30, 60, 100} {
			t.Run(fmt.Sprintf("cut before operation %d, %d%% of the unsynced kept", cut, kept), func(t *testing.T) {
				check(t, m.crashed(kept), err == nil)
			})
		}
		m.cut.Store(never)
		t.Run(fmt.Sprintf("killed before operation %d", cut), func(t *testing.T) { check(t, m, err == nil) })
		if through || t.Failed() {
			return
		}
	}
}

func TestFolderWhenThePowerIsCut(t *testing.T) {
	t.Parallel()
	alice := Name{Scope: ScopeUser, Owner: "user_alice"}
	key := []byte("the wrapped key of alice")

	setUp := func(m *memory) {
		if _, err := openMemory(t, m).Create(t.Context(), Name{Scope: ScopeUser, Owner: "user_bob"}, []byte("bob's")); err != nil {
			t.Fatal(err)
		}
	}
	setUpAlice := func(m *memory) {
		if _, err := openMemory(t, m).Create(t.Context(), alice, key); err != nil {
			t.Fatal(err)
		}
	}
	create := func(m *memory) error {
		f, err := openFolder(keysDir, m)
		if err != nil {
			return err
		}
		_, err = f.Create(t.Context(), alice, key)
		return err
	}
	erase := func(m *memory) error {
		f, err := openFolder(keysDir, m)
		if err != nil {
			return err
		}
		return f.Erase(t.Context(), alice)
	}

	created := func(t *testing.T, m *memory, done bool) {
		got, err := openMemory(t, m).Load(t.Context(), alice)
		switch {
		case err == nil && !bytes.Equal(got, key):
			t.Fatalf("the key is %q", got)
		case errors.Is(err, ErrUnknownKey) && !done:
			// Nobody can have used it. It must be possible to make one now.
			if got, err = openMemory(t, m).Create(t.Context(), alice, []byte("another key")); err != nil {
				t.Fatalf("create after the crash: %v", err)
			}
		case err != nil:
			t.Fatalf("load: %v", err)
		}
		// What was handed out once is there after the next cut, too.
		again, err := openMemory(t, m.crashed(0)).Load(t.Context(), alice)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("after another crash: %q, %v, want %q", again, err, got)
		}
		if left := leftOvers(t, m); left != "" {
			t.Errorf("left over: %s", left)
		}
	}
	erased := func(t *testing.T, m *memory, done bool) {
		got, err := openMemory(t, m).Load(t.Context(), alice)
		if err == nil && !done && bytes.Equal(got, key) {
			if err := openMemory(t, m).Erase(t.Context(), alice); err != nil {
				t.Fatalf("erase after the crash: %v", err)
			}
		} else if !errors.Is(err, ErrErased) {
			t.Fatalf("load: %q, %v", got, err)
		}
		m = m.crashed(0)
		if got, err := openMemory(t, m).Load(t.Context(), alice); !errors.Is(err, ErrErased) {
			t.Fatalf("after another crash: %q, %v, want ErrErased", got, err)
		}
		if holding := m.holding(t, keysDir, key); holding != nil {
			t.Errorf("the erased key is still in %v", holding)
		}
		if left := leftOvers(t, m); left != "" {
			t.Errorf("left over: %s", left)
		}
	}

	t.Run("the first key is whole or not there", func(t *testing.T) {
		t.Parallel()
		everyCut(t, false, func(*memory) {}, create, created)
	})
	t.Run("a key is whole or not there", func(t *testing.T) {
		t.Parallel()
		everyCut(t, false, setUp, create, created)
	})
	t.Run("a key is erased for good or not at all", func(t *testing.T) {
		t.Parallel()
		everyCut(t, false, setUpAlice, erase, erased)
	})
	t.Run("who has no key yet is erased for good or not at all", func(t *testing.T) {
		t.Parallel()
		everyCut(t, false, setUp, erase, func(t *testing.T, m *memory, done bool) {
			_, err := openMemory(t, m).Load(t.Context(), alice)
			if errors.Is(err, ErrErased) || (errors.Is(err, ErrUnknownKey) && !done) {
				return
			}
			t.Fatalf("load: %v", err)
		})
	})
	// The disk fails once. The process goes on and asks again.
	retry := func(m *memory, ask func(*Folder) error) error {
		f, err := openFolder(keysDir, m)
		if err != nil {
			f, err = openFolder(keysDir, m)
		}
		if err != nil {
			return err
		}
		if ask(f) == nil {
			return nil
		}
		return ask(f)
	}
	t.Run("a key that was hard to store is durable once it is handed out", func(t *testing.T) {
		t.Parallel()
		everyCut(t, true, setUp, func(m *memory) error {
			return retry(m, func(f *Folder) error {
				_, err := f.Create(t.Context(), alice, key)
				return err
			})
		}, created)
	})
	t.Run("a key that was hard to store is durable once it is found", func(t *testing.T) {
		t.Parallel()
		everyCut(t, true, setUp, func(m *memory) error {
			return retry(m, func(f *Folder) error {
				_, err := f.Load(t.Context(), alice)
				if errors.Is(err, ErrUnknownKey) {
					_, err = f.Create(t.Context(), alice, key)
				}
				return err
			})
		}, created)
	})
	t.Run("an erasure that failed once is completed by the next", func(t *testing.T) {
		t.Parallel()
		everyCut(t, true, setUpAlice, func(m *memory) error {
			return retry(m, func(f *Folder) error { return f.Erase(t.Context(), alice) })
		}, erased)
	})
	t.Run("an erased key's bytes are overwritten where they were", func(t *testing.T) {
		t.Parallel()
		m := newMemory(vfs.NewMem())
		setUpAlice(m)
		held := m.holding(t, keysDir, key)
		if len(held) != 1 {
			t.Fatalf("the key is in %v", held)
		}
		if err := m.fs.Link(held[0], "/data/another-name"); err != nil {
			t.Fatal(err)
		}
		if err := erase(m); err != nil {
			t.Fatal(err)
		}
		if held := m.holding(t, "/data", key); held != nil {
			t.Errorf("the key is still in %v", held)
		}
	})
}

func TestVaultWhenThePowerIsCut(t *testing.T) {
	t.Parallel()
	start := func(m *memory) (*Vault, error) {
		store, err := openFolder(keysDir, m)
		if err != nil {
			return nil, err
		}
		return unlock(t.Context(), Options{Store: store, KeyFile: "/data/installation/key"}, m)
	}
	var sealed string
	everyCut(t, false, func(*memory) { sealed = "" }, func(m *memory) error {
		v, err := start(m)
		if err != nil {
			return err
		}
		sealed, err = v.Seal(ScopeUser, "user_alice", []byte("alice@example.org"))
		return err
	}, func(t *testing.T, m *memory, done bool) {
		v, err := start(m)
		if err != nil {
			t.Fatalf("start after the crash: %v", err)
		}
		if done {
			if plain, err := v.Open(sealed); err != nil || string(plain) != "alice@example.org" {
				t.Fatalf("what was sealed opens as %q, %v", plain, err)
			}
		}
		again, err := v.Seal(ScopeUser, "user_alice", []byte("Alice"))
		if err != nil {
			t.Fatalf("seal after the crash: %v", err)
		}
		if v, err = start(m.crashed(0)); err != nil {
			t.Fatalf("start after another crash: %v", err)
		}
		if plain, err := v.Open(again); err != nil || string(plain) != "Alice" {
			t.Fatalf("what was sealed after the crash opens as %q, %v", plain, err)
		}
	})
}

// leftOvers names what completed work should not leave behind. It opens the
// folder, and so completes what can be.
func leftOvers(t *testing.T, m *memory) string {
	t.Helper()
	openMemory(t, m)
	var left []string
	for _, dir := range []string{"new", "erasing"} {
		names, err := m.list(filepath.Join(keysDir, dir))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		left = append(left, names...)
	}
	return strings.Join(left, ", ")
}
