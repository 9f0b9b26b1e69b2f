package vault_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/g4fagent/g4fagent/eventschema"
	"github.com/g4fagent/g4fagent/internal/vault"
	"github.com/g4fagent/g4fagent/internal/vault/storetest"
)

var _ eventschema.Sealer = (*vault.Vault)(nil)

func TestFolder(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) (vault.Store, func() vault.Store) {
		dir := filepath.Join(t.TempDir(), "keys")
		folder := openFolder(t, dir)
		return folder, func() vault.Store {
			if err := folder.Close(); err != nil {
				t.Fatal(err)
			}
			folder = openFolder(t, dir)
			return folder
		}
	})
}

func TestFolderIsHeldByOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := openFolder(t, dir)
	if _, err := vault.OpenFolder(dir); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second one opens: %v", err)
	}
	if err := folder.Close(); err != nil {
		t.Fatal(err)
	}
	openFolder(t, dir)
}

func TestFolderRefusesWhatIsNotIts(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"new/notes.txt", "erasing/secret.owned", "erasing/user.", "new/nobody.u1"} {
		dir := t.TempDir()
		folder := openFolder(t, dir)
		if err := folder.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.OpenFolder(dir); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("with %s in it the folder opens: %v", file, err)
		}
	}
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()

	t.Run("what is sealed opens again, restarts included", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		v, folder := open(t, dir)
		type sealing struct{ scope, owner, plain string }
		texts := map[string]sealing{}
		for _, s := range []sealing{
			{"user", "user_0198", "alice@example.org"},
			{"user", "user_0199", ""},
			{"project", "user_0198", "Grüße, \x00\xff"},
			{"project", "p-1", strings.Repeat("long ", 100_000)},
			{"secret", "", "sk-provider-key"},
		} {
			texts[seal(t, v, s.scope, s.owner, s.plain)] = s
		}
		for range 2 {
			for text, s := range texts {
				if plain, err := v.Open(text); err != nil || string(plain) != s.plain {
					t.Errorf("%s %s opens as %.20q, %v", s.scope, s.owner, plain, err)
				}
				if len(s.plain) > 3 && strings.Contains(text, s.plain) {
					t.Errorf("the sealed text holds the plain one")
				}
			}
			v, folder = reopen(t, dir, folder)
		}
	})

	t.Run("the text is safe in URLs and in JSON, and never twice the same", func(t *testing.T) {
		t.Parallel()
		v, _ := open(t, t.TempDir())
		one, other := seal(t, v, "user", "user_1", "x"), seal(t, v, "user", "user_1", "x")
		if !regexp.MustCompile(`^v1\.user\.user_1\.[0-9a-f]{8}\.[A-Za-z0-9_-]+$`).MatchString(one) {
			t.Errorf("the text is %q", one)
		}
		if one == other {
			t.Error("two seals of one text are equal")
		}
	})

	t.Run("an id that could be another's is refused", func(t *testing.T) {
		t.Parallel()
		v, _ := open(t, t.TempDir())
		for _, s := range []struct{ scope, owner string }{
			{"user", ""},
			{"user", "User_1"},
			{"user", "../u1"},
			{"user", "u.1"},
			{"user", "u\n"},
			{"user", strings.Repeat("u", 129)},
			{"secret", "u1"},
			{"installation", "verifier"},
			{"", ""},
		} {
			if text, err := v.Seal(s.scope, s.owner, []byte("x")); err == nil {
				t.Errorf("Seal(%q, %q) = %q", s.scope, s.owner, text)
			}
			if err := v.Erase(t.Context(), s.scope, s.owner); err == nil {
				t.Errorf("Erase(%q, %q) succeeds", s.scope, s.owner)
			}
		}
	})
}

