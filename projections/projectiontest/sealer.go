package projectiontest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/g4fagent/g4fagent/eventschema"
)

// Sealer seals for real, with AES-256-GCM and a key per owner, so that whoever
// takes sealed text for plain text finds out. The zero Sealer is ready; it is
// safe for concurrent use.
type Sealer struct {
	mu   sync.Mutex
	keys map[string]cipher.AEAD // nil once destroyed
}

var _ eventschema.Sealer = (*Sealer)(nil)

// Seal encrypts plain under the owner's key.
func (s *Sealer) Seal(scope, owner string, plain []byte) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := scope + ":" + owner
	key, known := s.keys[name]
	if !known {
		fresh, err := newKey()
		if err != nil {
			return "", err
		}
		if s.keys == nil {
			s.keys = map[string]cipher.AEAD{}
		}
		s.keys[name], key = fresh, fresh
	}
	if key == nil {
		return "", erased{name}
	}
	sealed := key.Seal(nil, nil, plain, []byte(name))
	return "sealed." + base64.RawURLEncoding.EncodeToString([]byte(name)) + "." + base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Open decrypts what Seal returned.
func (s *Sealer) Open(sealed string) ([]byte, error) {
	parts := strings.Split(sealed, ".")
	if len(parts) != 3 || parts[0] != "sealed" {
		return nil, errors.New("open: the text was never sealed")
	}
	name, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	s.mu.Lock()
	key, known := s.keys[string(name)]
	s.mu.Unlock()
	switch {
	case !known:
		return nil, fmt.Errorf("open: there is no key for %s", name)
	case key == nil:
		return nil, erased{string(name)}
	}
	plain, err := key.Open(nil, nil, text, name)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return plain, nil
}

// Destroy destroys an owner's key: what was sealed with it reads as erased.
func (s *Sealer) Destroy(scope, owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[string]cipher.AEAD{}
	}
	s.keys[scope+":"+owner] = nil
}

type erased struct{ name string }

func (e erased) Error() string { return "the key of " + e.name + " was destroyed" }

// Erased tells package eventschema that the key is gone on purpose.
func (erased) Erased() bool { return true }

func newKey() (cipher.AEAD, error) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return aead, nil
}
