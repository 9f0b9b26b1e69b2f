package token_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/g4fagent/g4fagent/internal/fault"
	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/internal/token"
)

func TestTicket(t *testing.T) {
	t.Parallel()

	t.Run("lets its owner in at one path, again and again", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		text, ttl, err := o.NewTicket(alice, path)
		if err != nil || ttl != 5*time.Minute {
			t.Fatal(ttl, err)
		}
		for range 2 {
			login, ok := o.ReadTicket(text, path)
			if want := (token.Login{UserID: "user_alice", Family: "0198f", KeyID: "key_1"}); !ok || login != want {
				t.Errorf("it reads as %v, %v", login, ok)
			}
		}
		for _, elsewhere := range []string{"", "/", path + "/", path + "2", path[:len(path)-1], strings.ToUpper(path), path + "?run_id=1"} {
			if _, ok := o.ReadTicket(text, elsewhere); ok {
				t.Errorf("it is accepted at %q", elsewhere)
			}
		}
	})

	t.Run("names no key for a login with a password", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		text, _, err := o.NewTicket(identity.Principal{UserID: "user_bob", CredentialID: "f1", LoginFamily: "f1"}, path)
		if err != nil {
			t.Fatal(err)
		}
		if login, ok := o.ReadTicket(text, path); !ok || login != (token.Login{UserID: "user_bob", Family: "f1"}) {
			t.Errorf("it reads as %v, %v", login, ok)
		}
	})

	t.Run("is valid for five minutes", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		text := o.ticket(t)
		for after, want := range map[time.Duration]bool{0: true, 5 * time.Minute: true, 5*time.Minute + time.Second: false} {
			o.now = start.Add(after)
			if _, ok := o.ReadTicket(text, path); ok != want {
				t.Errorf("after %s it is valid: %v", after, ok)
			}
		}
	})

	t.Run("without a login is of no use", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		text, _, err := o.NewTicket(identity.Principal{UserID: "user_admin"}, path)
		if err != nil {
			t.Fatal(err)
		}
		if login, ok := o.ReadTicket(text, path); ok {
			t.Errorf("it reads as %v", login)
		}
	})

	t.Run("is made for whatever path it can be read with", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		for _, p := range []string{strings.Repeat("<", 512), strings.Repeat("\u2028", 170), `/a"b\c`} {
			text, _, err := o.NewTicket(alice, p)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := o.ReadTicket(text, p); !ok {
				t.Errorf("the ticket for %.9q cannot be read", p)
			}
		}
		for _, p := range []string{"", strings.Repeat("/", 513)} {
			_, _, err := o.NewTicket(alice, p)
			if known, ok := errors.AsType[*fault.Error](err); !ok || known.Kind != fault.Invalid || known.Details["field"] != "path" {
				t.Errorf("a ticket for %.9q answers %v", p, err)
			}
		}
	})
}

func TestNoKindOfTokenPassesAsAnother(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	texts := map[string]string{"access": o.access(t), "ticket": o.ticket(t), "refresh": refresh(t, o), "api key": apiKey(t, o)}
	readers := map[string]func(string) bool{
		"access":  func(s string) bool { _, ok := o.ReadAccess(s); return ok },
		"ticket":  func(s string) bool { _, ok := o.ReadTicket(s, path); return ok },
		"refresh": func(s string) bool { _, _, ok := o.ReadRefresh(s); return ok },
		"api key": func(s string) bool { _, _, _, ok := o.ReadAPIKey(s); return ok },
	}
	for kind, text := range texts {
		for reader, reads := range readers {
			if got := reads(text); got != (kind == reader) {
				t.Errorf("%s is read as %s: %v", kind, reader, got)
			}
		}
	}

	// Type, audience and key each keep the kinds apart: a ticket that is wrong in
	// two of them is refused for the third.
	header, body := parts(t, texts["access"])
	sign := func(typ, audience, key string) string {
		header["typ"], body["aud"] = typ, audience
		return signed(t, jwt.SigningMethodHS256, signingKey(key), header, body)
	}
	for text, want := range map[string]bool{
		sign("at+jwt", "g4fagent/api", "at+jwt"):        true,
		sign("ticket+jwt", "g4fagent/api", "at+jwt"):    false,
		sign("at+jwt", "g4fagent/stream", "at+jwt"):     false,
		sign("at+jwt", "g4fagent/api", "ticket+jwt"):    false,
		sign("ticket+jwt", "g4fagent/stream", "at+jwt"): false,
	} {
		if got := readers["access"](text); got != want {
			t.Errorf("%s is read as an access token: %v", text, got)
		}
	}
}
