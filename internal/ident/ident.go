// Package ident makes the ids of everything the API names: a prefix, an
// underscore and lower-case hex digits. Clients treat them as opaque.
package ident

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Sum is a keyed hash, such as the vault's HMAC.
type Sum func(purpose string, parts ...[]byte) [32]byte

// New is a fresh id: a UUIDv7 (RFC 9562), so that ids made later sort later.
func New(prefix string) (string, error) {
	u, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	return format(prefix, u), nil
}

// FromSum is the id that a keyed hash determines, as a UUIDv8: a creation that
// is retried under the same idempotency key meets itself.
func FromSum(prefix string, sum [32]byte) string {
	var u uuid.UUID
	copy(u[:], sum[:16])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return format(prefix, u)
}

func format(prefix string, u uuid.UUID) string { return prefix + "_" + hex.EncodeToString(u[:]) }

// Within makes id, a fresh one of the form prefix_hex, recognisable as made for
// parent: its last 12 digits become a keyed hash of the rest and the parent.
// Nobody without the key can name an id that IsWithin accepts.
func Within(sum Sum, parent, id string) string {
	head := id[:len(id)-tagDigits]
	return head + tag(sum, parent, head)
}

// IsWithin reports whether Within made id for parent.
func IsWithin(sum Sum, parent, id string) bool {
	if len(id) <= tagDigits {
		return false
	}
	head := id[:len(id)-tagDigits]
	return id[len(head):] == tag(sum, parent, head)
}

const tagDigits = 12

func tag(sum Sum, parent, head string) string {
	s := sum("id within", []byte(parent), []byte(head))
	return hex.EncodeToString(s[:tagDigits/2])
}

// RunOf makes the id of a run: it carries its session's id, so that a run's
// stream is known without a lookup, and is recognisable as made for it.
func RunOf(sum Sum, sessionID, id string) string {
	return Within(sum, sessionID, "run_"+digits(sessionID)+digits(id))
}

// SessionOf is the session that RunOf made runID for. It reports false for what
// no server with this key handed out.
func SessionOf(sum Sum, runID string) (string, bool) {
	d, ok := strings.CutPrefix(runID, "run_")
	if !ok || len(d) != 64 {
		return "", false
	}
	session := "sess_" + d[:32]
	return session, IsWithin(sum, session, runID)
}

func digits(id string) string {
	_, d, _ := strings.Cut(id, "_")
	return d
}
