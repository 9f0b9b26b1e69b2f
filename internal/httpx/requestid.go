package httpx

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/g4fagent/g4fagent/internal/fault"
)

// errIdempotencyKey refuses a key that could not be kept as it is.
var errIdempotencyKey = fault.New(fault.Invalid, "invalid_request",
	"The header Idempotency-Key takes 1 to 255 visible ASCII characters, once.").With("field", "Idempotency-Key")

// requestID is the client's X-Request-Id when it can stand in a header, a log
// line and an event as it is (1 to 128 visible ASCII characters, one value),
// else a new one.
func requestID(header http.Header) string {
	if ids := header["X-Request-Id"]; len(ids) == 1 && visible(ids[0], 128) {
		return ids[0]
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: the runtime ends the program instead
	return "req_" + hex.EncodeToString(id[:])
}

// idempotencyKey is the client's key, or empty when there is none.
func idempotencyKey(header http.Header) (string, error) {
	switch keys := header["Idempotency-Key"]; {
	case len(keys) == 0:
		return "", nil
	case len(keys) == 1 && visible(keys[0], 255):
		return keys[0], nil
	default:
		return "", errIdempotencyKey
	}
}

// keyed takes the key of a command; others have none. What is done about logins is
// never answered again: the answer holds secrets that are shown once.
func (x *exchange) keyed() (err error) {
	if x.operation.command && !strings.HasPrefix(x.operation.Path, "/auth/") {
		x.request.IdempotencyKey, err = idempotencyKey(x.r.Header)
	}
	return err
}

// traceID is the trace id of the client's traceparent (W3C Trace Context), or
// empty when there is none or it is malformed.
func traceID(header http.Header) string {
	if len(header["Traceparent"]) == 0 {
		return ""
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(header))
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return ""
	}
	return span.TraceID().String()
}

// visible reports whether text has 1 to limit characters, all of them visible
// ASCII.
func visible(text string, limit int) bool {
	if text == "" || len(text) > limit {
		return false
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
