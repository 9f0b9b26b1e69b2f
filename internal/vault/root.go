package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
)

// root is what derives from the installation key by HKDF-SHA256 (RFC 5869): one
// key a use, so that none says anything about another.
type root struct {
	prk      []byte
	wrapping cipher.AEAD
	hmacKey  [32]byte
	verifier [32]byte
}

func deriveRoot(master [32]byte) (root, error) {
	prk, err := hkdf.Extract(sha256.New, master[:], []byte("g4fagent vault v1"))
	if err != nil {
		return root{}, fmt.Errorf("derive keys: %w", err)
	}
	r := root{prk: prk}
	wrapping := r.expand("wrap data keys")
	r.hmacKey = r.expand("keyed hashes")
	r.verifier = r.expand("recognise the installation key")
	r.wrapping, err = newAEAD(wrapping[:])
	return r, err
}

func (r root) expand(info string) [32]byte {
	key, err := hkdf.Expand(sha256.New, r.prk, info, 32)
	if err != nil {
		panic("vault: " + err.Error()) // only for a length that SHA-256 cannot give
	}
	return [32]byte(key)
}

// newAEAD is AES-256-GCM with a random 96-bit nonce before each ciphertext. By
// NIST SP 800-38D, 8.3, a key is good for 2^32 messages.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	return aead, nil
}

// keyIDBytes is the length of a data key's random id. The id tells the key of an
// owner from one that was made after the first was lost.
const keyIDBytes = 4

// newWrapped is a new data key as it is stored: its id, then the key encrypted
// by the installation's, bound to its owner and id.
func (r root) newWrapped(name Name) ([]byte, error) {
	material := make([]byte, keyIDBytes+32)
	if _, err := rand.Read(material); err != nil {
		return nil, fmt.Errorf("make a data key: %w", err)
	}
	id, key := material[:keyIDBytes], material[keyIDBytes:]
	return r.wrapping.Seal(id[:keyIDBytes:keyIDBytes], nil, key, wrapContext(name, id)), nil
}

func (r root) unwrap(name Name, wrapped []byte) (*dataKey, error) {
	if len(wrapped) < keyIDBytes {
		return nil, ErrDamagedKey
	}
	id, sealed := wrapped[:keyIDBytes], wrapped[keyIDBytes:]
	key, err := r.wrapping.Open(nil, nil, sealed, wrapContext(name, id))
	if err != nil || len(key) != 32 {
		return nil, ErrDamagedKey
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return &dataKey{header: []byte(headerOf(name, hex.EncodeToString(id))), aead: aead}, nil
}

// wrapContext binds a wrapped key to where it belongs. No part of it but the
// fixed-length id can hold a dot.
func wrapContext(name Name, id []byte) []byte {
	return append([]byte("data key."+name.Scope+"."+name.Owner+"."), id...)
}

// HMAC is a keyed hash, HMAC-SHA256, of parts for one purpose. Each part counts
// by itself: ("ab", "c") and ("a", "bc") differ. It is for ever the same for an
// installation and says nothing to who has not its key.
func (v *Vault) HMAC(purpose string, parts ...[]byte) [32]byte {
	h, _ := v.hashes.Get().(*keyedHash)
	defer v.hashes.Put(h)
	h.Reset()
	h.scratch = append(binary.BigEndian.AppendUint64(h.scratch[:0], uint64(len(purpose))), purpose...)
	h.Write(h.scratch)
	for _, part := range parts {
		h.scratch = binary.BigEndian.AppendUint64(h.scratch[:0], uint64(len(part)))
		h.Write(h.scratch)
		h.Write(part)
	}
	h.scratch = h.Sum(h.scratch[:0])
	return [32]byte(h.scratch)
}

// HMACHex is HMAC as 64 lower-case hex digits.
func (v *Vault) HMACHex(purpose string, parts ...[]byte) string {
	sum := v.HMAC(purpose, parts...)
	return hex.EncodeToString(sum[:])
}

// DeriveKey is a key for one purpose, such as signing tokens: always the same
// for an installation and unrelated to every other key.
func (v *Vault) DeriveKey(purpose string) [32]byte { return v.root.expand("derived: " + purpose) }

// keyedHash is reused: keying one costs more than a short hash.
type keyedHash struct {
	hash.Hash
	scratch []byte
}

func (r root) newKeyedHash() any {
	return &keyedHash{Hash: hmac.New(sha256.New, r.hmacKey[:]), scratch: make([]byte, 0, 64)}
}
