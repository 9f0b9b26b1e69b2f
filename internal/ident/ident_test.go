package ident_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"regexp"
	"testing"

	"github.com/g4fagent/g4fagent/internal/ident"
)

func sum(purpose string, parts ...[]byte) [32]byte {
	h := hmac.New(sha256.New, []byte("key"))
	h.Write([]byte(purpose))
	for _, p := range parts {
		h.Write([]byte{0})
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

func fresh(t *testing.T, prefix string) string {
	t.Helper()
	id, err := ident.New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIDs(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^proj_[0-9a-f]{32}$`)
	t.Run("are a prefix and 32 digits, later ones sorting later", func(t *testing.T) {
		t.Parallel()
		a, b := fresh(t, "proj"), fresh(t, "proj")
		if !form.MatchString(a) || a >= b {
			t.Fatal(a, b)
		}
	})
	t.Run("of the same key are the same", func(t *testing.T) {
		t.Parallel()
		a := ident.FromSum("proj", sum("k", []byte("1")))
		if a != ident.FromSum("proj", sum("k", []byte("1"))) || a == ident.FromSum("proj", sum("k", []byte("2"))) || !form.MatchString(a) {
			t.Fatal(a)
		}
	})
	t.Run("made within a parent are recognised there alone", func(t *testing.T) {
		t.Parallel()
		plain := fresh(t, "msg")
		id := ident.Within(sum, "sess_a", plain)
		if !ident.IsWithin(sum, "sess_a", id) || ident.IsWithin(sum, "sess_b", id) || ident.IsWithin(sum, "sess_a", plain) || ident.IsWithin(sum, "sess_a", "x") {
			t.Fatal(id)
		}
	})
	t.Run("of runs carry their session", func(t *testing.T) {
		t.Parallel()
		session := fresh(t, "sess")
		run := ident.RunOf(sum, session, fresh(t, "run"))
		if got, ok := ident.SessionOf(sum, run); !ok || got != session {
			t.Fatal(run, got)
		}
		for _, bad := range []string{"", "run_", "run_12", session, run + "0", "run_" + "g" + run[5:], run[:len(run)-1] + "g"} {
			if got, ok := ident.SessionOf(sum, bad); ok {
				t.Errorf("SessionOf(%q) = %q", bad, got)
			}
		}
	})
}
