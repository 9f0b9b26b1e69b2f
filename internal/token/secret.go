package token

import (
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
	maxID       = 128
	// maxOperatorKey bounds a key that an operator chose.
	maxOperatorKey = 512
)

var (
	errID = errors.New("the id is empty, too long, or holds other than letters, digits, '_' and '-'")

	secretEncoding = base64.RawURLEncoding.Strict()
)

// NewRefresh is a new refresh token of a login family, to be shown once, and its
// verifier, which may be stored: rtk_<family>.<256 random bits>. It fails for a
// family whose id is not made of 1 to 128 letters, digits, '_' and '-'.
func (t *Tokens) NewRefresh(family string) (token, verifier string, err error) {
	if !validID(family) {
		return "", "", errID
	}
	token = refreshPrefix + family + "." + newSecret()
	return token, t.verifier("refresh token", token), nil
}

// ReadRefresh takes a refresh token apart. That it can be says only that it has
// the form of one; the verifier proves it.
//
// Verifiers are keyed hashes of the whole token. To compare them takes no
// constant time: nobody can choose what a guess hashes to.
func (t *Tokens) ReadRefresh(token string) (family, verifier string, ok bool) {
	rest, ok := strings.CutPrefix(token, refreshPrefix)
	if !ok {
		return "", "", false
	}
	family, secret, _ := strings.Cut(rest, ".")
	if !validID(family) || !isSecret(secret) {
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

// ReadAPIKey takes an API key apart, as ReadRefresh does a refresh token. A text
// of another form is taken for the operator's key, if there may be one.
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
	if !validID(userID) || !validID(keyID) || !isSecret(secret) {
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

// isSecret accepts what newSecret writes, to the letter: the decoder would skip
// line breaks.
func isSecret(text string) bool {
	if len(text) != secretEncoding.EncodedLen(secretBytes) {
		return false
	}
	b, err := secretEncoding.DecodeString(text)
	return err == nil && len(b) == secretBytes
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
