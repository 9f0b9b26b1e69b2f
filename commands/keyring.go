package commands

import (
	"encoding/json"
	"slices"

	"github.com/g4fagent/g4fagent/internal/eventlog"
)

const (
	// ringSize is how many keyed commands a stream's state remembers at least.
	ringSize  = 256
	keyWeight = 160 // bytes of one
)

// keyRing remembers the keyed commands of a stream, newest first. It is an
// immutable list, so that states share it; nil remembers none.
type keyRing struct {
	key, input string
	revision   int64
	position   eventlog.Position
	older      *keyRing
	n          int // with the older ones
	// forgot says that the stream had keyed commands before the oldest one here.
	forgot bool
}

func (k *keyRing) len() int {
	if k == nil {
		return 0
	}
	return k.n
}

// complete reports whether the ring holds every keyed command of the stream.
func (k *keyRing) complete() bool { return k == nil || !k.forgot }

// with adds a command whose first event is at revision. The further events of
// the same command are no news.
func (k *keyRing) with(key, input string, revision int64, at eventlog.Position) *keyRing {
	if k != nil && k.key == key {
		return k
	}
	if k.len() >= 2*ringSize {
		k = k.trimmed()
	}
	return &keyRing{key: key, input: input, revision: revision, position: at, older: k, n: k.len() + 1, forgot: !k.complete()}
}

// find returns the command with a key.
func (k *keyRing) find(key string) (*keyRing, bool) {
	for ; k != nil; k = k.older {
		if k.key == key {
			return k, true
		}
	}
	return nil, false
}

// oldest is the position of the oldest command that the ring remembers, or of the
// oldest one whose position is known. It is zero when none is.
func (k *keyRing) oldest() eventlog.Position {
	var p eventlog.Position
	for ; k != nil; k = k.older {
		if !k.position.IsZero() {
			p = k.position
		}
	}
	return p
}

// trimmed is the newest half, copied: sharing it would keep the older half alive.
func (k *keyRing) trimmed() *keyRing {
	var newest []*keyRing
	for ; k != nil && len(newest) < ringSize; k = k.older {
		newest = append(newest, k)
	}
	var ring *keyRing
	for _, e := range slices.Backward(newest) {
		ring = &keyRing{key: e.key, input: e.input, revision: e.revision, position: e.position, older: ring, n: ring.len() + 1, forgot: true}
	}
	return ring
}

type keyEntry struct {
	Key      string
	Input    string
	Revision int64
	Position eventlog.Position
}

type keyList struct {
	Forgot  bool
	Entries []keyEntry // oldest first
}

// MarshalJSON writes a flat list, for snapshots.
func (k *keyRing) MarshalJSON() ([]byte, error) {
	list := keyList{Forgot: !k.complete()}
	for ; k != nil; k = k.older {
		list.Entries = append(list.Entries, keyEntry{k.key, k.input, k.revision, k.position})
	}
	slices.Reverse(list.Entries)
	return json.Marshal(list)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (k *keyRing) UnmarshalJSON(raw []byte) error {
	var list keyList
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	var ring *keyRing
	for _, e := range list.Entries {
		ring = &keyRing{key: e.Key, input: e.Input, revision: e.Revision, position: e.Position, older: ring, n: ring.len() + 1, forgot: list.Forgot}
	}
	if ring != nil {
		*k = *ring
	}
	return nil
}
