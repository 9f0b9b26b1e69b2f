package token

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// The prefixes tell people, and programs that look for leaked secrets, what they
// have found.
const (
	refreshPrefix = "rtk_"
	apiKeyPrefix  = "gak_"
)

const (
	secretBytes = 32
	// markAt is where a refresh token's mark begins in its secret.
	markAt = 16
	maxID  = 128
	// maxOperatorKey bounds a key that an operator chose.
	maxOperatorKey = 512
)

var (
	errID = errors.New("the id is empty, too long, or holds other than letters, digits, '_' and '-'")

	secretEncoding = base64.RawURLEncoding.Strict()
)

// NewRefresh is a new refresh token of a login family, to be shown once, and its
// verifier, which may be stored: rtk_<family>.<128 random bits and their mark>. It
// fails for a family whose id is not made of 1 to 128 letters, digits, '_' and '-'.
func (t *Tokens) NewRefresh(family string) (token, verifier string, err error) {
	if !validID(family) {
		return "", "", errID
	}
	var secret [secretBytes]byte
	_, _ = rand.Read(secret[:markAt]) // never fails: it ends the program rather
	copy(secret[markAt:], t.mark(family, secret[:markAt]))
	token = refreshPrefix + family + "." + secretEncoding.EncodeToString(secret[:])
	return token, t.verifier("refresh token", token), nil
}

// mark shows that a refresh token was made here. A family's id is no secret, and
// a token that is not the family's newest ends it: nobody may make one up.
func (t *Tokens) mark(family string, random []byte) []byte {
	sum := t.hash("refresh token's mark", []byte(family), random)
	return sum[:secretBytes-markAt]
}

// ReadRefresh takes a refresh token apart, if it was made here for the family that
// it names. Whether it is the family's newest, the verifier tells.
//
// Verifiers are keyed hashes of the whole token. To compare them takes no
// constant time: nobody can choose what a guess hashes to.
func (t *Tokens) ReadRefresh(token string) (family, verifier string, ok bool) {
	rest, ok := strings.CutPrefix(token, refreshPrefix)
	if !ok {
		return "", "", false
	}
	family, text, _ := strings.Cut(rest, ".")
	secret, ok := readSecret(text)
	if !ok || !validID(family) || !hmac.Equal(secret[markAt:], t.mark(family, secret[:markAt])) {
		return "", "", false
	}
	return family, t.verifier("refresh token", token), true
}

// NewAPIKey is a new API key of a user, to be shown once, and its verifier, which
// may be stored: gak_<user id>.<key id>.<256 random bits>. It fails for ids that
// NewRefresh would fail for.
func (t *Tokens) NewAPIKey(h Holder) (key, verifier string, err error) {
	if !validID(h.UserID) || !validID(h.KeyID) {
		return "", "", errID
	}
	key = apiKeyPrefix + h.UserID + "." + h.KeyID + "." + newSecret()
	return key, t.verifier("api key", key), nil
}

// ReadAPIKey takes an API key apart. That it can be says only that it has the form
// of one; the verifier proves it. A text of another form is taken for the operator's key, if there may be one.
func (t *Tokens) ReadAPIKey(key string) (userID, keyID, verifier string, ok bool) {
	rest, ours := strings.CutPrefix(key, apiKeyPrefix)
	if !ours {
		if t.operator == (Holder{}) || key == "" || len(key) > maxOperatorKey {
			return "", "", "", false
		}
		return t.operator.UserID, t.operator.KeyID, t.verifier("api key", key), true
	}
	userID, rest, _ = strings.Cut(rest, ".")
	keyID, secret, _ := strings.Cut(rest, ".")
	if !validID(userID) || !validID(keyID) {
		return "", "", "", false
	}
	if _, ok := readSecret(secret); !ok {
		return "", "", "", false
	}
	return userID, keyID, t.verifier("api key", key), true
}

func (t *Tokens) verifier(purpose, text string) string {
	sum := t.hash(purpose, []byte(text))
	return hex.EncodeToString(sum[:])
}

func newSecret() string {
	var b [secretBytes]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program rather
	return secretEncoding.EncodeToString(b[:])
}

// readSecret accepts what newSecret writes, to the letter: the decoder would skip
// line breaks.
func readSecret(text string) ([]byte, bool) {
	if len(text) != secretEncoding.EncodedLen(secretBytes) {
		return nil, false
	}
	b, err := secretEncoding.DecodeString(text)
	return b, err == nil && len(b) == secretBytes
}

func validID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
