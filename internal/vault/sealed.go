package vault

import (
	"encoding/base64"
	"strings"
)

const sealedVersion = "v1"

// encoding is strict: each ciphertext has one text, so that a changed text is
// never a valid one.
var encoding = base64.RawURLEncoding.Strict()

// sealedText is a sealed text in its parts.
type sealedText struct {
	name   Name
	header string
	body   []byte
}

// headerOf is what comes before the ciphertext. Owners hold no dots.
func headerOf(name Name, keyID string) string {
	return sealedVersion + "." + name.Scope + "." + name.Owner + "." + keyID + "."
}

func parseSealed(text string) (sealedText, error) {
	version, rest, _ := strings.Cut(text, ".")
	scope, rest, _ := strings.Cut(rest, ".")
	owner, rest, _ := strings.Cut(rest, ".")
	_, encoded, ok := strings.Cut(rest, ".")
	if !ok || version != sealedVersion {
		return sealedText{}, ErrNotSealed
	}
	name, err := nameOf(scope, owner)
	if err != nil {
		return sealedText{}, ErrNotSealed
	}
	body, err := encoding.DecodeString(encoded)
	// The decoder ignores line breaks; a text with some is not ours.
	if err != nil || encoding.EncodedLen(len(body)) != len(encoded) {
		return sealedText{}, ErrNotSealed
	}
	return sealedText{name: name, header: text[:len(text)-len(encoded)], body: body}, nil
}

func (k *dataKey) seal(plain []byte) string {
	body := k.aead.Seal(make([]byte, 0, len(plain)+k.aead.Overhead()), nil, plain, k.header)
	text := make([]byte, 0, len(k.header)+encoding.EncodedLen(len(body)))
	return string(encoding.AppendEncode(append(text, k.header...), body))
}

func (k *dataKey) open(t sealedText) ([]byte, error) {
	if t.header != string(k.header) {
		// The owner has another key than the one this was sealed under.
		return nil, ErrUnknownKey
	}
	plain, err := k.aead.Open(t.body[:0], nil, t.body, k.header)
	if err != nil {
		return nil, ErrNotSealed
	}
	return plain, nil
}
