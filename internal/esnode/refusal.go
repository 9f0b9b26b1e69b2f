package esnode

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/g4fagent/g4fagent/internal/esnode/engine"
	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// The trailers by which EventStoreDB's clients know an error. A client panics
// on a stream-deleted without a stream-name.
const (
	exceptionKey       = "exception"
	streamNameKey      = "stream-name"
	expectedVersionKey = "expected-version"
	actualVersionKey   = "actual-version"
	maxAppendSizeKey   = "maximum-append-size"
	requiredKey        = "required-metadata-properties"

	streamDeleted        = "stream-deleted"
	wrongExpectedVersion = "wrong-expected-version"
	appendTooLarge       = "maximum-append-size-exceeded"
	missingProperty      = "missing-required-metadata-property"
)

var (
	errStopping        = status.Error(codes.Unavailable, "the event store is shutting down")
	errMissingProperty = errors.New("an event needs the metadata properties type and content-type")
)

// refusal is what a caller gets for an error: trailers, and a status.
func refusal(err error) (metadata.MD, error) {
	if e, ok := errors.AsType[*engine.DeletedError](err); ok {
		return metadata.Pairs(exceptionKey, streamDeleted, streamNameKey, headerText(e.Stream)),
			status.Error(codes.FailedPrecondition, e.Error())
	}
	if e, ok := errors.AsType[*engine.ConflictError](err); ok {
		return metadata.Pairs(
			exceptionKey, wrongExpectedVersion,
			streamNameKey, headerText(e.Stream),
			expectedVersionKey, strconv.FormatInt(int64(e.Expected), 10),
			actualVersionKey, strconv.FormatInt(e.Current, 10),
		), status.Error(codes.FailedPrecondition, e.Error())
	}
	if e, ok := errors.AsType[*engine.TooLargeError](err); ok {
		return metadata.Pairs(exceptionKey, appendTooLarge, maxAppendSizeKey, strconv.Itoa(e.Max)),
			status.Error(codes.InvalidArgument, e.Error())
	}
	if errors.Is(err, errMissingProperty) {
		return metadata.Pairs(exceptionKey, missingProperty, requiredKey, "type,content-type"),
			status.Error(codes.InvalidArgument, err.Error())
	}
	if e, ok := errors.AsType[*engine.InvalidError](err); ok {
		return nil, status.Error(codes.InvalidArgument, e.Error())
	}
	return nil, status.Error(code(err), err.Error())
}

func code(err error) codes.Code {
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	switch {
	case errors.Is(err, storage.ErrCorrupt):
		return codes.DataLoss
	case errors.Is(err, storage.ErrFull):
		return codes.ResourceExhausted
	case errors.Is(err, storage.ErrClosed):
		return codes.Unavailable
	case errors.Is(err, storage.ErrFailed):
		// What was being written may or may not be there after a restart.
		return codes.Aborted
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	default:
		return codes.Internal
	}
}

// headerText makes a stream's name fit for a trailer, where only printable ASCII
// may be: one control character in it would end the whole connection.
func headerText(name string) string {
	fits := func(c byte) bool { return c >= ' ' && c <= '~' && c != '%' }
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; fits(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
