// Package httpx is what every HTTP endpoint shares: routing, who asks and
// whether they may, what a body may hold, errors, limits, the log line, the
// metrics, and the server's life. The operations themselves are the document's,
// through generated code; nothing else in the program sees gin.
package httpx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/g4fagent/g4fagent/api"
	"github.com/g4fagent/g4fagent/internal/identity"
)

// DefaultBasePath is where the operations are unless Options say otherwise.
const DefaultBasePath = "/api/v1"

// Options configure New.
type Options struct {
	// BasePath is where the operations are: "/" or a path without a slash at its
	// end. Empty is DefaultBasePath.
	BasePath string
	// Beside are the handlers beside the operations by their exact paths, such
	// as /metrics and /livez. They take GET and HEAD, from anybody.
	Beside map[string]http.Handler
	// TrustedProxies may say in X-Forwarded-For for whom they ask.
	TrustedProxies []netip.Prefix
	// Origins are the web origins whose pages may use the API: nil is any, an
	// empty list none.
	Origins []string
	Limits  Limits
	Hooks   Hooks
	// Log takes one line a request; nil discards them.
	Log *slog.Logger
	// Metrics registers the metrics; nil keeps them unregistered.
	Metrics prometheus.Registerer
	// Statistics, when given, observes every request but streams and what stands
	// beside the operations.
	Statistics *Statistics
}

// Hooks are what httpx asks the rest of the program. They are called from
// several goroutines at once, under the request's context with its
// identity.Request, and answer errors of package fault; any other is a 500.
type Hooks struct {
	// Authenticate says who shows these credentials; they may be empty. It
	// answers ErrUnauthorized when it knows nobody by them. Required.
	Authenticate func(context.Context, Credentials) (identity.Principal, error)
	// Exists reports, with an error of kind NotFound, that a resource in the
	// path of a request does not exist, or the principal may not see it. It is
	// asked only when the request's body is wrong. params are the path's
	// parameters by name.
	Exists func(ctx context.Context, o api.Operation, params map[string]string) error
	// AwaitPosition returns when the read models have reached the position that
	// a GET carries in X-Min-Position, or refuses one that is malformed or ahead
	// of the log. It bounds its waiting itself.
	AwaitPosition func(ctx context.Context, raw string) error
	// Refused is told about each 401 and 403 of an operation that is not public.
	// The answer has been written, but the request waits: it must not block.
	Refused func(context.Context, Refusal)
}

// CheckBasePath says what is wrong with an Options.BasePath.
func CheckBasePath(base string) error {
	if base == "" || base == "/" {
		return nil
	}
	if !strings.HasPrefix(base, "/") || strings.HasSuffix(base, "/") || strings.ContainsAny(base, "%:*?#") {
		return fmt.Errorf("base path %q: want / or a plain path like %s", base, DefaultBasePath)
	}
	return nil
}

// edge is the handler that New makes.
type edge struct {
	base       string // "" for "/"
	beside     map[string]http.Handler
	engine     *gin.Engine
	operations map[route]*operation
	validate   func(operation string, body []byte) error
	proxies    []netip.Prefix
	cors       cors
	hooks      Hooks
	log        *slog.Logger
	limits     Limits
	metrics    *metrics
	statistics *Statistics

	requests, commands, streams, bodies *gauge
}

