package password_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/password"
)

const secret = "a long and winding road"

func TestHasher(t *testing.T) {
	t.Parallel()
	h := newHasher(t, password.HasherOptions{})
	v, err := h.Hash(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("writes PHC strings at the recommended cost", func(t *testing.T) {
		t.Parallel()
		if !regexp.MustCompile(`^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`).MatchString(v) {
			t.Errorf("the verifier is %s", v)
		}
	})

	t.Run("accepts the password and no other", func(t *testing.T) {
		t.Parallel()
		for shown, want := range map[string]bool{secret: true, secret + " ": false, strings.ToUpper(secret): false, "": false} {
			if got, err := h.Verify(t.Context(), v, shown); err != nil || got != want {
				t.Errorf("Verify(%q) = %v, %v", shown, got, err)
			}
		}
	})

	t.Run("salts", func(t *testing.T) {
		t.Parallel()
		again, err := h.Hash(t.Context(), secret)
		if err != nil || again == v {
			t.Errorf("the same password has the same verifier, %v", err)
		}
	})

	t.Run("accepts one password however a keyboard composes it", func(t *testing.T) {
		t.Parallel()
		v, err := h.Hash(t.Context(), "Zürich ﬁnd ich gut")
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := h.Verify(t.Context(), v, "Zu\u0308rich find ich gut"); err != nil || !ok {
			t.Errorf("Verify = %v, %v", ok, err)
		}
	})

	t.Run("accepts what other implementations and other costs wrote", func(t *testing.T) {
		t.Parallel()
		// Written by the reference implementation: echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1.
		const reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
		if ok, err := h.Verify(t.Context(), reference, "password"); err != nil || !ok {
			t.Errorf("Verify = %v, %v", ok, err)
		}
		if ok, err := h.Verify(t.Context(), reference, "passwork"); err != nil || ok {
			t.Errorf("Verify of another = %v, %v", ok, err)
		}
	})

	t.Run("denies to nobody", func(t *testing.T) {
		t.Parallel()
		if err := h.VerifyNobody(t.Context(), secret); err != nil {
			t.Errorf("VerifyNobody: %v", err)
		}
	})
}

func TestMalformedVerifiers(t *testing.T) {
	t.Parallel()
	h := newHasher(t, password.HasherOptions{})
	const salt, hash = "c29tZXNhbHQ", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, text := range []string{
		"",
		"[erased]",
		secret,
		"$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"$argon2i$v=19$m=19456,t=2,p=1$" + salt + "$" + hash,
		"$argon2id$v=16$m=19456,t=2,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=19456,t=2$" + salt + "$" + hash,
		"$argon2id$v=19$m=19456,t=2,p=1,x=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=019456,t=2,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=19456,t=0,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=19456,t=2,p=0$" + salt + "$" + hash,
		"$argon2id$v=19$m=19456,t=2,p=256$" + salt + "$" + hash,
		"$argon2id$v=19$m=19456,t=-2,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=4294967295,t=2,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=19456,t=1000000,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$",
		"$argon2id$v=19$m=19456,t=2,p=1$$" + hash,
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + hash + "\n",
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + hash + "$",
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "=$" + hash,
	} {
		if ok, err := h.Verify(t.Context(), text, secret); ok || !errors.Is(err, password.ErrMalformedVerifier) {
			t.Errorf("Verify(%q) = %v, %v, want ErrMalformedVerifier", text, ok, err)
		}
	}
}

func TestHasherIsBounded(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	h := newHasher(t, password.HasherOptions{Workers: 1, Queue: 2, Registerer: registry})

	// Many more than fit come at once: some are refused, the others are served.
	var mu sync.Mutex
	var served, refused int
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			err := h.VerifyNobody(t.Context(), secret)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				served++
				return
			}
			refused++
			known, ok := errors.AsType[*fault.Error](err)
			if !ok || known.Kind != fault.Unavailable || known.Code != "unavailable" || known.RetryAfter != time.Second {
				t.Errorf("the refusal is %v", err)
			}
		})
	}
	all.Wait()
	if served < 3 || refused == 0 {
		t.Errorf("%d were served and %d refused", served, refused)
	}
	if got := gathered(t, registry); got["g4fagent_password_hashes_in_flight"] != 0 ||
		got["g4fagent_password_hashes_refused_total"] != float64(refused) || got["g4fagent_password_hash_seconds"] != float64(served) {
		t.Errorf("%d were served and %d refused, but the metrics say %v", served, refused, got)
	}

	// Whoever is gone is not hashed for.
	gone, leave := context.WithCancelCause(t.Context())
	left := errors.New("the client left")
	leave(left)
	for range 8 {
		if _, err := h.Hash(gone, secret); !errors.Is(err, left) {
			t.Errorf("Hash answers %v, want the context's cause", err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	h := newHasher(b, password.HasherOptions{})
	for b.Loop() {
		if err := h.VerifyNobody(b.Context(), secret); err != nil {
			b.Fatal(err)
		}
	}
}

func newHasher(t testing.TB, o password.HasherOptions) *password.Hasher {
	t.Helper()
	h, err := password.NewHasher(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// gathered is the values of all metrics, histograms by their count, keyed by name
// and label values.
func gathered(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			key := []string{family.GetName()}
			for _, label := range metric.GetLabel() {
				key = append(key, label.GetValue())
			}
			values[strings.Join(key, " ")] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return values
}
