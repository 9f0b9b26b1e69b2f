package httpx

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/g4fagent/g4fagent/internal/fault"
)

// ErrUnauthorized is the one answer to everybody who is not identified: no
// credentials, malformed, unknown or expired ones, a user that is disabled or
// gone. Authenticate hooks return it, so that these look the same.
var ErrUnauthorized = fault.New(fault.Unauthorized, "unauthorized", "This needs valid credentials.")

var (
	errForbidden        = fault.New(fault.Forbidden, "forbidden", "Your roles do not allow this.")
	errNotFound         = fault.New(fault.NotFound, "not_found", "There is nothing at this path.")
	errMethodNotAllowed = fault.New(fault.MethodNotAllowed, "method_not_allowed", "This path does not take this method.")
	errInternal         = fault.New(fault.Internal, "internal_error", "Something went wrong on our side. The request id leads us to it.")
	errBusy             = fault.New(fault.Unavailable, "unavailable", "The server is busy. Try again shortly.").After(time.Second)
	errTooSlow          = fault.New(fault.Unavailable, "unavailable", "This took too long. Try again.").After(time.Second)
	errLeft             = fault.New(fault.Unavailable, "unavailable", "The request was given up.").After(time.Second)
)

// statusLeft stands in logs and metrics for an answer that nobody waited for. It
// is nginx's, and never sent.
const statusLeft = 499

// status is the only place that turns a kind of error into an HTTP status.
func status(kind fault.Kind) int {
	switch kind {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.Unauthorized:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case fault.Conflict:
		return http.StatusConflict
	case fault.Precondition:
		return http.StatusPreconditionFailed
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.RateLimited:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.NotImplemented:
		return http.StatusNotImplemented
	default:
		return http.StatusInternalServerError
	}
}

// classify is what a client may be told about err. What nobody classified, and
// every error of ours, becomes a fixed text: its cause is for the log.
func classify(ctx context.Context, err error) *fault.Error {
	known, ok := errors.AsType[*fault.Error](err)
	switch {
	case ok && known.Kind != fault.Internal:
		return known
	case ok:
		return fault.New(fault.Internal, known.Code, errInternal.Text)
	case errors.Is(context.Cause(ctx), errTooSlow):
		return errTooSlow
	case ctx.Err() != nil:
		return errLeft
	default:
		return errInternal
	}
}

// envelope is the error body that every client knows.
type envelope struct {
	Error envelopeError `json:"error"`
}

type envelopeError struct {
	Code      string         `json:"code"`
	Message   string         `json:"message"`
	RequestID string         `json:"request_id"`
	Retryable bool           `json:"retryable"`
	Details   map[string]any `json:"details,omitzero"`
}

// problem is the same as an RFC 9457 problem, for clients that ask for it. Its
// type is about:blank: the code says which problem it is.
type problem struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail"`
	Code      string         `json:"code"`
	RequestID string         `json:"request_id"`
	Retryable bool           `json:"retryable"`
	Details   map[string]any `json:"details,omitzero"`
}

// answer answers err through w, unless the response has begun: then the client
// cannot be told any more, and where it would take what it got for the whole
// answer, the connection is cut.
func (e *edge) answer(x *exchange, w http.ResponseWriter, err error) {
	known := classify(x.ctx, err)
	code := status(known.Kind)
	x.code = known.Code
	x.left = known == errLeft
	if code >= http.StatusInternalServerError {
		x.cause = err
	}
	if x.began() {
		x.cut = !x.streams()
		return
	}
	writeFault(w, x.r.Header, x.request.ID, known, code)
	x.refused(e, known.Code, code)
}

// writeFault writes headers and body of an error.
func writeFault(w http.ResponseWriter, request http.Header, requestID string, known *fault.Error, code int) {
	contentType, body := "application/json", func(details map[string]any) any {
		return envelope{envelopeError{known.Code, known.Text, requestID, known.Retryable(), details}}
	}
	if prefersProblem(request) {
		contentType, body = "application/problem+json", func(details map[string]any) any {
			return problem{"about:blank", http.StatusText(code), code, known.Text, known.Code, requestID, known.Retryable(), details}
		}
	}
	text, err := encode(body(known.Details))
	if err != nil { // details that JSON cannot say, such as NaN: better none than no answer
		text, _ = encode(body(nil))
	}

	header := w.Header()
	for _, name := range []string{"Content-Encoding", "Content-Disposition", "ETag", "Last-Modified"} {
		header.Del(name) // of the answer that did not come
	}
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(len(text)))
	header.Add("Vary", "Accept")
	switch code {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", challenge(request))
	case http.StatusRequestEntityTooLarge:
		header.Set("Connection", "close") // the rest of the body is not worth reading
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		seconds := math.Ceil(max(known.RetryAfter, time.Second).Seconds())
		header.Set("Retry-After", fmt.Sprintf("%.0f", seconds))
	}
	w.WriteHeader(code)
	_, _ = w.Write(text) // a client that has left needs no answer
}

func encode(v any) ([]byte, error) {
	return json.Marshal(v, jsontext.AllowInvalidUTF8(true), json.Deterministic(true))
}

// challenge is RFC 6750's: whoever showed credentials learns that they are not
// taken, and nothing more.
func challenge(request http.Header) string {
	if len(request["Authorization"]) > 0 {
		return `Bearer realm="g4fagent", error="invalid_token"`
	}
	return `Bearer realm="g4fagent"`
}
