package token_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/internal/token"
)

var (
	oldKey, newKey = [32]byte{1}, [32]byte{2}
	start          = time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
	alice          = identity.Principal{UserID: "user_alice", CredentialID: "key_1", LoginFamily: "0198f"}
)

const path = "/stream/sessions/sess_1"

// office makes tokens at a time of its own.
type office struct {
	*token.Tokens
	now time.Time
}

func newOffice(t testing.TB, change ...func(*token.Options)) *office {
	t.Helper()
	o := &office{now: start}
	options := token.Options{
		Issuer: "inst_1", Keys: [][32]byte{newKey}, AccessTTL: time.Hour,
		Hash: keyedHash("installation key"), Now: func() time.Time { return o.now },
	}
	for _, c := range change {
		c(&options)
	}
	var err error
	if o.Tokens, err = token.New(options); err != nil {
		t.Fatal(err)
	}
	return o
}

// keyedHash stands for the vault's.
func keyedHash(key string) func(string, ...[]byte) [32]byte {
	return func(purpose string, parts ...[]byte) [32]byte {
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte(purpose + "\x00"))
		for _, part := range parts {
			h.Write(part)
		}
		return [32]byte(h.Sum(nil))
	}
}

func (o *office) access(t testing.TB) string {
	t.Helper()
	text, _, err := o.Access("user_alice", "0198f", "")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (o *office) ticket(t testing.TB) string {
	t.Helper()
	text, _, err := o.NewTicket(alice, path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAccess(t *testing.T) {
	t.Parallel()

	t.Run("says which login of whom, and nothing about the person", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		text, ttl, err := o.Access("user_alice", "0198f", "key_1")
		if err != nil || ttl != time.Hour {
			t.Fatal(ttl, err)
		}
		login, ok := o.ReadAccess(text)
		if want := (token.Login{UserID: "user_alice", Family: "0198f", KeyID: "key_1"}); !ok || login != want {
			t.Errorf("it reads as %v, %v", login, ok)
		}
		header, body := parts(t, text)
		id, _ := body["jti"].(string)
		if len(id) != 26 || len(header["kid"].(string)) != 16 {
			t.Errorf("jti is %q and kid %q", id, header["kid"])
		}
		want := map[string]any{
			"iss": "inst_1", "sub": "user_alice", "sid": "0198f", "cid": "key_1", "aud": []any{"g4fagent/api"},
			"iat": float64(start.Unix()), "exp": float64(start.Unix() + 3601), "jti": id,
		}
		if diff := cmp.Diff(want, body); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string]any{"alg": "HS256", "typ": "at+jwt", "kid": header["kid"]}, header); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("is another each time", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		if first, second := o.access(t), o.access(t); first == second {
			t.Error("two tokens are equal")
		}
	})

	t.Run("is valid as long as it says, and then no more", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		text := o.access(t)
		for after, want := range map[time.Duration]bool{
			-time.Minute: true, 0: true, time.Hour: true, time.Hour + time.Second: false, 24 * time.Hour: false,
		} {
			o.now = start.Add(after)
			if _, ok := o.ReadAccess(text); ok != want {
				t.Errorf("after %s it is valid: %v", after, ok)
			}
		}
	})

	t.Run("of another installation, or of another key, is refused", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		for what, other := range map[string]*office{
			"issuer": newOffice(t, func(o *token.Options) { o.Issuer = "inst_2" }),
			"key":    newOffice(t, func(o *token.Options) { o.Keys = [][32]byte{oldKey} }),
		} {
			if _, ok := o.ReadAccess(other.access(t)); ok {
				t.Errorf("one of another %s is accepted", what)
			}
		}
	})

	t.Run("is not made for what is not an id", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		for _, ids := range [][3]string{
			{"", "f", ""},
			{"u", "", ""},
			{"alice@example.org", "f", ""},
			{"u", "f f", ""},
			{"u", "f", "Alice Liddell"},
			{"u", strings.Repeat("f", 129), ""},
		} {
			if text, _, err := o.Access(ids[0], ids[1], ids[2]); err == nil {
				t.Errorf("Access(%q) = %s", ids, text)
			}
		}
	})
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	keys := func(keys ...[32]byte) func(*token.Options) {
		return func(o *token.Options) { o.Keys = keys }
	}
	before, during, after := newOffice(t, keys(oldKey)), newOffice(t, keys(newKey, oldKey)), newOffice(t, keys(newKey))
	old, young := before.access(t), during.access(t)
	for _, c := range []struct {
		what   string
		office *office
		text   string
		want   bool
	}{
		{"the old key's token before the rotation", before, old, true},
		{"the old key's token during the rotation", during, old, true},
		{"the new key's token during the rotation", during, young, true},
		{"the new key's token after the rotation", after, young, true},
		{"the old key's token after the rotation", after, old, false},
		{"the new key's token where it is not known yet", before, young, false},
	} {
		if _, ok := c.office.ReadAccess(c.text); ok != c.want {
			t.Errorf("%s is accepted: %v", c.what, ok)
		}
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	text := o.access(t)
	header, body := parts(t, text)
	signature := text[strings.LastIndexByte(text, '.')+1:]
	// What is signed with the right key fails for the one thing that is wrong.
	key := signingKey("at+jwt")

	with := func(m map[string]any, changes ...any) map[string]any {
		c := maps.Clone(m)
		for i := 0; i < len(changes); i += 2 {
			if c[changes[i].(string)] = changes[i+1]; changes[i+1] == nil {
				delete(c, changes[i].(string))
			}
		}
		return c
	}
	if _, ok := o.ReadAccess(signed(t, jwt.SigningMethodHS256, key, header, body)); !ok {
		t.Fatal("the test does not know how to sign")
	}

	forged := map[string]string{
		"nothing":                       "",
		"dots":                          "..",
		"a refresh token":               refresh(t, o),
		"an unsigned one":               signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, with(header, "alg", "none"), body),
		"alg none with a signature":     segment(t, with(header, "alg", "none")) + "." + segment(t, body) + "." + signature,
		"alg None":                      segment(t, with(header, "alg", "None")) + "." + segment(t, body) + ".",
		"another HMAC":                  signed(t, jwt.SigningMethodHS512, key, with(header, "alg", "HS512"), body),
		"no alg":                        signed(t, jwt.SigningMethodHS256, key, with(header, "alg", nil), body),
		"an unknown key":                signed(t, jwt.SigningMethodHS256, key, with(header, "kid", "0123456789abcdef"), body),
		"no key":                        signed(t, jwt.SigningMethodHS256, key, with(header, "kid", nil), body),
		"a key that is not text":        signed(t, jwt.SigningMethodHS256, key, with(header, "kid", 7), body),
		"another type":                  signed(t, jwt.SigningMethodHS256, key, with(header, "typ", "JWT"), body),
		"a ticket's type":               signed(t, jwt.SigningMethodHS256, key, with(header, "typ", "ticket+jwt"), body),
		"no type":                       signed(t, jwt.SigningMethodHS256, key, with(header, "typ", nil), body),
		"an extension that is critical": signed(t, jwt.SigningMethodHS256, key, with(header, "crit", []string{"x"}, "x", 1), body),
		"a key of its own":              signed(t, jwt.SigningMethodHS256, key, with(header, "jwk", map[string]any{"kty": "oct"}), body),
		"signed with the bare secret":   signed(t, jwt.SigningMethodHS256, newKey[:], header, body),
		"signed with the empty key":     signed(t, jwt.SigningMethodHS256, []byte{}, header, body),
		"no end":                        signed(t, jwt.SigningMethodHS256, key, header, with(body, "exp", nil)),
		"an end that is text":           signed(t, jwt.SigningMethodHS256, key, header, with(body, "exp", "2099-01-01")),
		"an end beyond numbers":         signed(t, jwt.SigningMethodHS256, key, header, with(body, "exp", json.RawMessage("1e400"))),
		"an end in the past":            signed(t, jwt.SigningMethodHS256, key, header, with(body, "exp", start.Unix())),
		"a start in the future":         signed(t, jwt.SigningMethodHS256, key, header, with(body, "nbf", start.Unix()+60)),
		"another issuer":                signed(t, jwt.SigningMethodHS256, key, header, with(body, "iss", "inst_2")),
		"no issuer":                     signed(t, jwt.SigningMethodHS256, key, header, with(body, "iss", nil)),
		"another audience":              signed(t, jwt.SigningMethodHS256, key, header, with(body, "aud", "g4fagent/stream")),
		"no audience":                   signed(t, jwt.SigningMethodHS256, key, header, with(body, "aud", nil)),
		"no user":                       signed(t, jwt.SigningMethodHS256, key, header, with(body, "sub", nil)),
		"no login":                      signed(t, jwt.SigningMethodHS256, key, header, with(body, "sid", nil)),
		"no id":                         signed(t, jwt.SigningMethodHS256, key, header, with(body, "jti", nil)),
		"no time of issue":              signed(t, jwt.SigningMethodHS256, key, header, with(body, "iat", nil)),
		"a path":                        signed(t, jwt.SigningMethodHS256, key, header, with(body, "pth", path)),
		"another user":                  segment(t, header) + "." + segment(t, with(body, "sub", "user_admin")) + "." + signature,
		"no claims":                     segment(t, header) + ".bnVsbA." + signature,
		"four parts":                    text + ".x",
		"a line break":                  text + "\n",
		"padding":                       text + "=",
		"too much":                      text + strings.Repeat("A", 10_000),
	}
	for what, forgery := range forged {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			if login, ok := o.ReadAccess(forgery); ok {
				t.Errorf("it reads as %v", login)
			}
		})
	}
	t.Run("every truncation and every changed letter", func(t *testing.T) {
		t.Parallel()
		for i := range len(text) {
			for _, c := range []string{text[:i], text[:i] + "_" + text[i+1:], text[:i] + "A" + text[i+1:], text[:i] + "\n" + text[i:]} {
				if _, ok := o.ReadAccess(c); ok && c != text {
					t.Fatalf("%q is accepted", c)
				}
			}
		}
		for _, last := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
			c := text[:len(text)-1] + string(last)
			if _, ok := o.ReadAccess(c); ok != (c == text) {
				t.Errorf("with %c at its end it is accepted: %v", last, ok)
			}
		}
	})
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*token.Options){
		"no issuer":      func(o *token.Options) { o.Issuer = "" },
		"no key":         func(o *token.Options) { o.Keys = nil },
		"three keys":     func(o *token.Options) { o.Keys = [][32]byte{{1}, {2}, {3}} },
		"the same twice": func(o *token.Options) { o.Keys = [][32]byte{{1}, {1}} },
		"an empty key":   func(o *token.Options) { o.Keys = [][32]byte{{1}, {}} },
		"no time":        func(o *token.Options) { o.AccessTTL = 0 },
		"no hash":        func(o *token.Options) { o.Hash = nil },
	} {
		o := token.Options{Issuer: "inst_1", Keys: [][32]byte{newKey}, AccessTTL: time.Hour, Hash: keyedHash("x")}
		change(&o)
		if _, err := token.New(o); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}

func parts(t testing.TB, text string) (header, body map[string]any) {
	t.Helper()
	segments := strings.Split(text, ".")
	for i, m := range []*map[string]any{&header, &body} {
		b, err := base64.RawURLEncoding.DecodeString(segments[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, m); err != nil {
			t.Fatal(err)
		}
	}
	return header, body
}

// signingKey is the key of one kind of token, as the package derives it.
func signingKey(typ string) []byte {
	h := hmac.New(sha256.New, newKey[:])
	h.Write([]byte(typ))
	return h.Sum(nil)
}

func signature(typ, text string) string {
	h := hmac.New(sha256.New, signingKey(typ))
	h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func segment(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func signed(t testing.TB, method jwt.SigningMethod, key any, header, body map[string]any) string {
	t.Helper()
	text := segment(t, header) + "." + segment(t, body)
	signature, err := method.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func BenchmarkReadAccess(b *testing.B) {
	o := newOffice(b)
	text := o.access(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := o.ReadAccess(text); !ok {
			b.Fatal("refused")
		}
	}
}
