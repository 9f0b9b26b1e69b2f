// Package eventschematest has what tests of events need.
package eventschematest

import (
	"encoding/base64"
	"errors"
	"strings"
)

// Sealer seals so that a test can see what was sealed for whom. Erased names the
// owners whose keys are gone.
type Sealer struct{ Erased map[string]bool }

// Seal wraps plain in readable words.
func (Sealer) Seal(scope, owner string, plain []byte) (string, error) {
	return "sealed." + scope + "." + owner + "." + base64.RawURLEncoding.EncodeToString(plain), nil
}

// Open unwraps what Seal wrapped, and refuses everything else.
func (s Sealer) Open(sealed string) ([]byte, error) {
	parts := strings.Split(sealed, ".")
	if len(parts) != 4 || parts[0] != "sealed" {
		return nil, errors.New("not sealed: " + sealed)
	}
	if s.Erased[parts[2]] {
		return nil, erasedError{}
	}
	return base64.RawURLEncoding.DecodeString(parts[3])
}

type erasedError struct{}

func (erasedError) Error() string { return "the key was destroyed" }
func (erasedError) Erased() bool  { return true }
