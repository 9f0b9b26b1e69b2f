package conformance

import (
	"context"
	"errors"
	"time"
)

// Client is an event store as one of its clients shows it. Its errors match one
// of the errors below where that client lets it be known. It is used by many
// goroutines at once.
type Client interface {
	Groups

	// Append appends to a stream, all or none, and must not repeat what fails.
	Append(ctx context.Context, stream string, expected Expected, events ...Event) (Receipt, error)
	// Read reads a stream, or All, once.
	Read(ctx context.Context, stream string, r Read) ([]Resolved, error)
	// Subscribe follows a stream, or All, until ctx ends or it is closed.
	Subscribe(ctx context.Context, stream string, s Subscribe) (Subscription, error)
	// Delete deletes a stream softly, and Tombstone for ever. They give the
	// position of the event that says so.
	Delete(ctx context.Context, stream string, expected Expected) (Position, error)
	Tombstone(ctx context.Context, stream string, expected Expected) (Position, error)
	SetMetadata(ctx context.Context, stream string, expected Expected, m Metadata) (Receipt, error)
	Metadata(ctx context.Context, stream string) (Metadata, error)
}

// What an operation may fail with.
var (
	// ErrConflict is an append whose stream is elsewhere.
	ErrConflict = errors.New("wrong expected version")
	// ErrPrecondition is a deletion whose stream is elsewhere, how a subscription
	// ends when its stream is closed, and a consumer too many.
	ErrPrecondition = errors.New("failed precondition")
	// ErrDeleted is any operation on a stream that is closed.
	ErrDeleted = errors.New("stream deleted")
	// ErrNotFound is the reading of a stream that is not there, or a group that
	// is not, and ErrExists the making of one that is.
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("already exists")
	// ErrInvalid is a request that can never succeed.
	ErrInvalid = errors.New("invalid argument")
	// ErrDeadline is a call that took too long.
	ErrDeadline = errors.New("deadline exceeded")
)

// All is the whole log, in place of a stream's name.
const All = "$all"

// Everything is a count that no reading reaches.
const Everything = 1 << 62

// TombstoneRevision is the revision of the event that closes a stream.
const TombstoneRevision = 1<<63 - 1

// Expected is the revision that a write expects its stream to be at, or one of
// the constants below.
type Expected int64

// What else a write may expect.
const (
	Any          Expected = -2
	NoStream     Expected = -1
	StreamExists Expected = -4
)

// Position is a place in the log. Positions are ordered by Commit first.
type Position struct{ Commit, Prepare uint64 }

// Before tells whether p comes before q in the log.
func (p Position) Before(q Position) bool {
	return p.Commit < q.Commit || p.Commit == q.Commit && p.Prepare < q.Prepare
}

// Receipt is the answer to an append: where its last event is.
type Receipt struct {
	Revision uint64
	Position Position
}

// Event is an event as it is appended.
type Event struct {
	ID             [16]byte
	Type           string
	JSON           bool // else binary
	Data, Metadata []byte
}

// Recorded is an event as it is read.
type Recorded struct {
	Event

	Stream   string
	Revision uint64
	Position Position
	Created  time.Time
}

// Resolved is an event as a reader gets it. When links are resolved, a link is
// given as Link, and its target as Event if it can still be shown.
type Resolved struct{ Event, Link *Recorded }

// Original is the event that was read: the link, if it is one.
func (r Resolved) Original() *Recorded {
	if r.Link != nil {
		return r.Link
	}
	return r.Event
}

// Place is where a reading or a subscription begins: at one of these, or, as the
// zero value, at the start.
type Place struct {
	Revision *uint64   // of a stream
	Position *Position // of the log
	End      bool
}

// AtRevision is a place in a stream.
func AtRevision(n uint64) Place { return Place{Revision: &n} }

// AtPosition is a place in the log.
func AtPosition(p Position) Place { return Place{Position: &p} }

// AtEnd is the place after all that is there.
func AtEnd() Place { return Place{End: true} }

// Read describes a reading.
type Read struct {
	From         Place
	Backwards    bool
	Count        uint64
	ResolveLinks bool
}

// Subscribe describes a subscription. A filter is for All only.
type Subscribe struct {
	From         Place
	ResolveLinks bool
	Filter       *Filter
}

// Filter says which events are wanted: by type or by stream, by a regular
// expression or else by any of several prefixes. There is a checkpoint for every
// Window × Interval events that are considered.
type Filter struct {
	ByStream         bool
	Regex            string
	Prefixes         []string
	Window, Interval int
}

// Subscription is an open subscription.
type Subscription interface {
	// Next waits for the next message. After Dropped there are no more.
	Next() Message
	// Close ends it. It may be called more than once.
	Close()
}

// Kind says what a Message is.
type Kind string

// The kinds of message.
const (
	Appeared   Kind = "event"
	CaughtUp   Kind = "caught up"
	Checkpoint Kind = "checkpoint"
	Dropped    Kind = "dropped"
	Unknown    Kind = "something else"
)

// Message is what comes next of a subscription.
type Message struct {
	Kind     Kind
	Resolved Resolved // of Appeared
	Position Position // of Checkpoint
	Err      error    // of Dropped
}

// Metadata is a stream's metadata. What is nil is not set.
type Metadata struct {
	MaxCount, TruncateBefore *uint64
	MaxAge                   *time.Duration
	ReadRoles                []string
	Custom                   map[string]string
}
