package vault_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"

	"github.com/g4fagent/g4fagent/internal/ident"
	"github.com/g4fagent/g4fagent/internal/vault"
)

var _ ident.Sum = (*vault.Vault)(nil).HMAC

func TestHMAC(t *testing.T) {
	t.Parallel()
	v := unlock(t, vault.Options{Store: openFolder(t, t.TempDir()), MasterKey: key(1)})
	other := unlock(t, vault.Options{Store: openFolder(t, t.TempDir()), MasterKey: key(2)})

	t.Run("tells apart what a plain concatenation would not", func(t *testing.T) {
		t.Parallel()
		seen := map[string]string{}
		for name, sum := range map[string]string{
			"p(ab,c)":  v.HMACHex("p", []byte("ab"), []byte("c")),
			"p(a,bc)":  v.HMACHex("p", []byte("a"), []byte("bc")),
			"p(abc)":   v.HMACHex("p", []byte("abc")),
			"p(abc,)":  v.HMACHex("p", []byte("abc"), nil),
			"p(,abc)":  v.HMACHex("p", nil, []byte("abc")),
			"p()":      v.HMACHex("p"),
			"p(empty)": v.HMACHex("p", nil),
			"pa(bc)":   v.HMACHex("pa", []byte("bc")),
			"q(abc)":   v.HMACHex("q", []byte("abc")),
			"(pabc)":   v.HMACHex("", []byte("pabc")),
			"other":    other.HMACHex("p", []byte("abc")),
		} {
			if twin, ok := seen[sum]; ok {
				t.Errorf("%s and %s are equal", name, twin)
			}
			seen[sum] = name
		}
	})

	t.Run("is the same in every release", func(t *testing.T) {
		t.Parallel()
		// Stored ids and reservations depend on these: they must never change.
		// They were computed apart from this package, from RFC 5869 and RFC 2104.
		if got, want := v.HMACHex("email", []byte("alice@example.org")), "e952dc54580ae19500b55e44992804187826558c488a8a81164bc0d8886674c2"; got != want {
			t.Errorf("HMAC is %s, want %s", got, want)
		}
		key := v.DeriveKey("access tokens")
		if got, want := hex.EncodeToString(key[:]), "577ff46a2f3c861a0f4f86635b70e3ae740554150357b3fcbca9952911551485"; got != want {
			t.Errorf("the derived key is %s, want %s", got, want)
		}
	})

	t.Run("is the same for callers at once", func(t *testing.T) {
		t.Parallel()
		want := v.HMAC("p", []byte("abc"))
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 100 {
					if got := v.HMAC("p", []byte("abc")); got != want {
						t.Errorf("got %x", got)
					}
				}
			})
		}
		all.Wait()
	})
}

func TestDeriveKey(t *testing.T) {
	t.Parallel()
	v := unlock(t, vault.Options{Store: openFolder(t, t.TempDir()), MasterKey: key(1)})
	other := unlock(t, vault.Options{Store: openFolder(t, t.TempDir()), MasterKey: key(2)})
	a, b, c := v.DeriveKey("a"), v.DeriveKey("b"), other.DeriveKey("a")
	if again := v.DeriveKey("a"); again != a {
		t.Error("a purpose has two keys")
	}
	if a == b || a == c || bytes.Equal(a[:], make([]byte, 32)) {
		t.Error("keys of different purposes or installations are equal")
	}
}

func BenchmarkSeal(b *testing.B) {
	v := unlock(b, vault.Options{Store: openFolder(b, b.TempDir()), MasterKey: key(1)})
	for _, size := range []int{32, 4096} {
		plain := bytes.Repeat([]byte("x"), size)
		text := seal(b, v, "user", "user_01984f3c5a6b7c8d9e0f112233445566", string(plain))
		b.Run(fmt.Sprintf("seal %d bytes", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := v.Seal("user", "user_01984f3c5a6b7c8d9e0f112233445566", plain); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("open %d bytes", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := v.Open(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkHMAC(b *testing.B) {
	v := unlock(b, vault.Options{Store: openFolder(b, b.TempDir()), MasterKey: key(1)})
	part := []byte("user_01984f3c5a6b7c8d9e0f112233445566")
	b.ReportAllocs()
	for b.Loop() {
		v.HMAC("idempotency", part, part, part)
	}
}
