package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/g4fagent/g4fagent/internal/fault"
)

// ErrConflict says that the stream has moved on since it was read. It never
// reaches a client: decide reads the new tail and decides again.
var ErrConflict = errors.New("the stream is not at the expected revision")

// ErrUnavailable says that the log could not be reached, or did not answer, within
// the log's own bounds. Unless it is ErrUnknown, nothing was appended.
var ErrUnavailable = fault.New(fault.Unavailable, "unavailable", "The event log cannot be reached at the moment.")

// ErrUnknown says that an append was sent and that nobody could find out in time
// what became of it. It matches ErrUnavailable. The same events, with the same
// ids at the same revision, may be appended again: they land once.
var ErrUnknown = fmt.Errorf("the outcome of the append is unknown: %w", ErrUnavailable)

// ErrFull says that the log refuses appends because its disk is nearly full.
// Reads go on.
var ErrFull = fault.New(fault.Unavailable, "storage_full", "The event log's disk is full. Reads go on; free some space and try again.")

// ErrTooLarge says that the events of one command do not fit into one append.
var ErrTooLarge = fault.New(fault.TooLarge, "payload_too_large", "The request is too large to be stored as one change.")

// errBound says that the client held a call beyond the bound that it was given,
// whatever its context said.
var errBound = errors.New("the log's client did not return in time")

// errUnsent says that there was no server to make a request to.
var errUnsent = fmt.Errorf("the request was not sent: %w", ErrUnavailable)

// settled is err as callers get it. Only their own leaving is an error of their
// context; a bound of ours that is over says that the log is away.
func settled(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, ErrUnavailable) && !connectionLost(err) && !interrupted(err):
		return err
	case gone(ctx):
		return ctx.Err()
	default:
		return ErrUnavailable
	}
}

// interrupted reports whether a context ended the call, whoever's it was.
func interrupted(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || statusOf(err) == codes.Canceled
}

// connectionLost reports whether err says that the client, not the call, is
// broken: another client must be made before anything else is asked.
func connectionLost(err error) bool {
	if errors.Is(err, errBound) {
		return true
	}
	if e, ok := errors.AsType[*esdb.Error](err); ok {
		switch e.Code() {
		case esdb.ErrorCodeConnectionClosed, esdb.ErrorUnavailable, esdb.ErrorCodeDeadlineExceeded, esdb.ErrorCodeNotLeader:
			return true
		default: // some arrive under other codes, and tell by their status
		}
	}
	code := statusOf(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded
}

// statusOf is the gRPC status somewhere under err; the client wraps many errors
// as "unknown".
func statusOf(err error) codes.Code {
	for ; err != nil; err = errors.Unwrap(err) {
		if s, ok := status.FromError(err); ok {
			return s.Code()
		}
	}
	return codes.OK
}

func isCode(err error, code esdb.ErrorCode) bool {
	e, ok := errors.AsType[*esdb.Error](err)
	return ok && e.Code() == code
}

// gone reports whether the caller itself gave up.
func gone(ctx context.Context) bool { return ctx.Err() != nil }
