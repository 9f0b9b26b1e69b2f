package password

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"
)

// generatedBytes make 160 bits: 32 letters and digits.
const generatedBytes = 20

// Generate is a password of 160 random bits for an account that nobody chose one
// for, to be shown once. It is read aloud and typed easily: eight groups of four,
// in lower case, without 0, 1, 8 and 9, which look like letters.
func Generate() (string, error) {
	b := make([]byte, generatedBytes)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("draw a password: %w", err)
	}
	text := strings.ToLower(base32.StdEncoding.EncodeToString(b))
	var groups []string
	for ; text != ""; text = text[4:] {
		groups = append(groups, text[:4])
	}
	return strings.Join(groups, "-"), nil
}