func TestTamperedTextsAreRefused(t *testing.T) {
	t.Parallel()
	v, _ := open(t, t.TempDir())
	text := seal(t, v, "user", "user_1", "a secret of user 1")
	seal(t, v, "user", "user_2", "user 2 has a key as well")
	seal(t, v, "project", "user_1", "and so has a project of that name")

	refuse := func(changed string) {
		t.Helper()
		plain, err := v.Open(changed)
		if err == nil || errors.Is(err, vault.ErrErased) {
			t.Errorf("%q opens as %q, %v", changed, plain, err)
		}
	}
	for i := range len(text) {
		for _, flip := range []byte{0x01, 0x02, 0x20, 0x80} {
			b := []byte(text)
			b[i] ^= flip
			refuse(string(b))
		}
		refuse(text[:i])
		refuse(text[:i] + "\n" + text[i:])
		refuse(text[:i] + "." + text[i:])
	}
	// Base64 has room for texts that differ and decode to the same bytes.
	for _, last := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if changed := text[:len(text)-1] + string(last); changed != text {
			refuse(changed)
		}
	}
	refuse(text + "=")
	refuse(text + "A")
	refuse(strings.Replace(text, "user_1", "user_2", 1))
	refuse(strings.Replace(text, ".user.", ".project.", 1))
	refuse(strings.Replace(text, ".user.user_1.", ".secret..", 1))

	// The body under the other owner's own header.
	other := seal(t, v, "user", "user_2", "x")
	refuse(other[:strings.LastIndexByte(other, '.')] + text[strings.LastIndexByte(text, '.'):])

	if plain, err := v.Open(text); err != nil || string(plain) != "a secret of user 1" {
		t.Errorf("the text itself opens as %q, %v", plain, err)
	}
}

