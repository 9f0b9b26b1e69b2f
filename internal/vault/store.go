package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Name says whose key it is.
type Name struct {
	Scope string
	Owner string
}

// String is for messages.
func (n Name) String() string { return strings.TrimSpace(n.Scope + " " + n.Owner) }

// verifierName is where a store keeps what the installation key is recognised by.
var verifierName = Name{Scope: "installation", Owner: "verifier"}

// Store keeps wrapped keys and remembers which ones were destroyed. Its methods
// may be called from several goroutines, and what they return is durable. The
// bytes are opaque to it.
type Store interface {
	// Load returns the key. It fails with ErrUnknownKey when there never was one,
	// and with ErrErased when it was destroyed.
	Load(ctx context.Context, name Name) (wrapped []byte, err error)
	// Create stores a key unless there is one, and returns the one that is there
	// then: of several callers, on several nodes, the first wins and all get its
	// key. It fails with ErrErased when the key was destroyed.
	Create(ctx context.Context, name Name, wrapped []byte) (stored []byte, err error)
	// Erase destroys the key, leaving no copy within its reach, and remembers for
	// ever that it did. It may be repeated.
	Erase(ctx context.Context, name Name) error
}

// Errors that callers tell apart.
var (
	// ErrErased says that the key was destroyed on purpose. It has a method
	// Erased that reports true.
	ErrErased error = erasedError{}
	// ErrUnknownKey says that a key is missing which nobody destroyed.
	ErrUnknownKey = errors.New("the key is missing although nobody erased it: restore the key store from its backup")
	// ErrDamagedKey says that a stored key cannot be unwrapped.
	ErrDamagedKey = errors.New("the stored key is damaged: restore the key store from its backup")
	// ErrNotSealed says that a text was not sealed here, or was changed since.
	ErrNotSealed = errors.New("the text was not sealed by this vault, or was changed since")
	// ErrWrongInstallationKey says that the stored keys belong to another
	// installation key.
	ErrWrongInstallationKey = errors.New("the installation key is not the one that the stored keys were wrapped with: " +
		"give the original one, or restore its file from the backup")
	// ErrNoInstallationKey says that there are stored keys but no key file.
	ErrNoInstallationKey = errors.New("the installation key's file is missing, but there are keys that were wrapped with it: " +
		"restore the file from the backup, or give the key itself")
)

type erasedError struct{}

func (erasedError) Error() string { return "the key was erased" }

// Erased tells packages that do not import this one.
func (erasedError) Erased() bool { return true }

// maxOwner bounds an owner's id, which becomes a file's name.
const maxOwner = 128

// nameOf checks what comes from outside. Ids are lower-case: file systems that
// fold case would take two of them for one.
func nameOf(scope, owner string) (Name, error) {
	switch scope {
	case ScopeUser, ScopeProject:
		if owner == "" {
			return Name{}, fmt.Errorf("the scope %q needs an owner", scope)
		}
	case ScopeSecret:
		if owner != "" {
			return Name{}, fmt.Errorf("the scope %q has no owner", scope)
		}
	default:
		return Name{}, fmt.Errorf("there is no scope %q", scope)
	}
	if !validOwner(owner) {
		return Name{}, fmt.Errorf("%q cannot own a key: an id is at most %d of a-z, 0-9, '_' and '-'", owner, maxOwner)
	}
	return Name{Scope: scope, Owner: owner}, nil
}

func validOwner(owner string) bool {
	if len(owner) > maxOwner {
		return false
	}
	for i := range len(owner) {
		c := owner[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
