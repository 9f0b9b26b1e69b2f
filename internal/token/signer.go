package token

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Each kind of token has a type (RFC 8725, 3.11; at+jwt is RFC 9068's), an
// audience and signing keys of its own: none of the three alone has to keep one
// kind from passing as the other.
const (
	accessType     = "at+jwt"
	accessAudience = "g4fagent/api"
	ticketType     = "ticket+jwt"
	ticketAudience = "g4fagent/stream"
)

// maxLength bounds what is parsed at all. Ours are about 500 bytes long, and
// shorter than this whatever a ticket's path holds.
const maxLength = 8192

// method is the only one: what a token says about its algorithm is compared with
// it and otherwise ignored (RFC 8725, 3.1).
var method = jwt.SigningMethodHS256

// signer signs and reads one kind of token.
type signer struct {
	typ, audience string
	parser        *jwt.Parser
	// current is the id of the key that signs.
	current string
	keys    map[string][]byte
}

func newSigner(o Options, typ, audience string) (*signer, error) {
	if len(o.Keys) < 1 || len(o.Keys) > 2 {
		return nil, errors.New("there must be one signing key, or two while they are rotated")
	}
	s := &signer{typ: typ, audience: audience, keys: map[string][]byte{}}
	for i, secret := range o.Keys {
		if secret == ([32]byte{}) {
			return nil, errors.New("a signing key is all zeros")
		}
		// The id depends on the key: it can never name another one.
		id := hex.EncodeToString(derive(secret, "key id")[:8])
		if i == 0 {
			s.current = id
		}
		s.keys[id] = derive(secret, typ)
	}
	if len(s.keys) != len(o.Keys) {
		return nil, errors.New("both signing keys are the same")
	}
	s.parser = jwt.NewParser(
		jwt.WithValidMethods([]string{method.Alg()}), jwt.WithStrictDecoding(),
		jwt.WithIssuer(o.Issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithTimeFunc(o.Now),
	)
	return s, nil
}

func derive(secret [32]byte, use string) []byte {
	h := hmac.New(sha256.New, secret[:])
	h.Write([]byte(use))
	return h.Sum(nil)
}

// claims are a login's, valid for at least ttl from now: the format counts whole
// seconds.
func (t *Tokens) claims(l Login, ttl time.Duration) claims {
	now := t.now()
	return claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: t.issuer, Subject: l.UserID, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl + time.Second - 1)),
		},
		Family: l.Family, KeyID: l.KeyID,
	}
}

func (s *signer) sign(c claims) (string, error) {
	c.Audience = jwt.ClaimStrings{s.audience}
	t := jwt.NewWithClaims(method, c)
	t.Header["typ"], t.Header["kid"] = s.typ, s.current
	return t.SignedString(s.keys[s.current])
}

func (s *signer) read(text string) (claims, bool) {
	// The parser's base64 skips line breaks, which would give a token many texts.
	if len(text) > maxLength || strings.ContainsAny(text, "\r\n") {
		return claims{}, false
	}
	var c claims
	if _, err := s.parser.ParseWithClaims(text, &c, s.key); err != nil {
		return claims{}, false
	}
	return c, c.Subject != "" && c.ID != "" && c.IssuedAt != nil
}

var errHeader = errors.New("the header is not one of ours")

// key is the one that the header names. A header with anything else in it is not
// ours: above all not one with crit, which may not be ignored (RFC 7515, 4.1.11).
func (s *signer) key(t *jwt.Token) (any, error) {
	id, _ := t.Header["kid"].(string)
	key, ok := s.keys[id]
	if !ok || t.Header["typ"] != s.typ || len(t.Header) != len([...]string{"alg", "typ", "kid"}) {
		return nil, errHeader
	}
	return key, nil
}