func TestMissingKeysAreLoud(t *testing.T) {
	t.Parallel()

	t.Run("a lost key is not an erased one, nor is one made after it", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		v, folder := open(t, dir)
		text := seal(t, v, "user", "user_1", "x")
		files, err := filepath.Glob(filepath.Join(dir, "user", "*", "user_1.key"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		if err := os.Remove(files[0]); err != nil {
			t.Fatal(err)
		}
		v, _ = reopen(t, dir, folder)
		for range 2 {
			if _, err := v.Open(text); !errors.Is(err, vault.ErrUnknownKey) || errors.Is(err, vault.ErrErased) {
				t.Errorf("Open answers %v, want ErrUnknownKey", err)
			}
			seal(t, v, "user", "user_1", "a new key is made")
		}
	})

	t.Run("a damaged key is said to be", func(t *testing.T) {
		t.Parallel()
		for _, damage := range []func([]byte) []byte{
			func(key []byte) []byte { return nil },
			func(key []byte) []byte { return key[:len(key)-1] },
			func(key []byte) []byte { key[0] ^= 1; return key },
			func(key []byte) []byte { key[len(key)-1] ^= 1; return key },
		} {
			dir := t.TempDir()
			v, folder := open(t, dir)
			text := seal(t, v, "user", "user_1", "x")
			files, _ := filepath.Glob(filepath.Join(dir, "user", "*", "user_1.key"))
			wrapped, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(files[0], damage(wrapped), 0o600); err != nil {
				t.Fatal(err)
			}
			v, _ = reopen(t, dir, folder)
			if _, err := v.Open(text); !errors.Is(err, vault.ErrDamagedKey) {
				t.Errorf("Open answers %v, want ErrDamagedKey", err)
			}
			if _, err := v.Seal("user", "user_1", nil); !errors.Is(err, vault.ErrDamagedKey) {
				t.Errorf("Seal answers %v, want ErrDamagedKey", err)
			}
		}
	})

	t.Run("one owner's wrapped key is not another's", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		folder := openFolder(t, dir)
		v := unlock(t, vault.Options{Store: folder, MasterKey: key(1)})
		seal(t, v, "user", "user_1", "x")
		wrapped, err := folder.Load(t.Context(), vault.Name{Scope: "user", Owner: "user_1"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := folder.Create(t.Context(), vault.Name{Scope: "user", Owner: "user_2"}, wrapped); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Seal("user", "user_2", nil); !errors.Is(err, vault.ErrDamagedKey) {
			t.Errorf("Seal answers %v, want ErrDamagedKey", err)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()

	t.Run("seal for the same new owner with one key", func(t *testing.T) {
		t.Parallel()
		store := openFolder(t, t.TempDir())
		// Two vaults on one store are two nodes.
		nodes := []*vault.Vault{
			unlock(t, vault.Options{Store: store, MasterKey: key(1)}),
			unlock(t, vault.Options{Store: store, MasterKey: key(1)}),
		}
		texts := make([]string, 16)
		var all sync.WaitGroup
		for i := range texts {
			all.Go(func() {
				var err error
				if texts[i], err = nodes[i%2].Seal("user", "user_1", []byte{byte(i)}); err != nil {
					t.Errorf("Seal: %v", err)
				}
			})
		}
		all.Wait()
		for i, text := range texts {
			if plain, err := nodes[(i+1)%2].Open(text); err != nil || !bytes.Equal(plain, []byte{byte(i)}) {
				t.Errorf("text %d opens as %v, %v", i, plain, err)
			}
		}
	})

	t.Run("never bring back a key that was read before its erasure", func(t *testing.T) {
		t.Parallel()
		folder := openFolder(t, t.TempDir())
		text := seal(t, unlock(t, vault.Options{Store: folder, MasterKey: key(1)}), "user", "user_1", "x")
		store := &slow{Store: folder, read: make(chan struct{}), resume: make(chan struct{})}
		v := unlock(t, vault.Options{Store: store, MasterKey: key(1)})
		var all sync.WaitGroup
		all.Go(func() { _, _ = v.Open(text) }) // before or after the erasure: both are right
		<-store.read
		erased := make(chan struct{})
		all.Go(func() {
			defer close(erased)
			if err := v.Erase(t.Context(), "user", "user_1"); err != nil {
				t.Errorf("Erase: %v", err)
			}
		})
		select {
		case <-erased: // it must not be, but what counts is what follows
		case <-time.After(50 * time.Millisecond):
		}
		close(store.resume)
		all.Wait()
		if _, err := v.Open(text); !errors.Is(err, vault.ErrErased) {
			t.Errorf("after the erasure Open answers %v, want ErrErased", err)
		}
	})
}

// slow stops, once, between reading a key and answering with it.
type slow struct {
	vault.Store
	once         sync.Once
	read, resume chan struct{}
}

func (s *slow) Load(ctx context.Context, name vault.Name) ([]byte, error) {
	wrapped, err := s.Store.Load(ctx, name)
	s.once.Do(func() {
		close(s.read)
		<-s.resume
	})
	return wrapped, err
}

func TestStoreThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	store := &flaky{Store: openFolder(t, t.TempDir())}
	v := unlock(t, vault.Options{Store: store, MasterKey: key(1), Timeout: time.Millisecond})
	store.hangs.Store(true)
	if _, err := v.Seal("user", "user_1", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Seal answers %v, want its deadline", err)
	}
}

func FuzzOpen(f *testing.F) {
	v, _ := open(f, f.TempDir())
	text := seal(f, v, "user", "user_1", "x")
	for _, seed := range []string{"", "v1....", "v1.user.user_1..", "v1.secret...", text, text[:len(text)-2]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, changed string) {
		if plain, err := v.Open(changed); err == nil && changed != text {
			t.Errorf("%q opens as %q", changed, plain)
		}
	})
}

func key(n byte) string { return strings.Repeat("0123456789abcde"+string('0'+rune(n)), 4) }

func openFolder(t testing.TB, dir string) *vault.Folder {
	t.Helper()
	folder, err := vault.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	return folder
}

func unlock(t testing.TB, o vault.Options) *vault.Vault {
	t.Helper()
	v, err := vault.Unlock(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func open(t testing.TB, dir string) (*vault.Vault, *vault.Folder) {
	t.Helper()
	folder := openFolder(t, dir)
	return unlock(t, vault.Options{Store: folder, KeyFile: filepath.Join(dir, "installation.key")}), folder
}

func reopen(t *testing.T, dir string, folder *vault.Folder) (*vault.Vault, *vault.Folder) {
	t.Helper()
	if err := folder.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

func seal(t testing.TB, v *vault.Vault, scope, owner, plain string) string {
	t.Helper()
	text, err := v.Seal(scope, owner, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
