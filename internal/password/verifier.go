// Package password proves passwords without keeping them: Argon2id verifiers,
// the rules for new passwords, and the throttle of guesses.
package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// parameters are what an Argon2id hash costs (RFC 9106).
type parameters struct {
	// memory is in KiB.
	memory  uint32
	passes  uint32
	threads uint8
}

// current is the cost of new verifiers: 19 MiB, two passes, one thread, as the
// OWASP Password Storage Cheat Sheet recommends for Argon2id.
var current = parameters{memory: 19 << 10, passes: 2, threads: 1}

const (
	saltBytes = 16
	hashBytes = 32
)

// ErrMalformedVerifier says that a stored verifier cannot be read.
var ErrMalformedVerifier = errors.New("the password's verifier is malformed")

// encoding is that of PHC strings: standard base64 without padding.
var encoding = base64.RawStdEncoding.Strict()

// verifier is a hash with all that is needed to compute it again.
type verifier struct {
	parameters

	salt []byte
	hash []byte
}

func newVerifier(password string) (verifier, error) {
	v := verifier{parameters: current, salt: make([]byte, saltBytes)}
	if _, err := rand.Read(v.salt); err != nil {
		return verifier{}, fmt.Errorf("draw a salt: %w", err)
	}
	v.hash = v.of(password, hashBytes)
	return v, nil
}

// of is the hash of a password by v's salt and parameters. Equal passwords that
// keyboards write differently are one (NFKC, as NIST SP 800-63B asks).
func (v verifier) of(password string, length int) []byte {
	return argon2.IDKey(norm.NFKC.AppendString(nil, password), v.salt, v.passes, v.memory, v.threads, uint32(length)) //nolint:gosec // at most 64
}

// matches takes the same time whatever the password has in common with the right
// one.
func (v verifier) matches(password string) bool {
	return subtle.ConstantTimeCompare(v.of(password, len(v.hash)), v.hash) == 1
}

// String is v in the PHC string format:
//
//	$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>
func (v verifier) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, v.memory, v.passes, v.threads,
		encoding.EncodeToString(v.salt), encoding.EncodeToString(v.hash))
}

// parse reads what String wrote, by this release or another. Costs that would
// take the machine down, and those that argon2 panics at, are malformed.
func parse(text string) (verifier, error) {
	fields := strings.Split(text, "$")
	if len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" || fields[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return verifier{}, ErrMalformedVerifier
	}
	var v verifier
	if _, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &v.memory, &v.passes, &v.threads); err != nil {
		return verifier{}, ErrMalformedVerifier
	}
	var err error
	if v.salt, err = encoding.DecodeString(fields[4]); err != nil {
		return verifier{}, ErrMalformedVerifier
	}
	if v.hash, err = encoding.DecodeString(fields[5]); err != nil {
		return verifier{}, ErrMalformedVerifier
	}
	// Sscanf and the decoder are lenient; what String would not write is not ours.
	if !v.bounded() || v.String() != text {
		return verifier{}, ErrMalformedVerifier
	}
	return v, nil
}

func (v verifier) bounded() bool {
	return v.memory >= 8 && v.memory <= 256<<10 && v.passes >= 1 && v.passes <= 16 && v.threads >= 1 && v.threads <= 16 &&
		len(v.salt) >= 8 && len(v.salt) <= 64 && len(v.hash) >= 16 && len(v.hash) <= 64
}
