package engine

import (
	"errors"
	"fmt"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// ErrStreamNotFound says that a stream was never written, or has been deleted
// and not written since.
var ErrStreamNotFound = errors.New("stream not found")

// InvalidError says that a request can never succeed, and why.
type InvalidError struct{ Reason string }

func (e *InvalidError) Error() string { return e.Reason }

func invalid(format string, args ...any) error {
	return &InvalidError{Reason: fmt.Sprintf(format, args...)}
}

// DeletedError says that a stream is closed for ever, or that it is deleted and
// the request expected it to exist.
type DeletedError struct{ Stream string }

func (e *DeletedError) Error() string { return fmt.Sprintf("stream %q is deleted", e.Stream) }

// ConflictError says that a stream is not where the request expected it.
type ConflictError struct {
	Stream   string
	Expected Expected
	// Current is the stream's last revision, or storage.NoRevision.
	Current int64
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("stream %q is at revision %d, expected %d", e.Stream, e.Current, e.Expected)
}

// TooLargeError says that an append is over the limit.
type TooLargeError struct{ Max int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the append is larger than %d bytes", e.Max)
}

// Expected is the revision that a write expects its stream to be at, or one of
// the constants below. The numbers are those that EventStoreDB shows.
type Expected int64

const (
	// Any makes no demand.
	Any Expected = -2
	// NoStream demands that the stream has no events.
	NoStream Expected = Expected(storage.NoRevision)
	// StreamExists demands that the stream has events or metadata.
	StreamExists Expected = -4
)
