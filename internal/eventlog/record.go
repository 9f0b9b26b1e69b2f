// Package eventlog is the log as the rest of the house sees it: append with an
// expected revision, read a stream, follow everything. It reaches the log only
// through the official client, and survives outages of any length.
package eventlog

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/g4fagent/g4fagent/eventschema"
)

// Expected revisions that are no revision.
const (
	// NoStream is the revision of a stream that does not exist yet.
	NoStream int64 = -1
	// Any appends whatever the stream's revision is. Only activity streams use
	// it: they have no state that a decision could rest on.
	Any int64 = -2
)

// Position is a place in the whole log, commit before prepare. It is opaque to
// clients; the zero Position is before every event.
type Position struct{ Commit, Prepare uint64 }

// Compare orders positions lexicographically.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Commit, q.Commit), cmp.Compare(p.Prepare, q.Prepare))
}

// Less reports whether p comes before q.
func (p Position) Less(q Position) bool { return p.Compare(q) < 0 }

// IsZero reports whether p is before every event.
func (p Position) IsZero() bool { return p == Position{} }

// String is the position as clients see it; ParsePosition reads it.
func (p Position) String() string {
	if p.Commit == p.Prepare {
		return strconv.FormatUint(p.Commit, 10)
	}
	return strconv.FormatUint(p.Commit, 10) + "." + strconv.FormatUint(p.Prepare, 10)
}

// ParsePosition reads what String wrote.
func ParsePosition(s string) (Position, error) {
	commit, prepare, two := strings.Cut(s, ".")
	c, err := strconv.ParseUint(commit, 10, 63)
	if err != nil {
		return Position{}, fmt.Errorf("parse log position %q: %w", s, err)
	}
	if !two {
		return Position{c, c}, nil
	}
	p, err := strconv.ParseUint(prepare, 10, 63)
	if err != nil {
		return Position{}, fmt.Errorf("parse log position %q: %w", s, err)
	}
	return Position{c, p}, nil
}

// known turns what a server may send for "none" into the zero Position.
func known(commit, prepare uint64) Position {
	if commit > math.MaxInt64 || prepare > math.MaxInt64 {
		return Position{}
	}
	return Position{commit, prepare}
}

// Meta is what an event's metadata says: who, when, under which request.
type Meta struct {
	SchemaVersion  int       `json:"schema_version"`
	At             time.Time `json:"ts"`
	ActorUserID    string    `json:"actor_user_id"`
	ActorKind      string    `json:"actor_kind"`
	CredentialID   string    `json:"credential_id,omitempty"`
	RequestID      string    `json:"request_id,omitempty"`
	IP             string    `json:"ip,omitempty"`
	ProjectID      string    `json:"project_id,omitempty"`
	CorrelationID  string    `json:"$correlationId,omitempty"`
	CausationID    string    `json:"$causationId,omitempty"`
	IdempotencyKey string    `json:"idempotency_key,omitempty"`
	InputHash      string    `json:"input_hash,omitempty"`
}

// Record is one event in the log, with what the log knows about it.
type Record struct {
	ID       uuid.UUID
	Stream   string
	Revision int64
	// Position is zero when the server does not tell positions in stream reads.
	Position Position
	Meta     Meta
	Stored   eventschema.Stored
}

// Event is an event about to be appended. Its ID is made once, before the first
// attempt: an append whose outcome is unknown is recognised by it.
type Event struct {
	ID     uuid.UUID
	Stored eventschema.Stored
	Meta   Meta
}

// Receipt says where an append's last event is.
type Receipt struct {
	Revision int64
	Position Position
}

// lenient accepts what encoding/json does, which other programs write metadata
// with.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// parseMeta reads custom metadata. An event that is not ours has none of our
// fields, and version 0, which no catalogue decodes.
func parseMeta(raw []byte) (Meta, error) {
	var m Meta
	if len(raw) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(raw, &m, lenient); err != nil {
		return Meta{}, fmt.Errorf("read event metadata: %w", err)
	}
	return m, nil
}
