// Package token makes and reads what proves an identity: access tokens and stream
// tickets, which are signed and stored nowhere, and refresh tokens and API keys,
// of which only a verifier is stored. None of them holds personal data.
package token

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Options are what tokens are made with. All are required but Operator and Now.
type Options struct {
	// Issuer is who signs: the installation's id. Tokens of another installation
	// are refused.
	Issuer string
	// Keys sign and verify. The first one signs; a second one is what signed
	// before, and verifies until its last token has expired.
	Keys [][32]byte
	// AccessTTL is how long an access token is valid.
	AccessTTL time.Duration
	// Hash is a keyed hash, the vault's: verifiers are made with it.
	Hash func(purpose string, parts ...[]byte) [32]byte
	// Operator is whose the API keys are that an operator chose, in any form. The
	// zero value refuses them.
	Operator Holder
	// Now is the clock: time.Now when nil.
	Now func() time.Time
}

// Holder says which user an API key acts as, and which of the user's keys it is.
type Holder struct{ UserID, KeyID string }

// Tokens makes and reads tokens. Its methods may be called from several
// goroutines.
type Tokens struct {
	issuer   string
	ttl      time.Duration
	hash     func(purpose string, parts ...[]byte) [32]byte
	operator Holder
	now      func() time.Time

	access, tickets *signer
	seen            seen
}

// New checks the options.
func New(o Options) (*Tokens, error) {
	switch {
	case o.Issuer == "":
		return nil, errors.New("make tokens: no issuer is given")
	case o.AccessTTL <= 0:
		return nil, errors.New("make tokens: access tokens need a time to live")
	case o.Hash == nil:
		return nil, errors.New("make tokens: no keyed hash is given")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &Tokens{issuer: o.Issuer, ttl: o.AccessTTL, hash: o.Hash, operator: o.Operator, now: o.Now}
	var err error
	if t.access, err = newSigner(o, accessType, accessAudience); err != nil {
		return nil, fmt.Errorf("make tokens: %w", err)
	}
	if t.tickets, err = newSigner(o, ticketType, ticketAudience); err != nil {
		return nil, fmt.Errorf("make tokens: %w", err)
	}
	if t.seen, err = newSeen(); err != nil {
		return nil, fmt.Errorf("make tokens: %w", err)
	}
	return t, nil
}

// Login is what an access token or a ticket says: which login, of whom. Whether
// that is in force still is not the token's to say.
type Login struct {
	UserID string
	// Family is the login family.
	Family string
	// KeyID is the API key that the login was made with, or empty.
	KeyID string
}

// claims are those of both kinds of signed tokens. A ticket has a path.
type claims struct {
	jwt.RegisteredClaims

	Family string `json:"sid,omitempty"`
	KeyID  string `json:"cid,omitempty"`
	Path   string `json:"pth,omitempty"`
}

func (c claims) login() Login { return Login{UserID: c.Subject, Family: c.Family, KeyID: c.KeyID} }

// Access is a new access token for a login, and how long it is valid. KeyID is
// the API key that the login was made with, or empty. It fails for ids that are
// not made of 1 to 128 letters, digits, '_' and '-', such as an e-mail address.
func (t *Tokens) Access(userID, family, keyID string) (token string, ttl time.Duration, err error) {
	if !validID(userID) || !validID(family) || (keyID != "" && !validID(keyID)) {
		return "", 0, fmt.Errorf("sign an access token: %w", errID)
	}
	token, err = t.access.sign(t.claims(Login{UserID: userID, Family: family, KeyID: keyID}, t.ttl))
	if err != nil {
		return "", 0, fmt.Errorf("sign an access token: %w", err)
	}
	return token, t.ttl, nil
}

// ReadAccess reads an access token. It reports false for everything else:
// another kind of token, one that expired, one that was not signed here.
func (t *Tokens) ReadAccess(token string) (Login, bool) {
	if len(token) > maxLength {
		return Login{}, false
	}
	sum := sha256.Sum256([]byte(token))
	if l, ok := t.seen.get(sum, t.now()); ok {
		return l, true
	}
	c, ok := t.access.read(token)
	if !ok || c.Family == "" || c.Path != "" {
		return Login{}, false
	}
	t.seen.add(sum, c.login(), c.ExpiresAt.Time)
	return c.login(), true
}