func newEdge(o Options) (*edge, error) {
	if err := CheckBasePath(o.BasePath); err != nil {
		return nil, err
	}
	base := o.BasePath
	switch base {
	case "":
		base = DefaultBasePath
	case "/":
		base = ""
	}
	if o.Hooks.Authenticate == nil {
		return nil, errors.New("nobody authenticates: Hooks.Authenticate is required")
	}
	e := &edge{
		base: base, beside: o.Beside, proxies: o.TrustedProxies, cors: newCORS(o.Origins), hooks: o.Hooks,
		log: o.Log, limits: o.Limits.withDefaults(), metrics: newMetrics(), statistics: o.Statistics,
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.requests = e.metrics.gauge("requests", int64(e.limits.Requests))
	e.commands = e.metrics.gauge("commands", int64(e.limits.Commands))
	e.streams = e.metrics.gauge("streams", int64(e.limits.Streams))
	e.bodies = e.metrics.gauge("body_bytes", e.limits.BodyBytes)
	if o.Metrics != nil {
		if err := e.metrics.register(o.Metrics, e.requests, e.commands, e.streams, e.bodies); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// assemble makes the handler of operations, which register binds to routes.
func (e *edge) assemble(operations []api.Operation, register func(gin.IRouter)) (err error) {
	e.operations = make(map[route]*operation, len(operations))
	for _, o := range operations {
		e.operations[route{o.Method, e.base + o.GinPath}] = e.operationOf(o)
	}
	e.engine, err = e.newEngine(register)
	return err
}

// ServeHTTP answers one request, whatever happens below.
func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{
		w: w, control: http.NewResponseController(w), window: e.limits.Write, start: time.Now(),
		r: r, ctx: r.Context(), label: "none",
		request: identity.Request{ID: requestID(r.Header), IP: clientIP(r, e.proxies), Path: e.below(r)},
	}
	defer func() { e.finish(x, recover()) }() //nolint:contextcheck // the exchange has the context, and has to outlive it

	w.Header().Set("X-Request-Id", x.request.ID)
	secure(w.Header(), r.TLS != nil)
	if r.ContentLength != 0 && r.ProtoMajor == 1 {
		// Before a refusal that leaves the body unread goes out, net/http reads
		// on to keep the connection: what is here already, and not for ever.
		_ = x.control.SetReadDeadline(x.start.Add(unreadGrace)) // a test's recorder has none
	}
	if r.Method == http.MethodOptions {
		x.label, x.background = "preflight", true
		e.cors.preflight(x, r)
		return
	}
	e.cors.allow(w.Header(), r.Header.Get("Origin"))
	e.route(x)
}

// route finds who answers: what stands beside the operations, or the engine.
func (e *edge) route(x *exchange) {
	r := x.r
	if h, ok := e.beside[r.URL.Path]; ok {
		x.label, x.background = r.URL.Path, true
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			x.Header().Set("Allow", allow(http.MethodGet))
			e.answer(x, x, errMethodNotAllowed)
			return
		}
		h.ServeHTTP(x, r)
		return
	}
	if x.request.Path == "" {
		e.answer(x, x, errNotFound.With("path", r.URL.EscapedPath()))
		return
	}
	e.engine.ServeHTTP(x, e.canonical(r))
}

// below is the request's path below the base path as the client wrote it, "/"
// for the bare base path and "" outside of it.
func (e *edge) below(r *http.Request) string {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), e.base)
	switch {
	case ok && rest == "":
		return "/"
	case ok && rest[0] == '/':
		return rest
	default:
		return ""
	}
}

// canonical is the request as the engine knows it: the bare base path is its
// "/", and HEAD is a GET whose body the server leaves out (RFC 9110, 9.3.2).
func (e *edge) canonical(r *http.Request) *http.Request {
	bare := r.URL.Path == e.base
	if !bare && r.Method != http.MethodHead {
		return r
	}
	c := *r
	if bare {
		u := *r.URL
		u.Path, u.RawPath = e.base+"/", ""
		c.URL = &u
	}
	if r.Method == http.MethodHead {
		c.Method = http.MethodGet
	}
	return &c
}

// finish ends an exchange: it answers for a handler that panicked, writes the
// log line, counts, and cuts the connection of a response that broke off.
func (e *edge) finish(x *exchange, recovered any) {
	var stack []byte
	switch recovered {
	case nil:
	case http.ErrAbortHandler:
		x.cut = true
	default:
		stack = debug.Stack()
		e.metrics.panics.Inc()
		x.ctx = context.WithoutCancel(x.ctx) // which the panic has ended on its way
		began := x.began()
		e.answer(x, x, fmt.Errorf("panic: %v", recovered))
		x.cut = began
	}
	took := time.Since(x.start)
	if !x.began() {
		x.status = http.StatusOK // net/http's answer to a handler that wrote nothing
	}
	e.count(x, took.Seconds())
	if e.statistics != nil && !x.streams() && !x.background {
		e.statistics.Observe(took)
	}
	e.record(x, took, stack)
	if x.cut {
		panic(http.ErrAbortHandler)
	}
}
