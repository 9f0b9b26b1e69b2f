package httpx

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"time"

	"github.com/g4fagent/g4fagent/internal/identity"
	"github.com/g4fagent/g4fagent/internal/logline"
)

// exchange is one request and what became of it. It is the response writer that
// every layer below sees, so it alone knows whether the response has begun.
type exchange struct {
	w       http.ResponseWriter
	control *http.ResponseController
	window  time.Duration // that each write has
	start   time.Time

	r         *http.Request   // as it came
	ctx       context.Context // as the handler sees it
	request   identity.Request
	principal identity.Principal
	operation *operation // nil beside the operations
	label     string     // the operation in logs and metrics
	line      *logline.Line

	status     int // 0 until the response has begun
	bytes      int64
	code       string // of the error that was answered
	cause      error  // of an error that is ours
	background bool   // a probe or a preflight
	left       bool   // the client did not wait for the answer
	cut        bool   // the connection has to be cut: the response broke off
}

// Header, WriteHeader, Write and Flush make it an http.ResponseWriter.
func (x *exchange) Header() http.Header { return x.w.Header() }

// WriteHeader begins the response; a second call is ignored, since gin sends a
// status once more after an error was answered behind its back.
func (x *exchange) WriteHeader(status int) {
	if x.began() {
		return
	}
	if status >= http.StatusOK { // 1xx may be followed by the response
		x.status = status
	}
	x.extend()
	x.w.WriteHeader(status)
}

func (x *exchange) Write(p []byte) (int, error) {
	if !x.began() {
		x.WriteHeader(http.StatusOK)
	} else {
		x.extend()
	}
	n, err := x.w.Write(p)
	x.bytes += int64(n)
	return n, err
}

// Flush sends what is buffered.
func (x *exchange) Flush() {
	if !x.began() {
		x.WriteHeader(http.StatusOK)
	} else {
		x.extend()
	}
	_ = x.control.Flush() // a client that is gone shows in the next write
}

// Hijack hands the connection over, to a WebSocket for instance.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := x.control.Hijack()
	if err == nil {
		x.status = http.StatusSwitchingProtocols
	}
	return conn, buffered, err
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (x *exchange) Unwrap() http.ResponseWriter { return x.w }

// extend gives the next write its own time. A deadline for the whole response
// would end streams; none at all would let a client that stops reading hold a
// goroutine for ever. A writer without deadlines (a test's recorder) has none.
func (x *exchange) extend() { _ = x.control.SetWriteDeadline(time.Now().Add(x.window)) }

func (x *exchange) began() bool { return x.status != 0 }

// streams reports whether the operation is a stream, which has no deadline and
// may end anywhere.
func (x *exchange) streams() bool { return x.operation != nil && x.operation.Stream }

type exchangeKey struct{}

// Header is the header of the response that is being made under ctx: handlers
// set what the document's response types do not carry, such as
// X-Commit-Position, before they return. Outside of a request the header goes
// nowhere. It must not be used by several goroutines at once.
func Header(ctx context.Context) http.Header {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x.Header()
	}
	return http.Header{}
}
