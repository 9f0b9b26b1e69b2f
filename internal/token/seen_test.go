package token_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/internal/token"
)

func TestATokenShownAgain(t *testing.T) {
	t.Parallel()
	t.Run("says the same", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		text, _, err := o.Access("user_alice", "0198f", "key_1")
		if err != nil {
			t.Fatal(err)
		}
		want := token.Login{UserID: "user_alice", Family: "0198f", KeyID: "key_1"}
		for range 2 {
			got, ok := o.ReadAccess(text)
			if !ok {
				t.Fatal("it was refused")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		}
	})
	t.Run("expires all the same", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		text := o.access(t)
		for _, step := range []struct {
			at   time.Duration
			want bool
		}{{0, true}, {time.Hour - time.Second, true}, {time.Hour + 2*time.Second, false}, {time.Hour + 3*time.Second, false}} {
			o.now = start.Add(step.at)
			if _, ok := o.ReadAccess(text); ok != step.want {
				t.Errorf("after %s: accepted %t, want %t", step.at, ok, step.want)
			}
		}
	})
	t.Run("does not vouch for one that differs in a letter", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		text := o.access(t)
		if _, ok := o.ReadAccess(text); !ok {
			t.Fatal("it was refused")
		}
		for i := range text {
			changed := []byte(text)
			changed[i] ^= 1
			if _, ok := o.ReadAccess(string(changed)); ok {
				t.Fatalf("it was accepted with letter %d changed", i)
			}
		}
	})
	t.Run("is no ticket either", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		text := o.access(t)
		if _, ok := o.ReadAccess(text); !ok {
			t.Fatal("it was refused")
		}
		if _, ok := o.ReadTicket(text, path); ok {
			t.Error("it passed as a ticket")
		}
	})
}
